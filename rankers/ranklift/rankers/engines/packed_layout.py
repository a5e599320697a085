"""How pairs lie in memory without padding: chunks of rows, and groups that attend together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from ranklift.rankers.encoding import Pair

# Attention scores of a group, at most: 1 MiB in bf16, so that they stay in the cache.
GROUP_SCORES = 1 << 19
# A pair joins a group when its padding stays under this share of the group's longest.
GROUP_SLACK = 1 / 8


@dataclass(frozen=True, slots=True)
class Padding:
    """How a group's rows become a rectangle of (pairs, longest) places, and rows again.

    `gather`, shape (places,), holds the row in each place; behind a pair's end
    that is its last row again. `mask`, shape (pairs, longest), is -inf there and
    0 elsewhere. `keep`, shape (rows,), holds the place of each row.
    """

    gather: Tensor
    mask: Tensor
    keep: Tensor


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring pairs of like length, from row `start` on.

    `padding` is None when all lengths are equal.
    """

    start: int
    lengths: tuple[int, ...]  # longest first
    padding: Padding | None

    @property
    def pairs(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        return self.lengths[0]

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + sum(self.lengths))


@dataclass(frozen=True, slots=True)
class Packed:
    """Pairs one behind the other: all of `ids`, `positions`, `types` have shape (rows,).

    `firsts`, shape (pairs,), holds each pair's first row, its [CLS] token.
    """

    ids: Tensor
    positions: Tensor
    types: Tensor
    firsts: Tensor
    groups: tuple[Group, ...]


def packed_chunks(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return the positions of `lengths` in chunks of at most `budget` tokens, longest first.

    A text longer than the budget is a chunk of its own.
    """
    found: list[list[int]] = []
    room = 0
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if found and lengths[position] <= room:
            found[-1].append(position)
        else:
            found.append([position])
            room = budget
        room -= lengths[position]
    return found


def pack(pairs: Sequence[Pair], heads: int) -> Packed:
    """Return `pairs`, longest first, as rows without padding."""
    lengths = [len(pair.ids) for pair in pairs]
    offsets = list(accumulate(lengths, initial=0))
    return Packed(
        ids=torch.tensor([token for pair in pairs for token in pair.ids]),
        positions=torch.cat([torch.arange(length) for length in lengths]),
        types=torch.tensor(
            [
                kind
                for pair in pairs
                for kind in (0,) * pair.start + (1,) * (len(pair.ids) - pair.start)
            ]
        ),
        firsts=torch.tensor(offsets[:-1]),
        groups=tuple(
            _group(offsets[begin], lengths[begin:end])
            for begin, end in group_bounds(lengths, heads)
        ),
    )


def group_bounds(lengths: Sequence[int], heads: int) -> list[tuple[int, int]]:
    """Return where groups of `lengths`, longest first, begin and end."""
    bounds: list[tuple[int, int]] = []
    begin = 0
    for end in range(1, len(lengths) + 1):
        longest = lengths[begin]
        full = (end + 1 - begin) * heads * longest * longest > GROUP_SCORES
        if end == len(lengths) or full or lengths[end] < longest * (1 - GROUP_SLACK):
            bounds.append((begin, end))
            begin = end
    return bounds


def _group(start: int, lengths: Sequence[int]) -> Group:
    if lengths[-1] == lengths[0]:
        return Group(start, tuple(lengths), None)
    size = torch.tensor(lengths)[:, None]
    first = start + size.cumsum(0) - size
    place = torch.arange(lengths[0])[None]
    behind = place >= size
    padding = Padding(
        gather=(first + place.minimum(size - 1)).flatten(),
        mask=torch.zeros(behind.shape).masked_fill(behind, float("-inf")),
        keep=(~behind).flatten().nonzero().squeeze(1),
    )
    return Group(start, tuple(lengths), padding)
