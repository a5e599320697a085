"""What to do, in one sentence, and why.

The first rule that applies; "shown" means by the rule of the horizon in force:

    a check failed                                  invalid
    an arm is shown better, its guardrails pass     ship it; of several the best
    ... but a guardrail is open                     keep running; at the end: not to be shipped yet
    all arms are harmful                            roll back
    some arms are harmful                           keep running without them; at the end: roll back
    nothing is shown                                keep running; at the end: no difference

An arm is harmful when its primary metric is shown worse or one of its guardrails is breached. Only
the primary metric and the guardrails decide. A secondary metric that got worse is a reason to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from ranklift.lift.render.rounding import lift_text, p_phrase, share_text
from ranklift.lift.sequential.monitor import Monitored
from ranklift.lift.values import (
    Check,
    Decision,
    Measured,
    MetricLift,
    Outcome,
    Role,
    Unavailable,
    Verdict,
)
from ranklift.store.analysis import AnalysisPlan, Direction, Horizon, Metric


class _Standing(Enum):
    """Where one arm stands against control."""

    BETTER = auto()  # shown better, every guardrail passed
    HELD_BACK = auto()  # shown better, but a guardrail is open
    UNDECIDED = auto()  # nothing is shown, or nothing can be computed
    HARMFUL = auto()  # shown worse, or a guardrail is breached


@dataclass(frozen=True, slots=True)
class _Arm:
    """An arm, how much its primary metric gained (a lift, below 0 a loss), and why it stands so."""

    name: str
    standing: _Standing
    gain: float
    whys: tuple[str, ...]


def verdict(
    *,
    checks: Sequence[Check],
    lifts: Sequence[MetricLift],
    metrics: Sequence[Metric],
    primary: str,
    horizon: Horizon,
    finished: bool,
    monitored: Mapping[str, Monitored],
    plan: AnalysisPlan,
    until: str,
) -> Verdict:
    """Return what the report advises.

    `lifts` has a primary one for every arm but control. `monitored` holds, by arm, what the
    horizon says of the primary metric at the present look; in an arm that it leaves out nothing
    is shown. `finished`: the planned end is reached, or the experiment was ended. `until` says
    when to look again (`look_again`).
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        names = ", ".join(check.name for check in failed)
        sentence = f"Invalid: failed {names}; find out why before you read any number."
        details = (f"{check.name}: {check.detail}" for check in failed)
        return Verdict(Decision.INVALID, "", sentence, tuple(details))

    declared = {metric.name: metric for metric in metrics}
    readable = finished or horizon is not Horizon.FIXED
    arms = [
        _arm(lift, lifts, declared, monitored.get(lift.arm) if readable else None)
        for lift in lifts
        if lift.role is Role.PRIMARY and lift.metric == primary
    ]
    if readable or any(arm.standing is _Standing.HARMFUL for arm in arms):
        decision, ship, sentence = _decide(arms, declared[primary].title, finished, until)
    else:
        decision, ship = Decision.KEEP_RUNNING, ""
        sentence = f"Keep running {until}: a fixed horizon is read once, at its end."
    reasons = [_guardrail_line(lift, declared) for lift in lifts if lift.role is Role.GUARDRAIL]
    if readable:
        others = [why for arm in arms for why in arm.whys if why not in sentence]
        worse = [line for lift in lifts if (line := _secondary_line(lift, declared, plan.alpha))]
        notes = [f"{arm}: {now.note.rstrip('.')}" for arm, now in monitored.items() if now.note]
        reasons = [*others, *reasons, *worse, *notes]
    return Verdict(decision, ship, sentence, tuple(f"{line}." for line in dict.fromkeys(reasons)))


