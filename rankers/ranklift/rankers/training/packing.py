"""Many short texts in few rows: continued pre-training without padding.

Texts of one row do not see each other: attention stays within a text, and
positions begin anew with each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ranklift.rankers.encoding import Pair

# Rows are at least this long: long enough that texts of any length fill them.
ROW_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Packed:
    """Texts in rows: all of shape (rows, tokens), but for `attention` (rows, 1, tokens, tokens).

    `targets` is true for tokens that are to be predicted: the document's and the closing one.
    `attention` is true where the token of the third dimension sees that of the fourth.
    """

    input_ids: Tensor
    position_ids: Tensor
    targets: Tensor
    attention: Tensor


def pack(pairs: Sequence[Pair]) -> Packed:
    """Return `pairs` in rows, the longest first, each where there is room first."""
    width = max(ROW_TOKENS, *(pair.tokens for pair in pairs))
    rows = _rows([pair.tokens for pair in pairs], width)
    shape = (len(rows), width)
    input_ids, position_ids = torch.zeros((2, *shape), dtype=torch.long)
    targets = torch.zeros(shape, dtype=torch.bool)
    # Which text a token is of, 0 for none. Padding sees padding: a row of the
    # attention that sees nothing would be NaN.
    text = torch.zeros(shape, dtype=torch.long)
    for row, members in enumerate(rows):
        start = 0
        for number, i in enumerate(members, start=1):
            pair = pairs[i]
            end = start + pair.tokens
            input_ids[row, start:end] = torch.tensor(pair.ids)
            position_ids[row, start:end] = torch.arange(pair.tokens)
            targets[row, start + pair.start : end] = True
            text[row, start:end] = number
            start = end
    before = torch.ones((width, width), dtype=torch.bool).tril()
    same = text.unsqueeze(2) == text.unsqueeze(1)
    return Packed(input_ids, position_ids, targets, (same & before).unsqueeze(1))


def _rows(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Return positions of `lengths` in rows of at most `width`: first fit decreasing."""
    rows: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        row = next((r for r, left in enumerate(room) if left >= lengths[i]), None)
        if row is None:
            rows.append([i])
            room.append(width - lengths[i])
        else:
            rows[row].append(i)
            room[row] -= lengths[i]
    return rows
