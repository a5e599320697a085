"""Guardrails: is a metric shown to lose no more than the margin, or shown to lose more?"""

from __future__ import annotations

import math

from ranklift.lift.sequential.confidence_sequence import one_sided_bound
from ranklift.lift.sequential.monitor import Observed
from ranklift.lift.values import Interval, Outcome
from ranklift.store.analysis import Direction
from ranklift.v1.errors import InvalidRequest


def outcome(interval: Interval | None, direction: Direction, margin: float) -> Outcome:
    """Return what a relative lift's interval says of the loss that `margin`, in (0, 1), allows.

    The loss of a metric that should go UP is minus its lift, of one that should go DOWN its lift.
    Each end of the interval is a one-sided bound: with a 95 % interval a guardrail passes, or is
    breached, wrongly in at most 2.5 %. Take the sequential interval where looks are sequential;
    None, where nothing may be said yet, leaves the guardrail open.

    Passing needs no correction for the number of guardrails, since all must pass.

    Raises:
        InvalidRequest: `margin` is outside (0, 1).
    """
    if not 0 < margin < 1:
        raise InvalidRequest.of("margin", f"{margin} is not between 0 and 1, e.g. 0.01 for 1 %")
    if interval is None:
        return Outcome.OPEN
    least, most = interval.lower, interval.upper
    if direction is Direction.UP:
        least, most = -interval.upper, -interval.lower
    if most < margin:
        return Outcome.PASSED
    return Outcome.BREACHED if least > margin else Outcome.OPEN


def shown_loss(
    look: Observed, direction: Direction, *, tuned_units: float, alpha: float = 0.05
) -> float:
    """Return the relative loss that is shown at any look, below 0 while none is: a harm alarm.

    It is the lower end of the one-sided always-valid interval. It exceeds the true loss at any of
    all looks together with probability `alpha` at most, so an alarm at `shown_loss > margin` may
    be looked at as often as one likes. `tuned_units` as in `confidence_sequence`.

    Raises:
        InvalidRequest: `tuned_units` is not positive, or `alpha` not in (0, 0.5).
    """
    half = one_sided_bound(look.units, tuned_units, alpha) * look.log_error
    log_ratio = math.log1p(look.relative_lift)
    if direction is Direction.DOWN:
        return math.expm1(log_ratio - half)
    return -math.expm1(min(log_ratio + half, 700.0))
