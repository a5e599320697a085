"""What click models draw from and what they draw: the results of pages, and what users do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranklift.clicks.keys import Keys, mix

Rows: TypeAlias = NDArray[np.int64] | slice
Floats: TypeAlias = NDArray[np.float64]


class Results(Protocol):
    """What some pages show. A model asks for those results only that somebody looks at.

    `rows` are indices of pages. What is not there, behind the last result of a
    short page, has attractiveness 0.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(pages, ranks)."""

    def page_keys(self, rows: Rows) -> Keys:
        """Return the key of each page, for what is decided once a page, whatever it shows."""

    def keys(self, rank: int, rows: Rows) -> Keys:
        """Return the key of the result at a 0-based rank of each page: user, page and document."""

    def attractiveness(self, rank: int, rows: Rows) -> Floats:
        """Return P(attracted | examined)."""

    def satisfaction(self, rank: int, rows: Rows) -> Floats:
        """Return P(satisfied | clicked)."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Results that are all there already; arrays of shape (pages, ranks)."""

    all_keys: Keys
    attraction: Floats
    satisfied: Floats
    of_pages: Keys  # (pages,)

    @property
    def shape(self) -> tuple[int, int]:
        pages, ranks = self.all_keys.shape
        return pages, ranks

    def page_keys(self, rows: Rows) -> Keys:
        return self.of_pages[rows]

    def keys(self, rank: int, rows: Rows) -> Keys:
        return self.all_keys[rows, rank]

    def attractiveness(self, rank: int, rows: Rows) -> Floats:
        return self.attraction[rows, rank]

    def satisfaction(self, rank: int, rows: Rows) -> Floats:
        return self.satisfied[rows, rank]


def table(
    keys: Keys,
    attraction: ArrayLike,
    satisfaction: ArrayLike = 0.0,
    *,
    page_keys: Keys | None = None,
) -> Table:
    """Return results of shape (pages, ranks); the others broadcast to the shape of `keys`.

    Without `page_keys`, a page's key is made of those of its results in any
    order: it survives another order, but not another set of results.
    """
    return Table(
        keys,
        np.broadcast_to(np.asarray(attraction, dtype=np.float64), keys.shape),
        np.broadcast_to(np.asarray(satisfaction, dtype=np.float64), keys.shape),
        mix(keys.sum(axis=1, dtype=np.uint64)) if page_keys is None else page_keys,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Clicks together with the latent variables behind them; all of shape (pages, ranks).

    `attracted` is False where nobody looked, and `satisfied` where nobody clicked.
    """

    examined: NDArray[np.bool_]
    attracted: NDArray[np.bool_]
    clicked: NDArray[np.bool_]
    satisfied: NDArray[np.bool_]
