"""Tastes: the same document attracts one user more than another, on every page they see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.clicks.results import Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """The taste of the user of each page: N(0, `sigma`) by user and document, on the log odds."""

    key: Keys  # (pages,), of the user
    sigma: float

    def __getitem__(self, rows: Rows) -> Taste:
        return Taste(self.key[rows], self.sigma)

    def log_odds(self, rows: Rows, document: Keys) -> Floats:
        """Return what is added for one document on each of the pages `rows`."""
        return np.asarray(self.sigma * ndtri(uniform(extend(self.key[rows], document))))


def taste_of(sigma: float, seed: int, user: NDArray[np.int64]) -> Taste:
    return Taste(extend(np.uint64(seed), user, Purpose.TASTE), sigma)
