"""Coverage: how often an interval holds the true lift, and how the estimates lie around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ranklift.simulator.calibration.aa import alarms, measured, unavailable
from ranklift.simulator.calibration.rates import Rate, band
from ranklift.simulator.calibration.readout import Reading, Readings
from ranklift.simulator.calibration.truths import Truth


@dataclass(frozen=True, slots=True)
class Covered:
    """How one metric's intervals did.

    `bias` is the mean of log(1 + estimate) - log(1 + truth), with its standard error. z is that
    difference in standard errors as the interval tells them; it should have mean 0 and spread
    (standard deviation) 1. `truth_in_errors` is the truth's own standard error in those of one
    experiment: far below 1, or coverage is about something else.
    """

    metric: str
    truth: Truth
    held: Rate
    bias: float
    bias_error: float
    z_mean: float
    z_spread: float
    truth_in_errors: float
    honest: bool


@dataclass(frozen=True, slots=True, eq=False)
class CoverageReport:
    """Coverage by metric; `wanted` is the band of honest rates."""

    experiments: int
    level: float
    wanted: tuple[float, float]
    metrics: tuple[Covered, ...]
    unavailable: Mapping[str, str]
    alarms: Mapping[str, Rate]

    @property
    def honest(self) -> bool:
        return all(metric.honest for metric in self.metrics)


def coverage_report(
    found: Sequence[Readings], truths: Mapping[str, Truth], *, level: float = 0.95
) -> CoverageReport:
    """Return the report of at least one experiment whose true lifts are known.

    Intervals have the confidence `level`, and are symmetric in log(1 + lift), as the lift
    report's are.
    """
    metrics = tuple(
        _covered(metric, [one.metrics[metric] for one in found], truths[metric], level)
        for metric in measured(found)
        if metric in truths
    )
    return CoverageReport(
        len(found), level, band(len(found), level), metrics, unavailable(found), alarms(found)
    )


def _covered(metric: str, found: Sequence[Reading], truth: Truth, level: float) -> Covered:
    low, high = band(len(found), level)
    held = Rate.of([one.lower <= truth.lift <= one.upper for one in found])
    off = np.log1p([one.lift for one in found]) - np.log1p(truth.lift)
    width = np.log1p([one.upper for one in found]) - np.log1p([one.lower for one in found])
    errors = width / (2 * ndtri((1 + level) / 2))
    z = off / errors
    several = len(found) > 1
    return Covered(
        metric=metric,
        truth=truth,
        held=held,
        bias=float(off.mean()),
        bias_error=float(off.std(ddof=1) / np.sqrt(len(off))) if several else float("nan"),
        z_mean=float(z.mean()),
        z_spread=float(z.std(ddof=1)) if several else float("nan"),
        truth_in_errors=float(truth.error / (1 + truth.lift) / np.median(errors)),
        honest=low <= held.value <= high,
    )
