"""The platform's own statistics and splitter, as the simulator's experiments take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.lift.analysis import analyze
from ranklift.lift.columns import columns_of, supported
from ranklift.lift.comparing import method_for, moments_of
from ranklift.lift.flat import read_flat
from ranklift.lift.metrics import METRICS
from ranklift.lift.planning import power_at, relative_variance
from ranklift.lift.sums import unit_sums
from ranklift.lift.values import Measured
from ranklift.simulator.calibration.readout import ARMS, CONTROL, ExperimentLog, Reading, Readings
from ranklift.simulator.world import USER_DIGITS
from ranklift.store.analysis import AnalysisPlan, Horizon
from ranklift.store.values import BUCKETS, Arm, Experiment, ModelRef
from ranklift.traffic.many_units import assign_many


@dataclass(frozen=True, slots=True)
class LiftReadout:
    """The lift report of a log that is complete, every metric at the level `alpha`."""

    alpha: float = 0.05

    def __call__(self, log: ExperimentLog) -> Readings:
        """Return what the report says of every metric that it knows.

        The p-values are each test's own, not corrected for how many there are.
        """
        report = analyze(
            log.pages,
            log.clicks,
            control=CONTROL,
            plan=AnalysisPlan(horizon=Horizon.FIXED, alpha=self.alpha),
            details=False,
        )
        metrics: dict[str, Reading] = {}
        unavailable = dict.fromkeys(METRICS, "the log does not tell what it is made of")
        for lift in report.lifts:
            if isinstance(lift.found, Measured):
                interval = lift.found.relative_lift_interval
                metrics[lift.metric] = Reading(
                    lift.found.relative_lift, interval.lower, interval.upper, lift.found.p_value
                )
            else:
                unavailable[lift.metric] = lift.found.reason
        return Readings(
            metrics=metrics,
            unavailable={name: why for name, why in unavailable.items() if name not in metrics},
            alarms=tuple(check.name for check in report.checks if not check.passed),
            decision=str(report.verdict.decision),
        )


@dataclass(frozen=True, slots=True)
class SaltedSplit:
    """Two halves by a salted hash of the user's id, as production splits; a salt an experiment."""

    world: str
    salt: str

    def __call__(self, users: NDArray[np.int64], experiment: int) -> NDArray[np.int64]:
        """Return 0 for control and 1 for the arm, for each user."""
        half = BUCKETS // 2
        arms = tuple(Arm(name, half, ModelRef("simulated", name)) for name in ARMS)
        split = Experiment("calibration", arms, CONTROL, f"{self.salt}/{experiment}")
        names = pl.DataFrame({"user": users}).select(
            pl.format(
                "{}-{}",
                pl.lit(self.world),
                pl.col("user").cast(pl.String).str.zfill(USER_DIGITS),
            )
        )
        return assign_many(split, names.to_series()).arms.astype(np.int64)


@dataclass(frozen=True, slots=True)
class LiftPlan:
    """What `ranklift power` predicts from a log of usual traffic, for as many users as it has."""

    alpha: float = 0.05

    def __call__(self, log: ExperimentLog, lifts: Mapping[str, float]) -> Mapping[str, float]:
        """Return the power for each metric's lift, without the metrics that cannot be planned."""
        pages = read_flat(log.pages, log.clicks)
        units = unit_sums(pages.rows, measures=pages.measures)
        metrics = [METRICS[n] for n in lifts if supported(METRICS[n], pages.measures)]
        method = method_for(units, metrics, confidence_level=1 - self.alpha, covariates=False)
        planned = {}
        for metric in metrics:
            moments = moments_of(units, metric, method)
            variance = relative_variance(moments, *columns_of(metric))
            if isinstance(variance, float):
                planned[metric.name] = power_at(
                    variance, lifts[metric.name], units.height, alpha=self.alpha
                )
        return planned
