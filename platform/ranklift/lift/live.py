"""The lift of a log that grows: adding pages costs what they bring, whatever was there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw

from ranklift.lift.columns import sums_of, supported
from ranklift.lift.comparing import Method, covariates_for, value_columns, with_values
from ranklift.lift.flat import read_flat
from ranklift.lift.moments import Moments
from ranklift.lift.pages import collect, faults_first, without_faults
from ranklift.lift.sample_ratio import sample_ratio
from ranklift.lift.subject import Metrics, Subject, metrics_of, parts_of_one
from ranklift.lift.tally import Tally, UnitColumns
from ranklift.lift.tally_file import read_units
from ranklift.lift.tested import lifts_between
from ranklift.lift.unit_layout import Layout
from ranklift.lift.values import Check, MetricLift
from ranklift.store.analysis import AnalysisPlan, Metric
from ranklift.v1.errors import InvalidRequest, NotReady


class LiveLift:
    """The lifts of all pages added so far, as `analyze` computes them for the same pages.

    `shares` are the planned parts of the units by arm, control first. `metrics` are reported
    beside the primary one. For segments, looks over time and a verdict, `analyze` the whole log.

    Raises:
        InvalidRequest: a share is not positive, or a metric is unknown, capped at a quantile of
            all units, or made of sessions: none of these can be followed page by page.
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
        # What cannot be followed is told before any page comes.
        _refuse_unfollowable(self._metrics([]))

    def add(self, pages: Any) -> None:
        """Add pages that were not added before; their columns are those of the first ones.

        Raises:
            InvalidRequest: as `analyze`, for these pages. Nothing is added then.
        """
        own = {name for metric in self._subject.plan.metrics for name in sums_of(metric)}
        log = read_flat(pages, measures=sorted(own), at_once=False)
        with faults_first(log):
            metrics = self._metrics((*log.measures, *log.constants))
            log = log.with_only({name for metric in metrics.all for name in sums_of(metric)})
            sums = (*log.measures, *log.constants)
            arm = nw.col("arm").cast(nw.String)
            rows = collect(log.rows.select("unit_id", arm, *sums, *log.unchecked))
            rows = without_faults(log, rows)
            if self._counted is None:
                layout = Layout(rows.schema, log.measures, log.constants)
                self._counted = _Counted.of(metrics, sums, layout, self._subject)
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

    def save(self, path: Path) -> None:
        """Write what was added to a file, all or nothing; `restore` reads it.

        Raises:
            NotReady: no page was added yet.
        """
        if self._counted is None:
            raise NotReady.of("pages", "none were added yet; there is nothing to save")
        self._counted.tally.save(path)

    def restore(self, path: Path) -> None:
        """Go on from what was saved, in place of what was added here.

        Raises:
            UnreadableTally: the file is damaged or of another version; add the pages again.
        """
        _, layout = read_units(path)
        sums = (*layout.measures, *layout.constants)
        counted = _Counted.of(self._metrics(sums), sums, layout, self._subject)
        counted.tally = Tally.load(path, counted.columns)
        self._counted = counted

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
        known = [metric for metric in metrics.all if supported(metric, sums)]
        names = {metric.name: value_columns(metric, method) for metric in known}
        columns = tuple(dict.fromkeys(name for of_one in names.values() for name in of_one))
        self._places = {
            metric: [columns.index(name) for name in of_one] for metric, of_one in names.items()
        }
        self.columns = UnitColumns(columns, lambda units: with_values(units, known, method))
        self.tally = Tally(layout, self.columns)

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


def _refuse_unfollowable(metrics: Metrics) -> None:
    """Refuse metrics that are not made of what each page adds by itself."""
    for metric in metrics.all:
        if metric.cap_quantile is not None:
            why = "is capped at a quantile of all units, which every page may move"
        elif "sessions" in sums_of(metric):
            why = "counts sessions, and the pages of one may be added apart"
        else:
            continue
        raise InvalidRequest.of("metrics", f'"{metric.name}" {why}; analyze the whole log for it')
