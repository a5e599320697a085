"""The lift report and its parts, as frozen values; every renderer reads only these.

Relative numbers are parts of control's value: 0.01 is one per cent. Instants are aware, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from ranklift.store.analysis import AnalysisPlan, Horizon, Metric

SCHEMA = "ranklift.lift_report/2"


class Role(StrEnum):
    """What a metric is there for. Diagnostics explain and decide nothing."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GUARDRAIL = "guardrail"
    DIAGNOSTIC = "diagnostic"


class Outcome(StrEnum):
    """What a guardrail's interval says of its margin."""

    PASSED = "passed"  # the loss is shown to be smaller than the margin
    BREACHED = "breached"  # the loss is shown to be larger than the margin
    OPEN = "open"  # neither yet


class Decision(StrEnum):
    """What a report advises."""

    SHIP = "ship"
    ROLL_BACK = "roll_back"
    KEEP_RUNNING = "keep_running"
    NO_DIFFERENCE = "no_difference"  # the planned end is reached and nothing was shown
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a statistic cannot be computed, in one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval, ends included; an end may be infinite."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Check:
    """A check, whether the data passed, its p-value where it has one, and what was found."""

    name: str
    passed: bool
    p_value: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric in one arm against control.

    Values are in the metric's unit. `relative_lift_interval` has the report's fixed confidence
    level; `p_value`, two-sided, tests the absolute difference, `standard_error` is that
    difference's. `variance_ratio` is the difference's variance with covariates over that without:
    1 when there were none. `design_effect` is the variance over that of independent pages, None
    where pages are not the metric's rows. `control_units` and `arm_units` are the units it
    rests on.
    """

    control_value: float
    arm_value: float
    difference: float
    difference_interval: Interval
    relative_lift: float
    relative_lift_interval: Interval
    standard_error: float
    p_value: float
    control_units: int
    arm_units: int
    variance_ratio: float = 1.0
    design_effect: float | None = None


@dataclass(frozen=True, slots=True)
class MetricLift:
    """What one metric in one arm against control came to: numbers, or why there are none.

    `adjusted_p_value` is corrected (Holm) for the number of arms of the primary metric, or of
    secondary metrics and arms; None where there is one test, and for the other roles. `margin`
    and `outcome` are a guardrail's.
    """

    metric: str
    arm: str
    role: Role
    found: Measured | Unavailable
    adjusted_p_value: float | None = None
    margin: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A metric over all pages until the end of one day (UTC).

    `interval` is the relative lift's at the fixed confidence level, `sequential_interval` the one
    that may be acted on at any look. `information` is the part of the planned information, in
    (0, 1], None without a plan. `crossed`: the sequential interval excludes 0.
    """

    metric: str
    arm: str
    day: date
    units: int
    relative_lift: float
    interval: Interval
    sequential_interval: Interval | None
    information: float | None
    crossed: bool


@dataclass(frozen=True, slots=True)
class SegmentLift:
    """A metric in one segment: the units whose `dimension` has `value`.

    `adjusted_p_value` is corrected over all segments and arms of the metric (Benjamini-Hochberg).
    """

    dimension: str
    value: str
    metric: str
    arm: str
    found: Measured | Unavailable
    adjusted_p_value: float | None


@dataclass(frozen=True, slots=True)
class NoveltyDay:
    """A metric on the pages of a unit's `day`-th day since its first exposure, 0 the first."""

    metric: str
    arm: str
    day: int
    found: Measured | Unavailable


@dataclass(frozen=True, slots=True)
class Distribution:
    """A property of the dwell per click that is no ratio of sums.

    `statistic` is "median", "p90", "restricted_mean" or "mann_whitney"; values are in seconds. For
    Mann-Whitney there are no values, and `difference` and `interval` are the probability that a
    unit of the arm dwells longer than one of control; its p-value tests that both arms have the
    same distribution, which the interval does not assume, so near the level they can disagree.
    """

    statistic: str
    title: str
    arm: str
    control_value: float | None
    arm_value: float | None
    difference: float | None
    interval: Interval | None
    p_value: float | None
    unavailable_reason: str = ""


@dataclass(frozen=True, slots=True)
class Interaction:
    """How far an arm's lift depends on another experiment's arm that the same units met.

    `difference` is the difference of the absolute differences, with its interval and p-value.
    """

    other_experiment: str
    other_arm: str
    metric: str
    arm: str
    difference: float
    interval: Interval
    p_value: float
    adjusted_p_value: float | None


@dataclass(frozen=True, slots=True)
class ArmTraffic:
    """What an arm's metrics rest on.

    `assigned_units` saw any page of the arm, `exposed_units` one that the arm's own ranker served;
    `pages` and `clicks` are of the latter kind. Units left out of the metrics are left out here.
    `fallback_pages` and `clicks` are None when the log does not tell them. `planned_share` is in
    (0, 1].
    """

    arm: str
    assigned_units: int
    exposed_units: int
    pages: int
    fallback_pages: int | None
    clicks: int | None
    planned_share: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the report advises, in one sentence, and why. `arm` is the one to ship, else ""."""

    decision: Decision
    arm: str
    sentence: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiftReport:
    """The difference that an experiment made.

    `start` and `end` are the instants of the first and the last page, None in a log without
    times. `metrics` declares every metric that any part names. `lifts` holds the metrics in
    every arm but control, the primary metric first. An invalid report's lifts mean nothing.
    `horizon` is the one in force. `log_digest` identifies the unit sums that the report rests on,
    `version` the code that made it.
    """

    experiment: str
    revision: int
    control: str
    unit: str
    primary_metric: str
    plan: AnalysisPlan
    horizon: Horizon
    confidence_level: float
    start: datetime | None
    end: datetime | None
    verdict: Verdict
    checks: tuple[Check, ...]
    arms: tuple[ArmTraffic, ...]
    metrics: tuple[Metric, ...]
    lifts: tuple[MetricLift, ...]
    looks: tuple[Look, ...] = ()
    segments: tuple[SegmentLift, ...] = ()
    novelty: tuple[NoveltyDay, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    log_digest: str = ""
    version: str = ""
    schema: str = SCHEMA

    @property
    def valid(self) -> bool:
        return all(check.passed for check in self.checks)

    def metric(self, name: str) -> Metric:
        """Return the declaration of a metric of this report."""
        return next(metric for metric in self.metrics if metric.name == name)

    def _repr_html_(self) -> str:
        from ranklift.lift.render.notebook import html_fragment

        return html_fragment(self)
