"""What an engine is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ranklift.rankers.base import Values
from ranklift.rankers.encoding import Pair


class Engine(Protocol):
    """Scores pairs, whatever queries they are of. Several threads may ask at once."""

    @property
    def name(self) -> str:
        """How it computes, e.g. "reference"."""

    @property
    def numerics(self) -> str:
        """The numerics of the forward pass: "fp32", "bf16" or "int8"."""

    def scores(self, pairs: Sequence[Pair]) -> Values:
        """Return one score per pair, in their order, shape (pairs,); finite or not."""
