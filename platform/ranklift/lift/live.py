"""The lift of a log that grows: adding pages costs what they bring, whatever was there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ranklift.lift.columns import sums_of, supported
from ranklift.lift.comparing import Method, covariates_for, values_of
from ranklift.lift.flat import read_flat
from ranklift.lift.moments import Moments
from ranklift.lift.pages import collect
from ranklift.lift.sample_ratio import sample_ratio
from ranklift.lift.subject import Metrics, Subject, metrics_of, parts_of_one
from ranklift.lift.tally import Tally, UnitColumns
from ranklift.lift.tested import lifts_between
from ranklift.lift.unit_layout import Layout
from ranklift.lift.values import Check, MetricLift
from ranklift.store.analysis import AnalysisPlan, Metric
from ranklift.v1.errors import InvalidRequest


class LiveLift:
    """The lifts of all pages added so far, as `analyze` computes them for the same pages.

    `shares` are the planned parts of the units by arm, control first. `metrics` are reported
    beside the primary one. For segments, looks over time and a verdict, `analyze` the whole log.

    Raises:
        InvalidRequest: a share is not positive, a metric is unknown, or has a cap: that is a
            quantile of all units, which every page may move.
    """

    def __init__(
        self,
        shares: Mapping[str, float],
        *,
        primary: str = "page_ctr",
        metrics: Sequence[str] = (),
        plan: AnalysisPlan | None = None,
    ) -> None:
        self._subject = Subject(
            name="log",
            arms=tuple(shares),
            shares=parts_of_one(shares),
            primary_metric=primary,
            plan=plan or AnalysisPlan(),
        )
        self._named = tuple(metrics)
        self._counted: _Counted | None = None
        # Unknown names and caps are told before any page comes.
        _uncapped(self._metrics([]))

    def add(self, pages: Any) -> None:
        """Add pages that were not added before; their columns are those of the first ones.

        Raises:
            InvalidRequest: as `analyze`, for these pages. Nothing is added then.
        """
        own = {name for metric in self._subject.plan.metrics for name in sums_of(metric)}
        log = read_flat(pages, measures=sorted(own))
        sums = (*log.measures, *log.constants)
        rows = collect(log.rows.select("unit_id", "arm", *sums)).with_columns(
            pl.col("arm").cast(pl.String)
        )
        if self._counted is None:
            layout = Layout(rows.schema, log.measures, log.constants)
            self._counted = _Counted.of(self._metrics(sums), sums, layout, self._subject)
        self._counted.tally.add(rows)

    def lifts(self) -> tuple[MetricLift, ...]:
        """Return the lift of every metric in every arm but control; nothing before any page."""
        counted = self._counted
        if counted is None:
            return ()
        return lifts_between(
            self._subject, counted.metrics, counted.moments, counted.method, counted.sums
        )

    def sample_ratio(self) -> Check:
        """Return the check for sample-ratio mismatch, which may be looked at after every page."""
        counts = dict.fromkeys(self._subject.arms, 0)
        if self._counted is not None:
            counts = {arm: self._counted.tally.moments(arm).count for arm in counts}
        return sample_ratio(counts, self._subject.shares)

    def _metrics(self, sums: Sequence[str]) -> Metrics:
        return metrics_of(self._subject.primary_metric, self._subject.plan, sums, self._named)


class _Counted:
    """What was added, and how metrics are read off it."""

    def __init__(
        self, metrics: Metrics, sums: Sequence[str], method: Method, layout: Layout
    ) -> None:
        self.metrics = metrics
        self.sums = sums
        self.method = method
        # Each metric's columns stand together: those of two metrics may share a name.
        known = [metric for metric in metrics.all if supported(metric, sums)]
        self._places: dict[str, slice] = {}
        for metric in known:
            start = max((place.stop for place in self._places.values()), default=0)
            self._places[metric.name] = slice(start, start + len(method.columns(metric)))
        names = tuple(f"{m.name}: {column}" for m in known for column in method.columns(m))

        def columns(units: pl.DataFrame) -> pl.DataFrame:
            values = [values_of(units, metric, method) for metric in known]
            return pl.DataFrame(np.hstack(values), schema=list(names))

        self.tally = Tally(layout, UnitColumns(names, columns))

    @classmethod
    def of(
        cls, metrics: Metrics, sums: Sequence[str], layout: Layout, subject: Subject
    ) -> _Counted:
        # Whether some unit lacks a pre-period shows only later; a covariate that never varies
        # drops out of the adjustment.
        adjusted = metrics.all if subject.plan.covariates else ()
        chosen = covariates_for(adjusted, sums, partial=sums)
        return cls(metrics, sums, Method(1 - subject.plan.alpha, {}, chosen), layout)

    def moments(self, metric: Metric, arm: str) -> Moments:
        return self.tally.moments(arm).along(self._places[metric.name], self.method.columns(metric))


def _uncapped(metrics: Metrics) -> None:
    for metric in metrics.all:
        if metric.cap_quantile is not None:
            raise InvalidRequest.of(
                "metrics",
                f'"{metric.name}" is capped at a quantile of all units, which every page may '
                "move; analyze the whole log for it",
            )
