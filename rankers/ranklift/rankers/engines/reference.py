"""The reference engine: the model's own forward on padded batches, in fp32."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ranklift.rankers.base import Values
from ranklift.rankers.encoding import Batch, Pair, chunks, pad
from ranklift.rankers.heads import score_of_logits

# Above 2,048 tokens the activations of a small model leave the processor's cache.
CHUNK_TOKENS = 2_048


class ReferenceEngine:
    """Any encoder or decoder, as transformers computes it."""

    name: ClassVar[str] = "reference"
    numerics: ClassVar[str] = "fp32"

    def __init__(self, model: PreTrainedModel, kind: str) -> None:
        model.eval()  # type: ignore[no-untyped-call]
        self._model = model
        self._kind = kind

    def scores(self, pairs: Sequence[Pair]) -> Values:
        values = np.empty(len(pairs), np.float64)
        with torch.inference_mode():
            for chunk in chunks([pair.tokens for pair in pairs], CHUNK_TOKENS):
                batch = pad([pairs[i] for i in chunk])
                values[chunk] = pair_scores(self._model, self._kind, batch).double().cpu().numpy()
        return values


def pair_scores(model: PreTrainedModel, kind: str, batch: Batch) -> Tensor:  # (pairs,)
    """Return the scores of a padded batch, in fp32."""
    ids, mask = batch.input_ids.to(model.device), batch.attention_mask.to(model.device)
    if kind == "decoder":
        return last_token_scores(model, ids, mask)
    # Not all encoders tell query and document apart by types: RoBERTa knows one, DistilBERT none.
    typed = getattr(model.config, "type_vocab_size", 0) >= 2
    types = {"token_type_ids": batch.token_type_ids.to(model.device)} if typed else {}
    return score_of_logits(model(input_ids=ids, attention_mask=mask, **types).logits)


def last_token_scores(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor
) -> Tensor:  # (pairs, tokens) x 2 -> (pairs,)
    """Return the head's scores on the last token that the mask shows, wherever the padding is.

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
    return score_of_logits(head(closing))


def told_positions(model: PreTrainedModel) -> bool:
    """Return whether a model's body takes positions; BLOOM's weighs distances instead."""
    return "position_ids" in inspect.signature(model.base_model.forward).parameters
