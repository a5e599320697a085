"""p-values corrected for how many there are; they may be held against alpha as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranklift.lift.moments import Floats
from ranklift.v1.errors import InvalidRequest


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values that bound the chance of any false finding, in the given order.

    The i-th smallest of m becomes max over j <= i of (m - j + 1) p_(j), at most 1: Holm 1979, "A
    simple sequentially rejective multiple test procedure". Holds under any dependence.

    Raises:
        InvalidRequest: a value is no probability.
    """
    ranked, back = _ranked(p_values)
    factors = np.arange(len(ranked), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(factors * ranked), 1.0)
    return tuple(adjusted[back].tolist())


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values that bound the expected share of false findings, in the given order.

    The i-th smallest of m becomes min over j >= i of m p_(j) / j: Benjamini and Hochberg 1995,
    "Controlling the false discovery rate". Holds for independent or positively dependent tests.

    Raises:
        InvalidRequest: a value is no probability.
    """
    ranked, back = _ranked(p_values)
    shares = ranked * len(ranked) / np.arange(1, len(ranked) + 1)
    adjusted = np.minimum.accumulate(shares[::-1])[::-1]
    return tuple(adjusted[back].tolist())


def _ranked(p_values: Sequence[float]) -> tuple[Floats, NDArray[np.intp]]:
    """Return the sorted p-values and the index that brings them back into the given order."""
    for number, p_value in enumerate(p_values):
        if not 0 <= p_value <= 1:
            raise InvalidRequest.of(f"p_values[{number}]", f"{p_value} is not in [0, 1]")
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    return values[order], np.argsort(order)
