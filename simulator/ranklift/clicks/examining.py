"""Sampling of models where each rank is looked at or not, given the clicks above: PBM, UBM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Keys, Purpose, draw
from ranklift.clicks.results import Floats, Results, Rows, Sample

# P(examined) at a 0-based rank, by the last clicked rank above it: 1-based, 0 for none; (pages,).
Examination: TypeAlias = Callable[[int, NDArray[np.int64]], Floats | float]
# Whether those who look at a rank are attracted: by the rank, their keys and rows.
Attraction: TypeAlias = Callable[[int, Keys, Rows], NDArray[np.bool_]]


def sample(
    results: Results, examination: Examination, attraction: Attraction | None = None
) -> Sample:
    """Return what users do; only what is looked at is asked for. `attraction` is that of the
    results by default."""
    drawn = Sample(*(np.zeros(results.shape, dtype=bool) for _ in range(4)))
    last = np.zeros(results.shape[0], dtype=np.int64)
    attracts = attraction or _by_results(results)
    for rank in range(results.shape[1]):
        keys = results.keys(rank, slice(None))
        (looks,) = (draw(keys, Purpose.EXAMINE) < examination(rank, last)).nonzero()
        keys = keys.take(looks)
        attracted = attracts(rank, keys, looks)
        clicked = looks.compress(attracted)
        drawn.examined[looks, rank] = True
        drawn.attracted[clicked, rank] = True
        drawn.clicked[clicked, rank] = True
        drawn.satisfied[clicked, rank] = draw(
            keys.compress(attracted), Purpose.SATISFY
        ) < results.satisfaction(rank, clicked)
        last[clicked] = rank + 1
    return drawn


def _by_results(results: Results) -> Attraction:
    return lambda rank, keys, rows: np.asarray(
        draw(keys, Purpose.ATTRACT) < results.attractiveness(rank, rows)
    )
