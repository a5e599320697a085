"""A ranker that reads query and document apart: the cosine of their embeddings.

    s(q, d) = e(q) . e(d),    e = the mean of the last hidden states, scaled to length 1

Such encoders come trained on a billion pairs of texts, where cross-encoders of
their size come untrained: a teacher where nobody judged anything. Every text is
read once, however many pairs it is in. Reimers, Gurevych, "Sentence-BERT",
EMNLP 2019, arXiv 1908.10084.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Lineage, Manifest, digest_of, new_artefact
from ranklift.rankers.backbones import check_fit, load_body, quiet
from ranklift.rankers.base import Encoded, Text, Values, finite
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import CHARS_PER_TOKEN, Pair, chunks, pad
from ranklift.rankers.engines.choice import this_device
from ranklift.rankers.lru import Lru
from ranklift.rankers.templates import template_of
from ranklift.v1.errors import InvalidRequest

CHUNK_TOKENS = 2_048
KEPT_BYTES = 100 << 20
# Where sentence-transformers says how it pools, in two generations of its files.
POOLING = Path("1_Pooling") / "config.json"
MODULES = ("Transformer", "Pooling", "Normalize")

Ids: TypeAlias = tuple[int, ...]
Embedding: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TextPair:
    """A query and a document as token ids, each with its special tokens."""

    query: Ids
    document: Ids

    @property
    def tokens(self) -> int:
        return len(self.query) + len(self.document)


class BiEncoder:
    """Scores by cosine, in [-1, 1]; embeddings are kept, so that a text is read once.

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
        self.model = model
        self.tokenizer = tokenizer
        self._template = template_of(tokenizer, "encoder")
        self._room = max_tokens - len(self._template.before) - 1
        if self._room < 1:
            raise InvalidRequest.of("max_tokens", f"{max_tokens} leave no room for a text")
        # The library underneath: transformers' own call cuts by a setting that all threads share.
        self._tokens = tokenizer.backend_tokenizer
        self._tokens.no_truncation()
        self._tokens.no_padding()
        self._embeddings = Lru[Ids, Embedding](KEPT_BYTES, lambda each: each.nbytes)

    def encode(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Encoded[TextPair]:
        """Return `query` with each document as token ids; each text cut to the model's length.

        Of no text more than `CHARS_PER_TOKEN` characters are read for each token of it.
        """
        limit = min(self._room, max_tokens_per_document or self._room)
        (asked,), _ = self._read([query], self._room)
        texts, truncated = self._read([document.body for document in documents], limit)
        return Encoded(tuple(TextPair(asked, ids) for ids in texts), truncated)

    def scores(self, pairs: Sequence[TextPair]) -> Values:
        """Return the cosine of each pair, shape (pairs,)."""
        texts = list(dict.fromkeys(ids for pair in pairs for ids in (pair.query, pair.document)))
        found = zip(texts, self._embeddings.find(texts), strict=True)
        known = {ids: embedding for ids, embedding in found if embedding is not None}
        missing = [ids for ids in texts if ids not in known]
        fresh = dict(zip(missing, self._embed(missing), strict=True))
        self._embeddings.keep(fresh.items())
        known |= fresh
        cosines = [known[pair.query] @ known[pair.document] for pair in pairs]
        return finite(np.array(cosines, np.float64))

    def _embed(self, texts: Sequence[Ids]) -> Embedding:  # (texts, width)
        width = int(self.model.config.hidden_size)
        found = np.empty((len(texts), width), np.float32)
        device = self.model.device
        cast = torch.autocast(device.type, torch.bfloat16, enabled=self.numerics == "bf16")
        with torch.inference_mode():
            for chunk in chunks([len(ids) for ids in texts], CHUNK_TOKENS):
                batch = pad([Pair(texts[i], len(texts[i])) for i in chunk])
                mask = batch.attention_mask.to(device)
                with cast:
                    hidden = self.model(
                        input_ids=batch.input_ids.to(device), attention_mask=mask
                    ).last_hidden_state
                weights = mask.unsqueeze(-1).float()
                mean = (hidden.float() * weights).sum(1) / weights.sum(1)
                found[chunk] = functional.normalize(mean, dim=1).cpu().numpy()
        return found

    def _read(self, texts: list[str], limit: int) -> tuple[list[Ids], tuple[int, ...]]:
        """Return each text's ids between the special ones, and which texts were cut to `limit`."""
        chars = self._room * CHARS_PER_TOKEN
        read = self._tokens.encode_batch_fast(
            [text[:chars] for text in texts], add_special_tokens=False
        )
        before, closing = self._template.before, self._template.closing
        return (
            [(*before, *each.ids[:limit], closing) for each in read],
            tuple(
                i
                for i, (text, each) in enumerate(zip(texts, read, strict=True))
                if len(each.ids) > limit or text[chars:].strip()
            ),
        )


def import_bi_encoder(source: Path, folder: Path, max_tokens: int, *, bf16: bool = False) -> None:
    """Write the sentence encoder in `source`, as transformers or sentence-transformers saved it,
    to `folder` as a model version.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: as `load_bi_encoder`, or it does not pool by the mean.
    """
    _refuse_other_modules(source)
    pooling = _pooling(source)
    if pooling != "mean":
        raise InvalidRequest.of(
            "start", f'"{source}" pools by {pooling}; only encoders that pool by the mean are known'
        )
    encoder = load_bi_encoder(source, max_tokens, bf16=bf16)
    lineage = Lineage("import", (digest_of(source),), options={"pooling": pooling})
    manifest = Manifest(encoder.kind, encoder.numerics, max_tokens, lineage)
    with new_artefact(folder, manifest) as temporary, quiet():
        encoder.model.save_pretrained(temporary)
        encoder.tokenizer.save_pretrained(temporary)


def load_bi_encoder(folder: Path, max_tokens: int, *, bf16: bool = False) -> BiEncoder:
    """Return the bi-encoder whose encoder and tokenizer are in `folder`, as transformers saves
    them; it pools by the mean, whatever other files there say.

    Raises:
        InvalidRequest: they cannot be read, do not fit together, or read no `max_tokens`.
    """
    model = load_body(folder)
    tokenizer = load_tokenizer(folder)
    check_fit(model, tokenizer, max_tokens)
    model = model.to(this_device())  # type: ignore[arg-type]
    return BiEncoder(model, tokenizer, max_tokens, bf16=bf16)


def _refuse_other_modules(folder: Path) -> None:
    """Check that the encoder is nothing but a transformer whose states are pooled and scaled."""
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        kinds = [
            str(each["type"]).rpartition(".")[2] for each in json.loads(path.read_text("utf-8"))
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest.of("start", f'"{path}" cannot be read: {error!r}') from error
    other = [kind for kind in kinds if kind not in MODULES]
    if other:
        raise InvalidRequest.of(
            "start", f'"{folder}" ends in {other[0]}; only {", ".join(MODULES)} are known'
        )


def _pooling(folder: Path) -> str:
    """Return how sentence-transformers pools in a folder; by the mean where it does not say."""
    path = folder / POOLING
    if not path.is_file():
        return "mean"
    try:
        said = json.loads(path.read_text("utf-8"))
        flags = [name for name, value in said.items() if name.startswith("pooling_mode_") and value]
    except (ValueError, AttributeError) as error:
        raise InvalidRequest.of("start", f'"{path}" cannot be read: {error}') from error
    named = said.get("pooling_mode")
    modes = [str(named)] if named else [each.removeprefix("pooling_mode_") for each in flags]
    return " and ".join(modes).replace("mean_tokens", "mean") or "mean"
