"""A/A experiments on one's own log: the same units, put into two arms at random again and again.

No arm is any different, so an honest test calls a difference significant as often as its alpha
says, and its p-values are uniform. What a log's heavy users and rare clicks do to that is seen
here before an experiment rests on it (Kohavi, Tang and Xu 2020, "Trustworthy Online Controlled
Experiments", chapter 19).

All moments of an arm are sums of x and x y over its units, so `replicates` experiments are one
product of a 0/1 matrix, shape (replicates, units), with the matrix of those, taken in blocks. The
tests then see moments, as they do in a report: what is proved is the product's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray
from scipy import special

from ranklift.lift.adjust import Covariate, compare_adjusted
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.values import Check, Unavailable
from ranklift.v1.errors import InvalidRequest

# A block of 250 x 8,192 doubles is 16 MB. Smaller ones stay in a nearer cache and are a third
# faster, but the threads of the matrix product meet after each, and on a busy machine wait there:
# a sixteenth of this took ten times as long.
BLOCK_UNITS = 8_192
BLOCK_REPLICATES = 250

# Arms are drawn by comparing 16 random bits with the share.
SHARE_STEPS = 1 << 16

# A correct test fails the check of its false positives once in a thousand logs.
BAND_LEVEL = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class Rerandomised:
    """What a metric's test said of arms that do not differ: arrays of shape (replicates,).

    `z` is the difference in `standard_errors`; the others are as in `Comparison`.
    """

    p_values: Floats
    relative_lifts: Floats
    standard_errors: Floats
    z: Floats

    def false_positive_rate(self, alpha: float = 0.05) -> float:
        """Return the share of re-randomisations with a p-value below alpha."""
        return float((self.p_values < alpha).mean())


def rerandomise(
    units: pl.DataFrame,
    metrics: Sequence[tuple[str, str | None]],
    *,
    replicates: int,
    share: float = 0.5,
    seed: int,
    covariates: Sequence[Sequence[Covariate]] = (),
) -> tuple[Rerandomised | Unavailable, ...]:
    """Return, for every metric, what its test says of `replicates` random splits of the units.

    `units` has one row per unit. `metrics` are pairs of its numeric columns, numerator and
    denominator (None for a mean per unit). `covariates` has a sequence for every metric, which is
    adjusted for them (`compare_adjusted`) unless that is empty. A unit is in the arm with chance
    `share`, in (0, 1), to 1 / 65,536. A metric that any of the splits makes incomputable is
    unavailable: leaving such splits out would flatter it. The same rows and seed give the same
    numbers, and 100 replicates are the first 100 of 1,000, to rounding.

    Raises:
        InvalidRequest: a share, a number of replicates or a seed out of range, a column that is
            missing or not numeric, or covariates for another number of metrics.
    """
    adjusting = [tuple(own) for own in covariates] or [()] * len(metrics)
    if len(adjusting) != len(metrics):
        raise InvalidRequest.of(
            "covariates",
            f"{len(adjusting)} sequences for {len(metrics)} metrics; give one for each metric, an "
            "empty one for a metric without",
        )
    groups = [_columns(*metric, own) for metric, own in zip(metrics, adjusting, strict=True)]
    names = tuple(dict.fromkeys(name for group in groups for name in group))
    numeric = set(units.select(cs.numeric() | cs.boolean()).columns)
    missing = [name for name in names if name not in numeric]
    if missing:
        raise InvalidRequest.of("metrics", f"the units have no numeric column {', '.join(missing)}")

    frame = units.select(pl.col(names).cast(pl.Float64))
    holes = {name for name in names if not frame[name].is_finite().fill_null(False).all()}
    whole = [name for name in names if name not in holes]
    splits = iter(
        split_moments(
            whole,
            frame.select(whole).to_numpy(),
            [group for group in groups if not holes.intersection(group)],
            replicates=replicates,
            share=share,
            seed=seed,
        )
    )
    return tuple(
        Unavailable(f"{', '.join(sorted(lacking))}: missing or infinite for some units")
        if (lacking := holes.intersection(group))
        else _tested(*metric, own, next(splits))
        for metric, own, group in zip(metrics, adjusting, groups, strict=True)
    )


def split_moments(
    columns: Sequence[str],
    values: Floats,
    groups: Sequence[Sequence[str]],
    *,
    replicates: int,
    share: float = 0.5,
    seed: int,
) -> list[list[tuple[Moments, Moments]]]:
    """Return (control, arm) moments along every group of columns for every re-randomisation.

    `values`, shape (units, columns), are finite. Only products of columns within a group are
    summed. Splits as in `rerandomise`.

    Raises:
        InvalidRequest: a share, a number of replicates or a seed out of range.
    """
    if replicates < 1:
        raise InvalidRequest.of("replicates", f"is {replicates}, must be at least 1")
    if seed < 0:
        raise InvalidRequest.of("seed", f"is {seed}, must be at least 0")
    if not 0 < share < 1:
        raise InvalidRequest.of("share", f"is {share}, must lie between 0 and 1")
    threshold = min(max(round(share * SHARE_STEPS), 1), SHARE_STEPS - 1)
    units, width = values.shape
    places = [[columns.index(name) for name in group] for group in groups]
    pairs = sorted({pair for group in places for pair in _pairs(group)})
    product = {pair: 1 + width + number for number, pair in enumerate(pairs)}
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))

    # The raw sum of squares cancels badly when means are large. A median is within a standard
    # deviation of the mean, and whole numbers stay whole, so that their sums are exact.
    shift = np.quantile(values, 0.5, axis=0, method="lower") if units else np.zeros(width)
    sums = np.zeros((replicates, 1 + width + len(pairs)))
    totals = np.zeros(1 + width + len(pairs))
    for start in range(0, units, BLOCK_UNITS):
        block = values[start : start + BLOCK_UNITS] - shift
        table = np.hstack([np.ones((len(block), 1)), block, block[:, left] * block[:, right]])
        totals += table.sum(axis=0)
        rng = np.random.Generator(np.random.SFC64([seed, start]))
        for first in range(0, replicates, BLOCK_REPLICATES):
            rows = slice(first, min(first + BLOCK_REPLICATES, replicates))
            in_arm = _draw(rng, rows.stop - rows.start, len(block), threshold)
            sums[rows] += in_arm.astype(np.float64) @ table

    made = []
    for group, place in zip(groups, places, strict=True):
        kept = [0, *(1 + i for i in place), *(product[pair] for pair in _pairs(place))]
        made.append(
            list(
                zip(
                    _moments(tuple(group), (totals - sums)[:, kept], shift[place]),
                    _moments(tuple(group), sums[:, kept], shift[place]),
                    strict=True,
                )
            )
        )
    return made


def false_positive_band(replicates: int, alpha: float) -> tuple[float, float]:
    """Return the false-positive rates between which a correct test stays 999 times of 1,000.

    Binomial, from the 0.05 % to the 99.95 % quantile.
    """
    tail = (1 - BAND_LEVEL) / 2
    below = special.bdtr(np.arange(replicates + 1.0), replicates, alpha)
    low, high = np.searchsorted(below, [tail, 1 - tail])
    return float(low) / replicates, float(high) / replicates


def uniformity(p_values: Floats) -> float:
    """Return the p-value of the Kolmogorov-Smirnov test that p-values are uniform on [0, 1].

    D = max |F_n - F|; its limit distribution with Stephens' (1970) factor for finite n,
    sqrt(n) + 0.12 + 0.11 / sqrt(n).
    """
    n = len(p_values)
    ordered = np.sort(p_values)
    steps = np.arange(n + 1) / n
    distance = float(np.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())
    return float(special.kolmogorov((n**0.5 + 0.12 + 0.11 / n**0.5) * distance))


def honesty_check(metric: str, found: Rerandomised, *, alpha: float = 0.05) -> Check:
    """Return whether a metric's test calls nothing significant as often as its alpha says.

    Fails above the band and below it: a test that is too shy hides what an experiment did.
    """
    replicates = len(found.p_values)
    rate = found.false_positive_rate(alpha)
    low, high = false_positive_band(replicates, alpha)
    return Check(
        "honest_test",
        low <= rate <= high,
        None,
        f"{metric}: {rate:.2%} of {replicates} re-randomisations without any difference have a "
        f"p-value below {alpha:g}; a correct test has {low:.2%} to {high:.2%}",
    )


def _columns(
    numerator: str, denominator: str | None, covariates: Sequence[Covariate]
) -> tuple[str, ...]:
    names = [numerator, denominator]
    for covariate in covariates:
        names += [covariate.numerator, covariate.denominator]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _pairs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Return the (smaller, larger) pairs of places, row by row of their square matrix."""
    return [(min(i, j), max(i, j)) for i in places for j in places]


