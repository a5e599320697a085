"""Encoders of random weights whose scores are well apart, and pairs of any lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
)

from ranklift.rankers.backbones import seeded
from ranklift.rankers.encoding import Pair
from ranklift.rankers.templates import Template

WORDS = 300
MAX_TOKENS = 512
TEMPLATE = Template(before=(1,), between=(2,), closing=2)
SHAPE: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
    "num_labels": 1,
}


def bert(**changed: object) -> PreTrainedModel:
    with seeded(5):
        return spread(BertForSequenceClassification(BertConfig(**(SHAPE | changed))))


def electra(**changed: object) -> PreTrainedModel:
    """Return an ELECTRA whose embeddings are narrower than its layers."""
    with seeded(6):
        config = ElectraConfig(**(SHAPE | {"embedding_size": 16} | changed))
        return spread(ElectraForSequenceClassification(config))


def spread(model: PreTrainedModel) -> PreTrainedModel:
    """Return `model` with larger weights and no zeros: fresh ones make all scores alike."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8) if weight.dim() > 1 else weight.add_(0.1 * torch.randn_like(weight))
    model.eval()  # type: ignore[no-untyped-call]
    return model


def random_pairs(lengths: Sequence[int], seed: int = 0) -> list[Pair]:
    """Return pairs of the given numbers of tokens, at least 3; documents start anywhere."""
    rng = np.random.default_rng(seed)
    return [
        Pair(tuple(rng.integers(3, WORDS, length).tolist()), int(rng.integers(1, length)))
        for length in lengths
    ]
