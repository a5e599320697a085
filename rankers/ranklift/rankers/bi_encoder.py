"""A teacher that reads query and document apart: the cosine of their embeddings.

    s(q, d) = e(q) . e(d),    e = the mean of the last hidden states, scaled to length 1

Such encoders come trained on a billion pairs of texts, where cross-encoders of
their size come untrained; and every text is read once, however many pairs it is
in. Reimers, Gurevych, "Sentence-BERT", EMNLP 2019, arXiv 1908.10084.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.backbones import quiet
from ranklift.rankers.base import Encoded, Text, Values, finite
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import Pair, chunks, pad
from ranklift.v1.errors import InvalidRequest

CHUNK_TOKENS = 2_048
# 100 MB at a width of 384.
KEPT_EMBEDDINGS = 65_536

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TextPair:
    """A query and a document as token ids, each with its special tokens."""

    query: Ids
    document: Ids

    @property
    def tokens(self) -> int:
        return len(self.query) + len(self.document)


class BiEncoder:
    """Scores by cosine, in [-1, 1]; embeddings are kept, so that a text is read once. For
    one thread: it trains others, and no server loads it.

    With `bf16` matrices are multiplied in bf16, and only there: pooling and
    cosines are fp32.
    """

    kind: ClassVar[str] = "bi_encoder"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        *,
        bf16: bool = False,
    ) -> None:
        model.eval()  # type: ignore[no-untyped-call]
        self.numerics = "bf16" if bf16 else "fp32"
        self._model = model
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._known: dict[Ids, NDArray[np.float32]] = {}

    def encode(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Encoded[TextPair]:
        """Return `query` with each document as token ids; each text cut to the model's length."""
        limit = min(self._max_tokens, max_tokens_per_document or self._max_tokens)
        (asked,), _ = self._read([query], self._max_tokens)
        texts, truncated = self._read([document.body for document in documents], limit)
        return Encoded(tuple(TextPair(asked, ids) for ids in texts), truncated)

    def scores(self, pairs: Sequence[TextPair]) -> Values:
        """Return the cosine of each pair, shape (pairs,)."""
        texts = dict.fromkeys(ids for pair in pairs for ids in (pair.query, pair.document))
        missing = [ids for ids in texts if ids not in self._known]
        if len(self._known) + len(missing) > KEPT_EMBEDDINGS:
            self._known.clear()
            missing = list(texts)
        self._known |= dict(zip(missing, self._embed(missing), strict=True))
        cosines = [self._known[pair.query] @ self._known[pair.document] for pair in pairs]
        return finite(np.array(cosines, np.float64))

    def _embed(self, texts: Sequence[Ids]) -> NDArray[np.float32]:  # (texts, width)
        width = int(self._model.config.hidden_size)
        found = np.empty((len(texts), width), np.float32)
        device = self._model.device
        cast = torch.autocast(device.type, torch.bfloat16, enabled=self.numerics == "bf16")
        with torch.inference_mode():
            for chunk in chunks([len(ids) for ids in texts], CHUNK_TOKENS):
                batch = pad([Pair(texts[i], len(texts[i])) for i in chunk])
                mask = batch.attention_mask.to(device)
                with cast:
                    hidden = self._model(
                        input_ids=batch.input_ids.to(device), attention_mask=mask
                    ).last_hidden_state
                weights = mask.unsqueeze(-1).float()
                mean = (hidden.float() * weights).sum(1) / weights.sum(1)
                found[chunk] = functional.normalize(mean, dim=1).cpu().numpy()
        return found

    def _read(self, texts: list[str], longest: int) -> tuple[list[Ids], tuple[int, ...]]:
        """Return the ids of each text, and the positions of those that were cut."""
        read = self._tokenizer(texts, truncation=True, max_length=longest).encodings or []
        return (
            [tuple(each.ids) for each in read],
            tuple(i for i, each in enumerate(read) if each.overflowing),
        )


def load_bi_encoder(folder: Path, max_tokens: int, *, bf16: bool = False) -> BiEncoder:
    """Return the bi-encoder whose encoder and tokenizer are in `folder`, as transformers saves
    them; it pools by the mean, whatever other files there say.

    Raises:
        InvalidRequest: they cannot be read, or read no `max_tokens`.
    """
    with quiet():
        try:
            model: PreTrainedModel = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InvalidRequest.of(
                "uri", f'"{folder}" holds no encoder that can be read: {reason}'
            ) from error
    longest = int(model.config.max_position_embeddings)
    if not 3 <= max_tokens <= longest:
        raise InvalidRequest.of("max_tokens", f"{max_tokens} must be in [3, {longest}]")
    return BiEncoder(model, load_tokenizer(folder), max_tokens, bf16=bf16)
