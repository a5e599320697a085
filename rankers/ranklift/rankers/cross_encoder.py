"""The neural rankers: one scalar from a query and a document read together.

Encoders and decoders are `AutoModelForSequenceClassification` with one label.
An encoder scores with its own head. A decoder scores with a linear head on the
hidden state of the closing token, the only one that has read everything
(DisRanker, arXiv 2411.04539).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Manifest
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import Scores, Text, finite
from ranklift.rankers.encoding import Batch, PairEncoder, chunks, pad
from ranklift.v1.errors import InvalidRequest

# Above 2,048 tokens the activations of a small model leave the processor's cache.
CHUNK_TOKENS = 2_048


class CrossEncoder:
    """Scores query and document together."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        kind: str,
        max_tokens: int,
        *,
        numerics: str = "fp32",
    ) -> None:
        self.kind = kind
        self.numerics = numerics
        model.eval()  # type: ignore[no-untyped-call]
        self._model = model
        self._encoder = PairEncoder(tokenizer, kind, max_tokens)

    def score(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Scores:
        """Return one logit per document, in their order."""
        started = time.perf_counter()
        encoded = self._encoder.encode(
            query, documents, max_tokens_per_document=max_tokens_per_document
        )
        lengths = [len(pair.ids) for pair in encoded.pairs]
        tokenized = time.perf_counter()
        values = np.empty(len(lengths), np.float64)
        with torch.inference_mode():
            for chunk in chunks(lengths, CHUNK_TOKENS):
                batch = pad([encoded.pairs[i] for i in chunk])
                values[chunk] = pair_scores(self._model, self.kind, batch).double().cpu().numpy()
        return Scores(
            values=finite(values),
            tokens=sum(lengths),
            truncated=encoded.truncated,
            tokenize_seconds=tokenized - started,
            inference_seconds=time.perf_counter() - tokenized,
        )


def pair_scores(model: PreTrainedModel, kind: str, batch: Batch) -> Tensor:  # (pairs,)
    """Return the logits of a padded batch, in fp32."""
    ids, mask = batch.input_ids.to(model.device), batch.attention_mask.to(model.device)
    if kind == "decoder":
        return last_token_scores(model, ids, mask)
    types = batch.token_type_ids.to(model.device)
    logits: Tensor = model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
    return logits.squeeze(-1).float()


def last_token_scores(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor
) -> Tensor:  # (pairs, tokens) x 2 -> (pairs,)
    """Return the head's value on the last token that the mask shows, wherever the padding is.

    The model's own forward finds that token by the padding's id, which many
    decoders share with the closing token; the mask cannot be mistaken.
    """
    positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
    hidden: Tensor = model.base_model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    steps = torch.arange(input_ids.shape[1], device=input_ids.device)
    last = (attention_mask * steps).argmax(1)
    closing = hidden[torch.arange(len(hidden), device=hidden.device), last]
    head: Any = model.score
    scores: Tensor = head(closing)
    return scores.squeeze(-1).float()


def load_cross_encoder(folder: Path, manifest: Manifest) -> CrossEncoder:
    """Return the ranker of an encoder's or decoder's artefact.

    Raises:
        InvalidRequest: the files do not fit together.
    """
    if manifest.numerics != "fp32":
        raise InvalidRequest.of(
            "uri", f'"{folder}" is of numerics "{manifest.numerics}", must be fp32'
        )
    model = load_scorer(folder)
    tokenizer = load_tokenizer(folder)
    return CrossEncoder(model, tokenizer, manifest.kind, manifest.max_tokens)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer in `folder`.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
    except Exception as error:  # the tokenizers library raises bare ones
        raise InvalidRequest.of(
            "uri", f'"{folder}" holds no tokenizer that can be read; it needs tokenizer.json'
        ) from error
    return tokenizer
