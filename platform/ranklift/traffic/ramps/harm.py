"""The harm alarm: is a metric of an arm shown to be worse than control by more than is allowed?

One-sided and always valid (`lift.guardrails.shown_loss`), with the error shared out over metrics
and arms (Bonferroni): whoever looks every minute stops a sound ramp with `HARM_ALPHA` at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from ranklift.lift.columns import columns_of, supported
from ranklift.lift.comparing import Method, measure, method_for, moments_of
from ranklift.lift.exposed import Units
from ranklift.lift.guardrails import shown_loss
from ranklift.lift.metrics import LATENCY
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Difference, Estimate, difference, estimate
from ranklift.lift.sequential.confidence_sequence import one_sided_bound
from ranklift.lift.subject import Subject, metrics_of
from ranklift.lift.timeline import observe
from ranklift.lift.values import Measured, Unavailable
from ranklift.store.analysis import Direction, Metric

HARM_ALPHA = 0.05
# The sequences rest on the normal approximation: fewer units in an arm say nothing yet.
MIN_UNITS = 100
# Latency is watched unasked, for losses that are more than both of these. An experiment whose arm
# may be slower says so with a guardrail of its own.
LATENCY_MARGIN = 0.2
LATENCY_MARGIN_MS = 20.0


@dataclass(frozen=True, slots=True)
class Watched:
    """One metric of one arm: its lift over `units` of both arms, and the loss that is shown.

    `shown_loss` is relative and below 0 while none is shown. Above `margin` it is harm.
    """

    metric: str
    arm: str
    units: int
    relative_lift: float
    shown_loss: float
    margin: float

    @property
    def harmful(self) -> bool:
        return self.shown_loss > self.margin

    def __str__(self) -> str:
        shown = f"{self.shown_loss:.2%} is shown" if self.shown_loss > 0 else "none is shown"
        return (
            f"{self.metric} in {self.arm} {self.relative_lift:+.2%} over {self.units:,} units; "
            f"of a loss {shown}, {self.margin:.2%} is allowed"
        )


def watch(subject: Subject, size: int, units: Units) -> tuple[list[Watched], list[str]]:
    """Return every metric of every arm that can be told, and why the others cannot.

    The metrics are the primary one, which must not lose anything, the guardrails with their
    margins, and latency. `size` are the units over all arms that the alarm is the sharpest at.
    """
    columns = units.exposed.columns
    roles = metrics_of(subject.primary_metric, subject.plan, columns, only=())
    margins = {one.metric: one.margin for one in subject.plan.guardrails}
    margins[roles.primary.name] = 0.0
    metrics = [roles.primary, *roles.guardrails]
    if LATENCY.name not in margins and supported(LATENCY, columns):
        metrics.append(LATENCY)
    known = [metric for metric in metrics if supported(metric, columns)]
    method = method_for(
        units.exposed, known, confidence_level=0.95, covariates=subject.plan.covariates
    )
    alpha = HARM_ALPHA / (len(metrics) * (len(subject.arms) - 1))
    watched: list[Watched] = []
    untold = [f"the log does not tell {metric.title}" for metric in metrics if metric not in known]
    for arm in subject.arms[1:]:
        pair = [units.by_arm[side] for side in (subject.control, arm)]
        fewest = min(map(len, pair))
        if fewest < MIN_UNITS:
            untold.append(f"{fewest} exposed units in {arm} or control, {MIN_UNITS} are needed")
            continue
        tuned = size * (subject.shares[subject.control] + subject.shares[arm])
        for metric in known:
            zero, one = (moments_of(rows, metric, method) for rows in pair)
            found = _loss(zero, one, metric, method, tuned, alpha)
            if isinstance(found, _Loss):
                margin = margins.get(metric.name)
                if margin is None:
                    margin = max(LATENCY_MARGIN, LATENCY_MARGIN_MS / found.control_value)
                number = zero.count + one.count
                watched.append(Watched(metric.title, arm, number, found.lift, found.shown, margin))
            elif metric.name in margins:
                untold.append(f"{metric.title} in {arm}: {found.reason}")
    return watched, untold


@dataclass(frozen=True, slots=True)
class _Loss:
    lift: float
    shown: float
    control_value: float


def _loss(
    control: Moments, arm: Moments, metric: Metric, method: Method, tuned: float, alpha: float
) -> _Loss | Unavailable:
    found = measure(control, arm, metric, method)
    if isinstance(found, Measured):
        look = observe(found, method, None)
        shown = shown_loss(look, metric.direction, tuned_units=tuned, alpha=alpha)
        return _Loss(found.relative_lift, shown, found.control_value)
    # An arm where nothing is clicked has no logarithm of a lift, and is the worst there can be.
    values = [estimate(moments, *columns_of(metric)) for moments in (control, arm)]
    match values:
        case [Estimate(value=before) as zero, Estimate(value=0.0) as one] if before > 0:
            apart = difference(zero, one, method.confidence_level)
            if isinstance(apart, Difference):
                half = one_sided_bound(control.count + arm.count, tuned, alpha)
                lost = before if metric.direction is Direction.UP else -before
                return _Loss(-1.0, (lost - half * apart.standard_error) / before, before)
    return found
