"""What an estimator makes of the pages, and what follows from it: value, errors, support.

Every estimator is a sum of ratios of sums over pages, so one linearisation by unit serves all:
Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics" (arXiv 1803.06336).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """An estimate before it is one: sum over columns of sum(numerator) / sum(denominator).

    `numerator` and `denominator` have shape (pages, columns). `weights`, shape (pages, any), are
    the importance weights, `counted` which of them stand for something that was shown; `clipped`
    is the share of these that were cut. Each column of weights must do on its own, unless they
    are `pooled`: then a rank that the candidate takes all documents from is no lack of support.

    `covered` out of `wanted`, shape (pages,): how much of what the candidate shows has support in
    the log. `covered` is exact, or where `sampled` an importance-weighted count whose expectation
    is `wanted` when support is complete.
    """

    numerator: Floats
    denominator: Floats
    weights: Floats
    counted: Bools
    covered: Floats
    wanted: Floats
    sampled: bool
    pooled: bool = False
    clipped: float = 0.0

    @property
    def value(self) -> float:
        return float((self.numerator.sum(axis=0) / self.denominator.sum(axis=0)).sum())


@dataclass(frozen=True, slots=True)
class Support:
    """How much of what the candidate shows the log can speak for.

    `share` is in [0, 1], or scatters around its value when it is `sampled`, with `error`.
    """

    share: float
    error: float
    sampled: bool


def logged_terms(pages: LoggedPages) -> Terms:
    """Return the terms of what the log itself brought per page."""
    one = np.ones((len(pages.units), 1))
    all_ = np.ones(len(one))
    return Terms(pages.rewards.sum(axis=1)[:, None], one, one, one > 0, all_, all_, sampled=False)


def influence(terms: Terms, units: Ints) -> Floats:
    """Return what each unit adds to the estimate's error, shape (units,); it sums to 0.

    With R = sum(N) / sum(D) and unit sums N_u, D_u of U units: (N_u - R D_u) / (sum(D) / U),
    summed over columns. The variance of the estimate is sum(influence^2) / (U (U - 1)).
    """
    numerator, denominator = by_unit(terms.numerator, units), by_unit(terms.denominator, units)
    ratio = numerator.sum(axis=0) / denominator.sum(axis=0)
    mean = denominator.mean(axis=0)
    return np.asarray(((numerator - ratio * denominator) / mean).sum(axis=1))


def standard_error(influences: Floats) -> float:
    """Return the standard error that unit influences imply; needs two units."""
    units = len(influences)
    return float(np.sqrt((influences**2).sum() / (units * (units - 1))))


def effective_units(terms: Terms, units: Ints) -> float:
    """Return as how many equally weighted units the weights count; the worst column decides.

    Kish's (sum w)^2 / sum w^2, once over the units' sums of weights and once over single weights
    as a part of all units: the one finds few units that carry everything, the other few results
    within them.
    """
    number = int(units.max()) + 1
    weights = np.where(terms.counted, terms.weights, 0.0)
    of_units, squares = by_unit(weights, units), weights**2
    counted = terms.counted.sum(axis=0)
    if terms.pooled:
        of_units = of_units.sum(axis=1, keepdims=True)
        squares = squares.sum(axis=1, keepdims=True)
        counted = counted.sum(keepdims=True)
    # A column that stands for nothing that was shown says nothing.
    total, of_units, squares, counted = (
        x[..., counted > 0] for x in (of_units.sum(axis=0), of_units, squares, counted)
    )
    if not len(total) or not (total > 0).all():
        return 0.0
    by_units = total**2 / (of_units**2).sum(axis=0)
    single = total**2 / (squares.sum(axis=0) * counted)
    return float(min(by_units.min(), number * single.min()))


def support(terms: Terms, units: Ints) -> Support:
    """Return the share of what the candidate shows that the log can speak for."""
    covered, wanted = (by_unit(x[:, None], units)[:, 0] for x in (terms.covered, terms.wanted))
    share = float(covered.sum() / wanted.sum())
    error = standard_error((covered - share * wanted) / wanted.mean()) if terms.sampled else 0.0
    return Support(share, error, terms.sampled)


def clip(weights: Floats, counted: Bools, largest: float | None) -> tuple[Floats, float]:
    """Return the weights cut at `largest` and the share of them that were cut."""
    if largest is None or not counted.any():
        return weights, 0.0
    return np.minimum(weights, largest), float((weights[counted] > largest).mean())


def by_unit(values: Floats, units: Ints) -> Floats:
    """Return the sums of `values`, shape (pages, columns), over each unit: (units, columns)."""
    number = int(units.max()) + 1
    columns = [np.bincount(units, weights=column, minlength=number) for column in values.T]
    return np.stack(columns, axis=1)
