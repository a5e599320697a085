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
# Places are padded to a multiple of this.
WIDTH_STEP = 16
# Libraries multiply fewer rows by another kernel, which sums in another order.
LEAST_ROWS = 16


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring pairs that attend side by side, from row `start` on, in places of one width.

    `gather`, shape (places,), holds the row in each place; behind a pair's end
    that is its last row again. `mask`, shape (pairs, width), is -inf there and 0
    elsewhere. `keep`, shape (rows,), holds the place of each row.
    """

    start: int
    lengths: tuple[int, ...]  # longest first
    width: int
    gather: Tensor
    mask: Tensor
    keep: Tensor

    @property
    def pairs(self) -> int:
        return len(self.lengths)

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + sum(self.lengths))


@dataclass(frozen=True, slots=True)
class Packed:
    """Pairs one behind the other: all of `ids`, `positions`, `types` have shape (rows,).

    `firsts`, shape (pairs,), holds each pair's first row, its [CLS] token. Rows
    and firsts that are of no pair follow where there would be fewer than `LEAST_ROWS`.
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
    """Return `pairs`, longest first, as rows without padding.

    What is computed of a pair depends on the pair alone: its attention has the
    width that its own length gives it, and there are always enough rows. So a
    pair's score is the same to the bit, whatever else is scored with it.
    """
    lengths = [len(pair.ids) for pair in pairs]
    offsets = list(accumulate(lengths, initial=0))
    spare_rows = (0,) * (LEAST_ROWS - offsets[-1])
    spare_pairs = (0,) * (LEAST_ROWS - len(pairs))
    return Packed(
        ids=torch.tensor([*(token for pair in pairs for token in pair.ids), *spare_rows]),
        positions=torch.tensor([*(i for length in lengths for i in range(length)), *spare_rows]),
        types=torch.tensor(
            [
                kind
                for pair in pairs
                for kind in (0,) * pair.start + (1,) * (len(pair.ids) - pair.start)
            ]
            + [*spare_rows]
        ),
        firsts=torch.tensor([*offsets[:-1], *spare_pairs]),
        groups=tuple(
            _group(offsets[begin], lengths[begin:end])
            for begin, end in group_bounds(lengths, heads)
        ),
    )


def width_of(length: int) -> int:
    """Return how many places a pair of `length` tokens attends in."""
    return -(-length // WIDTH_STEP) * WIDTH_STEP


def group_bounds(lengths: Sequence[int], heads: int) -> list[tuple[int, int]]:
    """Return where groups of `lengths`, longest first, begin and end."""
    bounds: list[tuple[int, int]] = []
    begin = 0
    for end in range(1, len(lengths) + 1):
        width = width_of(lengths[begin])
        full = (end + 1 - begin) * heads * width * width > GROUP_SCORES
        if end == len(lengths) or full or width_of(lengths[end]) < width:
            bounds.append((begin, end))
            begin = end
    return bounds


def _group(start: int, lengths: Sequence[int]) -> Group:
    width = width_of(lengths[0])
    size = torch.tensor(lengths)[:, None]
    first = start + size.cumsum(0) - size
    place = torch.arange(width)[None]
    behind = place >= size
    return Group(
        start,
        tuple(lengths),
        width,
        gather=(first + place.minimum(size - 1)).flatten(),
        mask=torch.zeros(behind.shape).masked_fill(behind, float("-inf")),
        keep=(~behind).flatten().nonzero().squeeze(1),
    )
