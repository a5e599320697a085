"""The varlen engine: one row of pairs scores as each pair alone. On the CPU; CUDA has a kernel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rankers.engines.encoders import bert, electra, random_pairs
from tests.rankers.engines.test_choice import llama
from transformers import PreTrainedModel

from ranklift.rankers.engines.reference import ReferenceEngine
from ranklift.rankers.engines.varlen import VarlenEngine, why_not_varlen

MODELS: dict[str, tuple[Callable[[], PreTrainedModel], str]] = {
    "bert": (bert, "encoder"),
    "electra": (electra, "encoder"),
    "llama": (llama, "decoder"),  # with fewer heads for keys and values than for queries
}
ENGINES = {
    name: (
        ReferenceEngine(make(), kind),
        VarlenEngine(make(), kind, torch.float32, "fp32"),
        VarlenEngine(make(), kind, torch.bfloat16, "bf16"),
    )
    for name, (make, kind) in MODELS.items()
}


@pytest.mark.parametrize("name", list(MODELS))
@given(lengths=st.lists(st.integers(3, 300), max_size=12), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_scores_are_those_of_the_reference(name: str, lengths: list[int], seed: int) -> None:
    reference, varlen, _ = ENGINES[name]
    pairs = random_pairs(lengths, seed)
    np.testing.assert_allclose(varlen.scores(pairs), reference.scores(pairs), atol=1e-5)


@pytest.mark.parametrize("name", list(MODELS))
def test_bf16_is_near(name: str) -> None:
    reference, _, varlen = ENGINES[name]
    pairs = random_pairs(range(3, 200, 5))
    expected = reference.scores(pairs)
    error = np.abs(varlen.scores(pairs) - expected).max()
    assert 1e-5 < error < 0.15 * expected.std()


def test_attention_that_it_cannot_compute_is_named() -> None:
    model = llama()
    assert why_not_varlen(model, "decoder", 512) == ""
    model.config.sliding_window = 100
    assert "the last 100 tokens only" in why_not_varlen(model, "decoder", 512)
    assert why_not_varlen(model, "decoder", 100) == ""
    model.config.attn_logit_softcapping = 50.0
    assert "caps" in why_not_varlen(model, "decoder", 100)
