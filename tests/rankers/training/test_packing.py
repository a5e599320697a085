"""Packed pre-training: the same loss as text by text, in fewer rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.backbones import load_language_model
from ranklift.rankers.base import ClickedText
from ranklift.rankers.encoding import Pair, PairEncoder
from ranklift.rankers.training.cpt import document_loss
from ranklift.rankers.training.packing import ROW_TOKENS, pack


def pairs_of(
    tokenizer: PreTrainedTokenizerBase, clicks: list[ClickedText], count: int
) -> list[Pair]:
    encoder = PairEncoder(tokenizer, "decoder", 32)
    return [encoder.encode(each.query, [each.document]).pairs[0] for each in clicks[:count]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_loss_is_the_mean_over_the_tokens_of_every_text_read_alone(
    artefacts: dict[str, Path],
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
    attention: str,
) -> None:
    model = load_language_model(artefacts["causal_lm"])
    model.set_attn_implementation(attention)
    pairs = pairs_of(tokenizer, clicks, 40)
    assert len(pack(pairs).input_ids) < len(pairs) / 4
    with torch.inference_mode():
        whole = document_loss(model, pairs).item()
        alone = [(document_loss(model, [pair]).item(), pair.tokens - pair.start) for pair in pairs]
    expected = sum(loss * tokens for loss, tokens in alone) / sum(tokens for _, tokens in alone)
    assert whole == pytest.approx(expected, abs=1e-5)


def hidden(model: PreTrainedModel, pairs: list[Pair]) -> torch.Tensor:
    packed = pack(pairs)
    with torch.inference_mode():
        found: torch.Tensor = model.base_model(
            input_ids=packed.input_ids,
            attention_mask=packed.attention,
            position_ids=packed.position_ids,
        ).last_hidden_state
    return found


def test_no_text_sees_its_neighbours(artefacts: dict[str, Path]) -> None:
    model = load_language_model(artefacts["causal_lm"])
    first = Pair(tuple(range(10, 30)), 5)
    texts = [first, Pair(tuple(range(30, 40)), 5)], [first, Pair(tuple(range(50, 60)), 5)]
    one, other = (hidden(model, pairs) for pairs in texts)
    assert torch.equal(one[0, :20], other[0, :20])
    assert not torch.equal(one[0, 20:30], other[0, 20:30])


@given(st.lists(st.integers(2, 300), min_size=1, max_size=40))
def test_every_text_is_in_one_row_whole(lengths: list[int]) -> None:
    pairs = [Pair(tuple(range(1, length + 1)), 1) for length in lengths]
    packed = pack(pairs)
    width = max(ROW_TOKENS, *lengths)
    assert packed.input_ids.shape[1] == width
    # Ids are 1, 2, ... in every text, so a 1 begins one and positions follow the ids.
    begins = packed.input_ids == 1
    assert int(begins.sum()) == len(lengths)
    real = packed.input_ids > 0
    assert torch.equal(packed.position_ids[real] + 1, packed.input_ids[real])
    assert int(packed.targets.sum()) == sum(lengths) - len(lengths)
    assert sorted(
        int(end) for row in packed.attention[:, 0] for end in _ends(row) if end
    ) == sorted(_seen(lengths))


def _ends(row: torch.Tensor) -> list[int]:
    """Return how many tokens each token of a row sees where it is the last of its text."""
    counts = row.sum(1).tolist()
    return [
        seen
        for i, seen in enumerate(counts)
        if i + 1 == len(counts) or counts[i + 1] <= seen  # the next one begins anew
    ]


def _seen(lengths: list[int]) -> list[int]:
    # Padding is one more text at the end of a row, where there is any.
    pairs = [Pair(tuple(range(1, length + 1)), 1) for length in lengths]
    padding = (pack(pairs).input_ids == 0).sum(1).tolist()
    return [*lengths, *(each for each in padding if each)]


@given(st.lists(st.integers(2, 100), min_size=1, max_size=60))
def test_rows_are_at_least_half_full_but_for_one(lengths: list[int]) -> None:
    # First fit decreasing: two rows less than half full would have been one.
    filled = (pack([Pair((1,) * length, 0) for length in lengths]).input_ids > 0).sum(1)
    assert int((filled <= ROW_TOKENS / 2).sum()) <= 1