def _draw(
    rng: np.random.Generator, replicates: int, units: int, threshold: int
) -> NDArray[np.bool_]:
    """Return which units are in the arm, shape (replicates, units), from 16 bits each."""
    wanted = replicates * units
    words = rng.integers(0, 2**64, size=-(-wanted // 4), dtype=np.uint64)
    return (words.view(np.uint16)[:wanted] < threshold).reshape(replicates, units)


def _moments(columns: tuple[str, ...], sums: Floats, shift: Floats) -> Iterator[Moments]:
    """Return the moments that each row of sums amounts to: count, x - shift, all products.

    mean = shift + S / n,  m2 = Q - S S' / n.
    """
    width = len(columns)
    count, first = sums[:, :1], sums[:, 1 : 1 + width]
    n = np.maximum(count, 1)
    mean = shift + first / n
    second = sums[:, 1 + width :].reshape(-1, width, width)
    m2 = second - first[:, :, None] * first[:, None, :] / n[:, :, None]
    for units, means, squares in zip(count[:, 0], mean, m2, strict=True):
        yield Moments(columns, int(units), means, squares)


def _tested(
    numerator: str,
    denominator: str | None,
    covariates: Sequence[Covariate],
    splits: Sequence[tuple[Moments, Moments]],
) -> Rerandomised | Unavailable:
    """Return the tests of all splits, or why the first that cannot be tested cannot."""
    rows = np.empty((4, len(splits)))
    for number, (control, arm) in enumerate(splits):
        found: Comparison | Unavailable
        if covariates:
            adjusted = compare_adjusted(control, arm, numerator, denominator, covariates)
            found = adjusted if isinstance(adjusted, Unavailable) else adjusted.comparison
        else:
            found = compare(control, arm, numerator, denominator)
        if isinstance(found, Unavailable):
            return Unavailable(f"re-randomisation {number}: {found.reason}")
        error = found.standard_error
        rows[:, number] = found.p_value, found.relative_lift, error, found.difference / error
    return Rerandomised(*rows)
