"""Pairs without padding: nothing lost, nothing mixed, memory bounded."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.encoding import Pair
from ranklift.rankers.engines.packed_layout import (
    GROUP_SCORES,
    group_bounds,
    pack,
    packed_chunks,
    width_of,
)

LENGTHS = st.lists(st.integers(2, 600), max_size=60)


@given(LENGTHS, st.integers(1, 2_000))
def test_chunks_hold_every_pair_once_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    found = packed_chunks(lengths, budget)
    assert sorted(i for chunk in found for i in chunk) == list(range(len(lengths)))
    for chunk in found:
        assert len(chunk) == 1 or sum(lengths[i] for i in chunk) <= budget
        assert [lengths[i] for i in chunk] == sorted((lengths[i] for i in chunk), reverse=True)


@given(LENGTHS, st.integers(1, 16))
def test_groups_are_neighbours_of_like_length(lengths: list[int], heads: int) -> None:
    lengths = sorted(lengths, reverse=True)
    bounds = group_bounds(lengths, heads)
    assert [i for begin, end in bounds for i in range(begin, end)] == list(range(len(lengths)))
    for begin, end in bounds:
        (width,) = {width_of(length) for length in lengths[begin:end]}
        pairs = end - begin
        assert width % 16 == 0
        assert width - 16 < lengths[end - 1] <= lengths[begin] <= width
        assert pairs == 1 or pairs * heads * width**2 <= GROUP_SCORES


def test_two_pairs_by_hand() -> None:
    packed = pack([Pair((5, 6, 7, 8, 9, 4, 4, 4), 2), Pair((1, 2, 3, 4, 5, 6, 7), 3)], heads=1)
    # 15 rows, and one that is of no pair.
    assert packed.ids.tolist() == [5, 6, 7, 8, 9, 4, 4, 4, 1, 2, 3, 4, 5, 6, 7, 0]
    assert packed.positions.tolist() == [*range(8), *range(7), 0]
    assert packed.types.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0]
    assert packed.firsts.tolist() == [0, 8, *[0] * 14]
    (group,) = packed.groups
    assert (group.rows, group.width) == (slice(0, 15), 16)
    assert group.gather.tolist() == [*range(7), *[7] * 9, *range(8, 14), *[14] * 10]
    behind = torch.isinf(group.mask).tolist()
    assert behind == [[False] * 8 + [True] * 8, [False] * 7 + [True] * 9]
    assert group.keep.tolist() == [*range(8), *range(16, 23)]
