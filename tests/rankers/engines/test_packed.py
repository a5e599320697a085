"""The packed engine scores as the library's own forward does, whatever is packed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rankers.engines.encoders import MAX_TOKENS, bert, electra, random_pairs
from transformers import PreTrainedModel

from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import Values
from ranklift.rankers.encoding import Pair, pad
from ranklift.rankers.engines.bert_weights import ACTIVATIONS, encoder_weights, why_unknown
from ranklift.rankers.engines.packed import CHUNK_TOKENS, PackedEngine
from ranklift.rankers.engines.packed_linear import MakeLinear, onednn_linear, plain_linear
from ranklift.rankers.pretrained import minilm_folder
from ranklift.v1.errors import NotReady

FAMILY = pytest.mark.parametrize("make", [bert, electra])
LINEAR = pytest.mark.parametrize("linear", [onednn_linear, plain_linear])
LENGTHS = st.lists(st.one_of(st.integers(3, 40), st.integers(3, MAX_TOKENS)), max_size=12)


def packed(model: PreTrainedModel, linear: MakeLinear = onednn_linear) -> PackedEngine:
    assert why_unknown(model) == ""
    return PackedEngine(encoder_weights(model), torch.float32, linear, "fp32")


def in_bf16(model: PreTrainedModel, linear: MakeLinear = onednn_linear) -> PackedEngine:
    return PackedEngine(encoder_weights(model), torch.bfloat16, linear, "bf16")


def one_by_one(model: PreTrainedModel, pairs: Sequence[Pair]) -> Values:
    """Return the library's own scores, each pair alone and so without padding."""
    with torch.inference_mode():
        return np.array(
            [
                model(input_ids=batch.input_ids, token_type_ids=batch.token_type_ids).logits.item()
                for batch in (pad([pair]) for pair in pairs)
            ]
        )


BERT, ELECTRA = bert(), electra()
ENGINES = {"bert": (BERT, packed(BERT)), "electra": (ELECTRA, packed(ELECTRA))}


@pytest.mark.parametrize("family", list(ENGINES))
@given(lengths=LENGTHS, seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_scores_are_those_of_transformers_for_any_mix_of_lengths(
    family: str, lengths: list[int], seed: int
) -> None:
    model, engine = ENGINES[family]
    pairs = random_pairs(lengths, seed)
    np.testing.assert_allclose(engine.scores(pairs), one_by_one(model, pairs), atol=1e-5)


@FAMILY
@LINEAR
def test_more_pairs_than_fit_one_chunk(
    make: Callable[[], PreTrainedModel], linear: MakeLinear
) -> None:
    model = make()
    pairs = random_pairs([*range(3, 90), *[20] * 50, MAX_TOKENS, MAX_TOKENS, MAX_TOKENS])
    assert sum(pair.tokens for pair in pairs) > 4 * CHUNK_TOKENS
    expected = one_by_one(model, pairs)
    assert expected.std() > 0.1
    np.testing.assert_allclose(packed(model, linear).scores(pairs), expected, atol=1e-5)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_known_activation(activation: str) -> None:
    model = bert(hidden_act=activation)
    pairs = random_pairs([3, 17, 60])
    for linear in (onednn_linear, plain_linear):
        found = packed(model, linear).scores(pairs)
        np.testing.assert_allclose(found, one_by_one(model, pairs), atol=1e-5)


def test_a_single_layer() -> None:
    model = bert(num_hidden_layers=1)
    pairs = random_pairs([5, 9, 9, 31])
    np.testing.assert_allclose(packed(model).scores(pairs), one_by_one(model, pairs), atol=1e-5)


def test_electra_without_projection() -> None:
    model = electra(embedding_size=32)
    pairs = random_pairs([5, 9, 31])
    np.testing.assert_allclose(packed(model).scores(pairs), one_by_one(model, pairs), atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "engine",
    [packed, in_bf16, lambda model: packed(model, plain_linear)],
    ids=["fp32", "bf16", "plain"],
)
def test_a_score_is_the_same_to_the_bit_in_any_company(
    engine: Callable[[PreTrainedModel], PackedEngine], threads: int
) -> None:
    packed_engine = engine(BERT)
    rng = np.random.default_rng(1)
    pairs = random_pairs([3, 3, 8, 9, 30, 31, 32, 33, 48, 65, 128, 129, 200, 411, 512])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone = np.concatenate([packed_engine.scores([pair]) for pair in pairs])
        assert alone.std() > 0.1
        for _ in range(20):
            some = rng.integers(len(pairs), size=int(rng.integers(1, 40)))
            together = packed_engine.scores([pairs[i] for i in some])
            assert together.tolist() == alone[some].tolist()
    finally:
        torch.set_num_threads(before)


def test_no_pairs_have_no_scores() -> None:
    assert packed(BERT).scores([]).shape == (0,)


def test_token_types_come_from_where_the_document_starts() -> None:
    ids = tuple(range(3, 30))
    earlier, later = packed(BERT).scores([Pair(ids, 3), Pair(ids, 20)])
    assert abs(earlier - later) > 1e-3


@FAMILY
@LINEAR
def test_bf16_is_near(make: Callable[[], PreTrainedModel], linear: MakeLinear) -> None:
    model = make()
    pairs = random_pairs([*range(3, 200, 4), MAX_TOKENS])
    expected = one_by_one(model, pairs)
    error = np.abs(in_bf16(model, linear).scores(pairs) - expected).max()
    # The mantissa has 8 bits; a few layers add a few of its last places.
    assert 1e-5 < error < 0.1 * expected.std()


def test_a_pretrained_minilm_scores_as_transformers_does() -> None:
    try:
        folder = minilm_folder()
    except NotReady as error:
        pytest.skip(str(error))
    model = load_scorer(folder, head_seed=1)
    pairs = random_pairs([12, 40, 41, 73, 120, 300])
    np.testing.assert_allclose(packed(model).scores(pairs), one_by_one(model, pairs), atol=1e-5)
