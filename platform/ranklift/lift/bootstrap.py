"""The lift by resampling units: what the delta method is checked against.

The Poisson bootstrap gives every unit an independent Poisson(1) weight in every replicate:
Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating Uncertainty for Massive Data Streams".
A weight is a hash of seed, unit and replicate, so that it depends neither on the order of the rows
nor on the machine that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import mmh3
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.lift.moments import Floats
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

MIN_REPLICATES = 100
UNITS_AT_ONCE = 1 << 16  # 8 MiB of weights and their hashes, whatever the number of units

# A replicate draws 16 bits: four replicates to a hash, and the weight is a table look-up.
LANES, LANE_BITS = 4, 16
# Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).
GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """One arm against control, with percentile intervals over `replicates`.

    `standard_error` is the standard deviation of the replicates' differences.
    """

    control_value: float
    arm_value: float
    difference: float
    difference_lower: float
    difference_upper: float
    relative_lift: float
    relative_lift_lower: float
    relative_lift_upper: float
    standard_error: float
    replicates: int


def bootstrap_ratio(
    frame: pl.DataFrame,
    control: str,
    arm: str,
    numerator: str,
    denominator: str | None = None,
    *,
    replicates: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> Bootstrapped | Unavailable:
    """Return how a ratio of means in `arm` differs from `control`, by resampling units.

    `frame` has a row per unit with `unit_id`, `arm` and the numeric columns named; without a
    denominator the ratio is a mean. `seed` lies in [0, 2^32). A unit and replicate take a
    few nanoseconds; the replicates' memory is bounded.

    Raises:
        InvalidRequest: too few replicates, a seed or a confidence level out of range.
    """
    if replicates < MIN_REPLICATES:
        raise InvalidRequest.of("replicates", f"is {replicates}, must be {MIN_REPLICATES} or more")
    if not 0 <= seed < 1 << 32:
        raise InvalidRequest.of("seed", f"is {seed}, must lie in [0, 2^32)")
    if not 0 < confidence_level < 1:
        raise InvalidRequest.of("confidence_level", f"is {confidence_level}, must lie in (0, 1)")
    ratios = []
    for side, name in (("control", control), ("arm", arm)):
        # Floating-point sums depend on their order; a fixed one makes them reproducible.
        units = frame.filter(pl.col("arm") == name).sort("unit_id")
        found = _ratios(units, numerator, denominator, replicates, seed)
        if isinstance(found, Unavailable):
            return Unavailable(f"{side}: {found.reason}")
        ratios.append(found)
    zero, one = ratios
    if not (zero > 0).all():
        return Unavailable(
            f"control is {zero.min():g} as measured or in a replicate: no lift relative to it"
        )
    differences, lifts = one - zero, one / zero - 1
    if np.ptp(differences) == 0:
        return Unavailable("no variance in either arm: nothing to test")
    ends = ((1 - confidence_level) / 2, (1 + confidence_level) / 2)
    difference_lower, difference_upper = np.quantile(differences[1:], ends).tolist()
    lift_lower, lift_upper = np.quantile(lifts[1:], ends).tolist()
    return Bootstrapped(
        control_value=float(zero[0]),
        arm_value=float(one[0]),
        difference=float(differences[0]),
        difference_lower=difference_lower,
        difference_upper=difference_upper,
        relative_lift=float(lifts[0]),
        relative_lift_lower=lift_lower,
        relative_lift_upper=lift_upper,
        standard_error=float(np.std(differences[1:], ddof=1)),
        replicates=replicates,
    )


def _ratios(
    units: pl.DataFrame, numerator: str, denominator: str | None, replicates: int, seed: int
) -> Floats | Unavailable:
    """Return an arm's ratio of means and after it that of every replicate, (1 + replicates,)."""
    if units.height < 2:
        return Unavailable(f"{units.height} exposed units, at least 2 are needed")
    sums = np.ones((units.height, 2))
    for index, column in enumerate((numerator, denominator)):
        if column is not None:
            sums[:, index] = units[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    if not np.isfinite(sums).all():
        return Unavailable(f"{numerator} or {denominator} is missing or infinite for some units")
    totals = np.vstack([sums.sum(axis=0), _resampled(units["unit_id"], sums, replicates, seed)])
    if not totals[:, 1].all():
        return Unavailable("nothing to divide by, as measured or in a replicate: too few units")
    found: Floats = totals[:, 0] / totals[:, 1]
    return found


def _resampled(unit_ids: pl.Series, sums: Floats, replicates: int, seed: int) -> Floats:
    """Return the weighed sums, shape (replicates, columns), of `sums`, shape (units, columns)."""
    keys = np.fromiter(
        (mmh3.hash64(str(unit), seed, signed=False)[0] for unit in unit_ids),
        dtype=np.uint64,
        count=len(unit_ids),
    )
    blocks = -(-replicates // LANES)
    found = np.zeros((blocks * LANES, sums.shape[1]))
    for start in range(0, len(keys), UNITS_AT_ONCE):
        part = slice(start, start + UNITS_AT_ONCE)
        for block in range(blocks):
            found[block * LANES : (block + 1) * LANES] += _weights(keys[part], block) @ sums[part]
    return found[:replicates]


def _weights(keys: NDArray[np.uint64], block: int) -> Floats:
    """Return Poisson(1) weights, shape (LANES, units), of the `block`-th four replicates."""
    bits = keys + np.uint64((block + 1) * GAMMA & MASK)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    shifts = np.arange(0, LANES * LANE_BITS, LANE_BITS, dtype=np.uint64)
    weights: Floats = POISSON[(bits >> shifts[:, None]) & np.uint64((1 << LANE_BITS) - 1)]
    return weights


def _poisson_table() -> Floats:
    """Return the Poisson(1) quantiles of 2^16 equal steps: mean and variance are 1 to 1e-4."""
    steps = (np.arange(1 << LANE_BITS) + 0.5) / (1 << LANE_BITS)
    probabilities = np.exp(-1) / np.cumprod([1, *range(1, 16)])
    return np.searchsorted(np.cumsum(probabilities), steps).astype(np.float64)


POISSON = _poisson_table()