def look_again(
    horizon: Horizon, *, planned_end: datetime | None = None, missing_units: int = 0
) -> str:
    """Return when to look again, as it follows "keep running": "until 2025-03-15 09:00 UTC"."""
    awaited = [f"{missing_units:,} more units are exposed"] if missing_units > 0 else []
    if planned_end is not None:
        awaited.append(f"{planned_end.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    if awaited:
        return f"until {' and until '.join(awaited)}"
    if horizon is Horizon.ALWAYS_VALID:
        return "until a difference is shown or the interval is as narrow as you need"
    return "until the planned end"


def _decide(
    arms: Sequence[_Arm], title: str, finished: bool, until: str
) -> tuple[Decision, str, str]:
    """Return the decision, the arm to ship and the sentence."""
    better, held, undecided, harmful = (
        sorted((arm for arm in arms if arm.standing is standing), key=lambda arm: -arm.gain)
        for standing in _Standing
    )
    if better:
        best, *others = better
        sentence = f"Ship {best.name}: {_why([best])}."
        if others:
            sentence += f" {_and(others)}: shown better too, but not compared with {best.name}."
        return Decision.SHIP, best.name, sentence
    if held and finished:
        sentence = f"Not to be shipped yet: {_why(held)}. Run longer or accept that risk."
        return Decision.KEEP_RUNNING, "", sentence
    if held:
        return Decision.KEEP_RUNNING, "", f"Keep running {until}: {_why(held)}."
    if harmful and (finished or not undecided):
        return Decision.ROLL_BACK, "", f"Roll back {_and(harmful)}: {_why(harmful)}."
    if harmful:
        sentence = f"Take out {_and(harmful)} and keep the rest running {until}: {_why(harmful)}."
        return Decision.KEEP_RUNNING, "", sentence
    nothing = f"o difference in {title} is shown: {_why(undecided) or 'there is no other arm'}."
    if finished:
        return Decision.NO_DIFFERENCE, "", f"N{nothing}"
    return Decision.KEEP_RUNNING, "", f"Keep running {until}; n{nothing}"


def _arm(
    lift: MetricLift,
    lifts: Sequence[MetricLift],
    declared: Mapping[str, Metric],
    now: Monitored | None,
) -> _Arm:
    """Return where the arm of a primary lift stands."""
    metric, arm, up = declared[lift.metric], lift.arm, _up(declared[lift.metric])
    shown = 0 if now is None else now.sign * up
    standing, whys = _Standing.UNDECIDED, [f"{arm} {_numbers(lift.found, now)}"]
    if shown:
        standing = _Standing.BETTER if shown > 0 else _Standing.HARMFUL
        word = "better" if shown > 0 else "worse"
        whys = [f"{metric.title} is shown {word} in {arm}, {_numbers(lift.found, now)}"]
    guardrails = [g for g in lifts if g.role is Role.GUARDRAIL and g.arm == arm]
    breached = [g for g in guardrails if g.outcome is Outcome.BREACHED]
    pending = [g for g in guardrails if g.outcome not in (Outcome.BREACHED, Outcome.PASSED)]
    if breached:
        whys = whys if standing is _Standing.HARMFUL else []
        whys += [_guardrail_line(g, declared) for g in breached]
        standing = _Standing.HARMFUL
    elif standing is _Standing.BETTER and pending:
        whys += [_guardrail_line(g, declared) for g in pending]
        standing = _Standing.HELD_BACK
    gain = lift.found.relative_lift * up if isinstance(lift.found, Measured) else 0.0
    return _Arm(arm, standing, gain, tuple(whys))


def _guardrail_line(lift: MetricLift, declared: Mapping[str, Metric]) -> str:
    """Return what a guardrail says."""
    subject = f"{declared[lift.metric].title} in {lift.arm}"
    if isinstance(lift.found, Unavailable):
        return f"{subject} is open: it {_numbers(lift.found, None)}"
    margin = share_text(lift.margin or 0.0)
    if lift.outcome is Outcome.BREACHED:
        return f"{subject} is shown worse by more than {margin}"
    if lift.outcome is Outcome.PASSED:
        return f"{subject} holds: it is shown not to be worse by {margin}"
    return f"{subject} is open: that it is worse by {margin} is not ruled out"


def _secondary_line(lift: MetricLift, declared: Mapping[str, Metric], alpha: float) -> str:
    """Return why to look at a secondary metric; nothing unless it is significantly worse."""
    found, p_value = lift.found, lift.adjusted_p_value
    if lift.role is not Role.SECONDARY or isinstance(found, Unavailable) or p_value is None:
        return ""
    metric = declared[lift.metric]
    if p_value >= alpha or found.difference * _up(metric) >= 0:
        return ""
    return (
        f"{metric.title} in {lift.arm} got worse, {_numbers(found, None)}, {p_phrase(p_value)} "
        "after correction: find out why before you act"
    )


def _numbers(found: Measured | Unavailable, now: Monitored | None) -> str:
    """Return the lift with its interval: the one that may be acted on, where there is one."""
    if now is not None and now.interval is not None:
        return lift_text(now.relative_lift, now.interval)
    if isinstance(found, Unavailable):
        return f"cannot be computed ({found.reason})"
    return lift_text(found.relative_lift, found.relative_lift_interval)


def _up(metric: Metric) -> int:
    return 1 if metric.direction is Direction.UP else -1


def _and(arms: Sequence[_Arm]) -> str:
    return " and ".join(arm.name for arm in arms)


def _why(arms: Sequence[_Arm]) -> str:
    return "; ".join(why for arm in arms for why in arm.whys)
