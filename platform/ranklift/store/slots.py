"""Which slots of a layer an experiment gets: pure, first fit."""

from __future__ import annotations

from collections.abc import Iterable

from ranklift.store.values import BUCKETS

Ranges = tuple[tuple[int, int], ...]


def size_of(ranges: Ranges) -> int:
    """Return how many slots half-open ranges hold."""
    return sum(end - start for start, end in ranges)


def free_slots(taken: Iterable[Ranges]) -> Ranges:
    """Return the slots of a layer that nobody took, in order, neighbours as one range."""
    free: list[tuple[int, int]] = []
    next_free = 0
    for start, end in sorted(one for ranges in taken for one in ranges):
        if start > next_free:
            free.append((next_free, start))
        next_free = max(next_free, end)
    if next_free < BUCKETS:
        free.append((next_free, BUCKETS))
    return tuple(free)


def allocate(taken: Iterable[Ranges], share: int) -> Ranges | None:
    """Return the first `share` free slots, at least 1; None when there are fewer."""
    found: list[tuple[int, int]] = []
    missing = share
    for start, end in free_slots(taken):
        part = min(missing, end - start)
        found.append((start, start + part))
        missing -= part
        if missing == 0:
            return tuple(found)
    return None
