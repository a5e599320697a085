"""Lists of scores for the tests: one written out, and a batch of ragged random ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def row(*numbers: float) -> Tensor:
    """Return one list, (1, list), in fp64."""
    return torch.tensor([numbers], dtype=torch.float64)


def all_of(scores: Tensor) -> Tensor:
    """Return the mask that shows everything."""
    return torch.ones_like(scores, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class Lists:
    """What a loss reads, all of shape (queries, list)."""

    scores: Tensor
    targets: Tensor
    mask: Tensor


def ragged(seed: int, *, queries: int = 4, width: int = 6) -> Lists:
    """Return lists of 2 documents or more, of any scores, with targets that all differ."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn((queries, width), dtype=torch.float64, generator=generator)

    lengths = torch.randint(2, width + 1, (queries, 1), generator=generator)
    lengths[0] = width
    return Lists(normal(), normal(), torch.arange(width) < lengths)
