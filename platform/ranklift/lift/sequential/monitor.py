"""What may be said at each look at one metric of one arm, by the horizon of the experiment.

The interval at a look is the estimate +- bound x standard error: a repeated confidence interval
(Jennison and Turnbull 1989, "Interim analyses: the repeated confidence interval approach"). All
intervals together hold the true lift with the level of the plan, so whoever stops at any of them
may act on it. A lift's interval is taken on the scale of log(1 + lift), as in `ratio`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy.special import ndtri

from ranklift.lift.ratio import MAX_LOG_HALF_WIDTH
from ranklift.lift.sequential.bounds import two_sided_bounds
from ranklift.lift.sequential.confidence_sequence import always_valid_bound
from ranklift.lift.sequential.information import (
    Fraction,
    accumulated_information,
    information_fractions,
)
from ranklift.lift.sequential.spending import Spending, obrien_fleming
from ranklift.lift.values import Interval
from ranklift.store.analysis import Horizon
from ranklift.v1.errors import InvalidRequest

# Without a planned size a confidence sequence is tuned to this many times the first look's units,
# a number that no effect moves. From there to 200 first looks it is at most 1.7 times as wide as
# the fixed interval.
FIRST_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Observed:
    """A metric in one arm at one look, over all pages until then.

    `units` are those of both arms together, at least 1. `relative_lift` is above -1 and
    `log_error`, positive, is the standard error of log(1 + relative_lift): half the fixed
    interval on that scale over its normal quantile, which keeps what the t quantile allows for
    few units. `planned_time` is the part of the planned time that has passed, None where no end
    is planned; beyond 1 after the end.
    """

    units: int
    relative_lift: float
    log_error: float
    planned_time: float | None = None


@dataclass(frozen=True, slots=True)
class Monitored:
    """What may be acted on at one look.

    `interval` is that of the lift, None while the horizon lets nobody look. `relative_lift` is
    the estimate it is about. `information` is the part of the plan that is done, in (0, 1], None
    without a plan. `note` says in one line where the look is not what one might expect.
    """

    relative_lift: float
    interval: Interval | None
    information: float | None
    note: str = ""

    @property
    def crossed(self) -> bool:
        return self.sign != 0

    @property
    def sign(self) -> int:
        """Return 1 when the lift is shown to be above 0, -1 below, 0 when neither is shown."""
        if self.interval is None:
            return 0
        return (self.interval.lower > 0) - (self.interval.upper < 0)


def monitor(
    looks: Sequence[Observed],
    *,
    horizon: Horizon,
    alpha: float = 0.05,
    planned_units: int = 0,
    finished: bool = False,
    spending: Spending = obrien_fleming,
) -> tuple[Monitored, ...]:
    """Return what may be acted on at each look, oldest first.

    The part of the plan that is done is units over `planned_units`, of these two arms together
    (0: no size is planned), or `planned_time`, the smaller where both are planned: returning users
    go on adding information when hardly a new one comes. `finished` says that the last look is
    the last one for a reason that is not its result, such as the planned day; it spends all that
    is left of `alpha`.

    FIXED and GROUP_SEQUENTIAL decide at the first look that reaches the plan; looks after it
    repeat what it said, for they have no alpha left. ALWAYS_VALID goes on for ever.

    Raises:
        InvalidRequest: nothing is planned for GROUP_SEQUENTIAL, `alpha` is outside (0, 1), or a
            look's numbers are out of range.
    """
    _check(looks, horizon, alpha, planned_units)
    if not looks:
        return ()
    fractions = _fractions(looks, planned_units)
    clock = [0.0 if fraction is None else fraction.value for fraction in fractions]
    if finished:
        clock[-1] = 1.0
    end = next((k for k, done in enumerate(clock) if done >= 1), len(looks))
    bounds: Sequence[float | None]  # up to the look that decides
    if horizon is Horizon.ALWAYS_VALID:
        end = len(looks)
        tuned = planned_units or FIRST_LOOKS * looks[0].units
        bounds = [always_valid_bound(look.units, tuned, alpha) for look in looks]
    elif horizon is Horizon.GROUP_SEQUENTIAL:
        information = accumulated_information(
            [look.units for look in looks], [look.log_error for look in looks]
        )
        bounds = two_sided_bounds(information[: end + 1], alpha, spending, clock=clock[: end + 1])
    else:
        bounds = [*(None for _ in looks[:end]), -float(ndtri(alpha / 2))]

    said = tuple(
        Monitored(
            look.relative_lift,
            None if bound is None else _interval(look, bound),
            None if fraction is None else fraction.value,
            "" if fraction is None else fraction.note,
        )
        for look, bound, fraction in zip(looks, bounds, fractions, strict=False)
    )
    late = f"Decided at look {end + 1}, which reached the planned end; nothing is left to spend."
    return said + tuple(replace(said[end], note=late) for _ in looks[end + 1 :])


def _fractions(looks: Sequence[Observed], planned_units: int) -> tuple[Fraction | None, ...]:
    """Return the part of the plan that each look has done; None for all when nothing is planned."""
    done = []
    for look in looks:
        parts = [] if look.planned_time is None else [look.planned_time]
        if planned_units:
            parts.append(look.units / planned_units)
        done.append(min(parts, default=None))
    planned = [part for part in done if part is not None]
    if len(planned) < len(looks):
        return (None,) * len(looks)
    return information_fractions(planned, 1.0)


def _interval(look: Observed, bound: float) -> Interval:
    """Return (1 + L) exp(+-bound x error) - 1, without an upper end where that says nothing."""
    half, ratio = bound * look.log_error, 1 + look.relative_lift
    upper = ratio * math.exp(half) - 1 if half < MAX_LOG_HALF_WIDTH else math.inf
    return Interval(ratio * math.exp(-half) - 1, upper)


def _check(looks: Sequence[Observed], horizon: Horizon, alpha: float, planned_units: int) -> None:
    if not 0 < alpha < 1:
        raise InvalidRequest.of("alpha", f"{alpha} is not between 0 and 1, e.g. 0.05")
    if planned_units < 0:
        raise InvalidRequest.of("planned_units", f"{planned_units} is negative; 0 is no plan")
    for k, look in enumerate(looks):
        if look.units < 1:
            raise InvalidRequest.of(f"looks[{k}].units", f"{look.units} must be at least 1")
        if not -1 < look.relative_lift < math.inf:
            raise InvalidRequest.of(
                f"looks[{k}].relative_lift", f"{look.relative_lift} must be finite and above -1"
            )
        if not 0 < look.log_error < math.inf:
            raise InvalidRequest.of(
                f"looks[{k}].log_error", f"{look.log_error} must be positive and finite"
            )
        if look.planned_time is not None and not 0 < look.planned_time < math.inf:
            raise InvalidRequest.of(
                f"looks[{k}].planned_time", f"{look.planned_time} must be positive and finite"
            )
        unplanned = look.planned_time is None and not planned_units
        if horizon is Horizon.GROUP_SEQUENTIAL and unplanned:
            raise InvalidRequest.of(
                "planned_units",
                "group-sequential looks share alpha out over a plan and there is none; plan a "
                f'size or an end, or choose the horizon "{Horizon.ALWAYS_VALID}"',
            )
