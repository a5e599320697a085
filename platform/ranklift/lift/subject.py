"""What a report is about, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from ranklift.lift.columns import supported
from ranklift.lift.metrics import METRICS, SECONDARY
from ranklift.store.analysis import AnalysisPlan, Horizon, Metric
from ranklift.v1.errors import InvalidRequest

# Tells the arm of each of these units; None for a unit that takes no part.
Recompute = Callable[[Sequence[str]], Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class Subject:
    """An experiment as its report sees it.

    `arms` has control first; `shares` are their planned parts of the units and sum to 1. `finished`
    says that the planned end is reached, or that the log is complete; `ended` that somebody ended
    the experiment, which may have been for what he saw; `now` when the report is made, where that
    matters. `recompute`, where there is one, tells what a unit's arm must have been.
    """

    name: str
    arms: tuple[str, ...]
    shares: Mapping[str, float]
    primary_metric: str = "page_ctr"
    plan: AnalysisPlan = field(default_factory=AnalysisPlan)
    unit: str = "user"
    revision: int = 0
    started: datetime | None = None
    planned_end: datetime | None = None
    finished: bool = False
    ended: bool = False
    now: datetime | None = None
    recompute: Recompute | None = None

    @property
    def control(self) -> str:
        return self.arms[0]

    @property
    def horizon(self) -> Horizon:
        """Return the horizon in force: looks may be spent only where an end is planned."""
        if self.plan.horizon is not None:
            return self.plan.horizon
        planned = self.plan.planned_units or (self.planned_end and self.started)
        return Horizon.GROUP_SEQUENTIAL if planned else Horizon.ALWAYS_VALID


def parts_of_one(shares: Mapping[str, float]) -> dict[str, float]:
    """Return planned shares, in any unit, as parts that sum to 1.

    Raises:
        InvalidRequest: there are fewer than two, or one is not positive.
    """
    for arm, share in shares.items():
        if not 0 < share < float("inf"):
            raise InvalidRequest.of("shares", f'"{arm}" has {share:g}, must be above 0 and finite')
    if len(shares) < 2:
        raise InvalidRequest.of("shares", "has one arm, must have two or more")
    total = sum(shares.values())
    return {arm: share / total for arm, share in shares.items()}


@dataclass(frozen=True, slots=True)
class Sums:
    """What was logged, summed up.

    `units` and `days` are the sums per unit and arm, and per unit, arm and day (`sums`, `days`);
    `dwells` has a row per click with a dwell: `unit_id`, `arm`, `dwell_ms`, `censored`. None
    where the log cannot tell, or nobody asked. `segments` and `experiments` name the segment
    columns of `units` and the other experiments that its units met.
    """

    units: pl.DataFrame
    days: pl.DataFrame | None = None
    dwells: pl.DataFrame | None = None
    segments: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of a report by role; each is in one role."""

    primary: Metric
    secondary: tuple[Metric, ...]
    guardrails: tuple[Metric, ...]
    diagnostics: tuple[Metric, ...]

    @property
    def all(self) -> tuple[Metric, ...]:
        return (self.primary, *self.secondary, *self.guardrails, *self.diagnostics)


def metrics_of(
    primary: str, plan: AnalysisPlan, columns: Sequence[str], only: Sequence[str] | None = None
) -> Metrics:
    """Return the metrics that unit sums with these columns can be read for, by role.

    What an experiment names must be there or is reported as missing; of the built-in metrics that
    it does not name, those that the log supports are diagnostics. `only` leaves all others out.

    Raises:
        InvalidRequest: a name is neither built in nor declared.
    """
    known = {**METRICS, **{metric.name: metric for metric in plan.metrics}}

    def find(field: str, name: str) -> Metric:
        if name not in known:
            raise InvalidRequest.of(
                field, f'"{name}" is no metric; the metrics are {", ".join(known)}'
            )
        return known[name]

    first = find("primary_metric", primary)
    guardrails = [find("guardrails", guardrail.metric) for guardrail in plan.guardrails]
    if plan.secondary_metrics:
        secondary = [find("secondary_metrics", name) for name in plan.secondary_metrics]
    else:
        chosen = (*(known[name] for name in SECONDARY), *plan.metrics)
        secondary = [metric for metric in chosen if supported(metric, columns)]
    diagnostics = [metric for metric in known.values() if supported(metric, columns)]
    if only is not None:
        wanted = [find("metrics", name) for name in only]
        secondary = [metric for metric in secondary if metric in wanted]
        diagnostics = wanted
    taken: set[str] = set()

    def untaken(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
        new = {m.name: m for m in metrics if m.name not in taken}
        taken.update(new)
        return tuple(new.values())

    (primary_metric,) = untaken([first])
    return Metrics(
        primary_metric,
        guardrails=untaken(guardrails),
        secondary=untaken(secondary),
        diagnostics=untaken(diagnostics),
    )
