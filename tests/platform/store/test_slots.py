"""Slots are given first fit: held against a layer written out slot by slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.store.slots import Ranges, allocate, free_slots, size_of
from ranklift.store.values import BUCKETS


@pytest.mark.parametrize(
    ("taken", "share", "expected"),
    [
        ([], 10_000, ((0, 10_000),)),
        ([], 1, ((0, 1),)),
        ([((0, 2_000),)], 3_000, ((2_000, 5_000),)),
        ([((0, 2_000),), ((5_000, 6_000),)], 4_000, ((2_000, 5_000), (6_000, 7_000))),
        ([((9_999, 10_000),), ((0, 9_999),)], 1, None),
        ([((0, 9_000),)], 1_001, None),
    ],
)
def test_the_first_free_slots_are_taken(
    taken: list[Ranges], share: int, expected: Ranges | None
) -> None:
    assert allocate(taken, share) == expected


def slots_in(ranges: Ranges) -> set[int]:
    return {slot for start, end in ranges for slot in range(start, end)}


@given(
    shares=st.lists(st.integers(1, BUCKETS), min_size=1, max_size=8),
    freed=st.sets(st.integers(0, 7)),
    share=st.integers(1, BUCKETS),
)
def test_they_are_free_as_many_as_asked_for_and_the_lowest(
    shares: list[int], freed: set[int], share: int
) -> None:
    held: dict[int, Ranges] = {}
    for i, one in enumerate(shares):
        got = allocate(held.values(), one)
        if got is not None:
            held[i] = got
    for i in freed:
        held.pop(i, None)
    taken = set().union(*map(slots_in, held.values())) if held else set()
    free = [slot for slot in range(BUCKETS) if slot not in taken]
    assert slots_in(free_slots(held.values())) == set(free)
    got = allocate(held.values(), share)
    if got is None:
        assert len(free) < share
    else:
        assert size_of(got) == share
        assert slots_in(got) == set(free[:share])
