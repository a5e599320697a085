"""How often each position is looked at, from the same log that is to be debiased."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.em import NotIdentified
from ranklift.clicks.pbm import DEFAULT_EXAMINATION, examination_from_counts

Counts: TypeAlias = NDArray[np.int64]
# Of cells (pair index, 0-based rank, impressions, clicks), each of shape (cells,), the examination
# by rank, relative to the first rank; shape (highest rank + 1,).
Examination: TypeAlias = Callable[[Counts, Counts, Counts, Counts], NDArray[np.float64]]

# A rank's estimate weighs as much as the default once it had so many clicks.
PRIOR_CLICKS = 50.0
# No impression counts for less, or a single click far down would decide.
FLOOR = 0.05


def examination_of(
    pair: Counts, rank: Counts, impressions: Counts, clicks: Counts
) -> NDArray[np.float64]:
    """Return the examination of each rank, shape (highest rank + 1,), in [`FLOOR`, 1].

    The position-based model is fitted to the log and drawn towards the default
    curve where clicks are few. Where the log cannot identify it, because every
    document always stood at one rank, the default curve stands alone.
    """
    ranks = int(rank.max()) + 1 if len(rank) else 0
    default = default_examination(ranks)
    if not ranks:
        return default
    try:
        fitted = examination_from_counts(pair, rank, impressions, clicks)
    except NotIdentified:
        return default
    clicked = np.bincount(rank, weights=clicks, minlength=ranks)
    trust = clicked / (clicked + PRIOR_CLICKS)
    return np.clip(trust * fitted + (1 - trust) * default, FLOOR, 1.0)


def default_examination(ranks: int) -> NDArray[np.float64]:
    """Return the default curve for so many ranks; the last known value goes on beyond its end."""
    known = np.asarray(DEFAULT_EXAMINATION, dtype=np.float64)
    return known[np.minimum(np.arange(ranks), len(known) - 1)]
