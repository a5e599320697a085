"""Chance that can be drawn again: a pure function of what is decided and for which page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mmh3


class Draws(Protocol):
    """A sequence of random numbers."""

    def uniform(self) -> float:
        """Return the next number, in [0, 1)."""
        ...


class KeyedDraws:
    """The numbers that belong to a key: draw n, from 0, is h / 2**53.

    h are the first 53 bits of murmur3 x64 128, seed 0, of the UTF-8 bytes of `key + ":" + n`, so
    whoever has the log can draw a page again.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._count = 0

    def uniform(self) -> float:
        key = f"{self._key}:{self._count}".encode()
        self._count += 1
        low, _ = mmh3.hash64(key, seed=0, x64arch=True, signed=False)
        return float((low >> 11) * 2.0**-53)


def below(draws: Draws, number: int) -> int:
    """Return one of 0, 1, ..., `number` - 1, each as likely."""
    return min(int(draws.uniform() * number), number - 1)


def weighted(draws: Draws, weights: Sequence[float]) -> int:
    """Return one of 0, 1, ..., in proportion to the weights."""
    point = draws.uniform() * sum(weights)
    for i, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return i
    return max(i for i, weight in enumerate(weights) if weight > 0)  # rounding left nothing over
