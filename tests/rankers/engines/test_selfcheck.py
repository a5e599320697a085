"""The check at load: right engines pass it, engines with a fault do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.rankers.engines.encoders import MAX_TOKENS, TEMPLATE, WORDS, bert
from torch import Tensor

from ranklift.rankers.base import Values
from ranklift.rankers.engines.bert_weights import EncoderWeights, encoder_weights
from ranklift.rankers.engines.packed import PackedEngine
from ranklift.rankers.engines.packed_linear import plain_linear
from ranklift.rankers.engines.reference import ReferenceEngine
from ranklift.rankers.engines.selfcheck import check_pairs, why_off

PAIRS = check_pairs(TEMPLATE, WORDS, MAX_TOKENS)
BERT = bert()


@pytest.fixture(scope="module")
def expected() -> Values:
    return ReferenceEngine(BERT, "encoder").scores(PAIRS)


def engine(weights: EncoderWeights, numerics: str = "fp32") -> PackedEngine:
    dtype = torch.float32 if numerics == "fp32" else torch.bfloat16
    return PackedEngine(weights, dtype, plain_linear, numerics)


def test_pairs_are_always_the_same_and_of_all_lengths() -> None:
    assert check_pairs(TEMPLATE, WORDS, MAX_TOKENS) == PAIRS
    lengths = {pair.tokens for pair in PAIRS}
    assert (min(lengths), max(lengths)) == (5, MAX_TOKENS)
    assert len(lengths) > 15
    assert all(0 < pair.start < pair.tokens for pair in PAIRS)
    assert all(1 not in pair.ids[1:] and 2 not in pair.ids[pair.start : -1] for pair in PAIRS)
    assert max(pair.tokens for pair in check_pairs(TEMPLATE, WORDS, 20)) == 20


@pytest.mark.parametrize("numerics", ["fp32", "bf16"])
def test_a_right_engine_passes(expected: Values, numerics: str) -> None:
    assert why_off(engine(encoder_weights(BERT), numerics), PAIRS, expected) == ""


def wrong_activation(weights: EncoderWeights) -> EncoderWeights:
    return replace(weights, activation="gelu_tanh")


def wrong_types(weights: EncoderWeights) -> EncoderWeights:
    return replace(weights, types=weights.types.flip(0))


def wrong_heads(weights: EncoderWeights) -> EncoderWeights:
    return replace(weights, heads=2 * weights.heads)


def a_layer_less(weights: EncoderWeights) -> EncoderWeights:
    return replace(weights, layers=weights.layers[:-1])


@pytest.mark.parametrize("fault", [wrong_activation, wrong_types, wrong_heads, a_layer_less])
def test_a_fault_in_fp32_is_found(
    expected: Values, fault: Callable[[EncoderWeights], EncoderWeights]
) -> None:
    off = why_off(engine(fault(encoder_weights(BERT))), PAIRS, expected)
    assert "off by" in off


@pytest.mark.parametrize("fault", [wrong_types, wrong_heads, a_layer_less])
def test_a_fault_in_bf16_is_found(
    expected: Values, fault: Callable[[EncoderWeights], EncoderWeights]
) -> None:
    assert why_off(engine(fault(encoder_weights(BERT)), "bf16"), PAIRS, expected)


def test_scores_that_are_not_finite_are_off(expected: Values) -> None:
    weights = encoder_weights(BERT)
    broken: Tensor = weights.words * float("nan")
    assert "not finite" in why_off(engine(replace(weights, words=broken)), PAIRS, expected)


def test_a_model_that_scores_all_alike_is_not_held_against_the_engine() -> None:
    weights = encoder_weights(BERT)
    flat = replace(weights, score=replace(weights.score, weight=weights.score.weight * 0))
    same: Values = np.full(len(PAIRS), float(weights.score.bias))
    assert why_off(engine(flat), PAIRS, same) == ""
