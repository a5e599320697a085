"""What a scenario's report must say, held against what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ranklift.cli.simulate.scenario_file import Expect
from ranklift.lift.values import LiftReport, Measured, MetricLift


@dataclass(frozen=True, slots=True)
class Judged:
    """One expectation: what was to be, what was found, and whether it holds."""

    what: str
    expected: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario; `failed_calls` is None where nothing was called."""

    report: LiftReport
    failed_calls: int | None = None


def judge(expect: Expect, outcome: Outcome) -> tuple[Judged, ...]:
    """Return every expectation of a scenario with what was found."""
    return tuple(_judged(expect, outcome))


def _judged(expect: Expect, outcome: Outcome) -> Iterator[Judged]:
    report = outcome.report
    failed = sorted(check.name for check in report.checks if not check.passed)
    wanted = sorted(expect.failed_checks)
    yield Judged("checks that fail", _names(wanted), _names(failed), failed == wanted)
    if expect.decision is not None:
        found = report.verdict.decision
        yield Judged("advice", expect.decision.value, found.value, found is expect.decision)
    lifts = {(each.metric, each.role.value): each for each in report.lifts}
    for name, wish in expect.guardrails.items():
        lift = lifts.get((name, "guardrail"))
        is_ = "absent" if lift is None or lift.outcome is None else lift.outcome.value
        yield Judged(f"guardrail {name}", wish.value, is_, is_ == wish.value)
    for name, bounds in expect.lifts.items():
        measured = _measured(report.lifts, name)
        yield _within(
            f"lift of {name}", bounds, None if measured is None else measured.relative_lift
        )
    for name, bounds in expect.control.items():
        measured = _measured(report.lifts, name)
        yield _within(
            f"{name} of control", bounds, None if measured is None else measured.control_value
        )
    if expect.first_day_above_last is not None:
        course = [
            day.found.relative_lift for day in report.novelty if isinstance(day.found, Measured)
        ]
        drop = course[0] - sum(course[1:]) / len(course[1:]) if len(course) > 1 else None
        least = expect.first_day_above_last
        yield _within("lift of the first day above that of later ones", (least, 1e9), drop)
    if expect.fallback_share is not None:
        (arm,) = (one for one in report.arms if one.arm != report.control)
        fallback = arm.fallback_pages or 0
        share = fallback / max(1, arm.pages + fallback)
        yield _within("fallback pages of the challenger", expect.fallback_share, share)
    if expect.failed_calls is not None:
        found_calls = str(outcome.failed_calls)
        yield Judged(
            "failed calls",
            str(expect.failed_calls),
            found_calls,
            found_calls == str(expect.failed_calls),
        )


def _within(what: str, bounds: tuple[float, float], value: float | None) -> Judged:
    lower, upper = bounds
    found = "none" if value is None else f"{value:.4g}"
    holds = value is not None and lower <= value <= upper
    return Judged(what, f"{lower:.4g} to {upper:.4g}", found, holds)


def _measured(lifts: tuple[MetricLift, ...], name: str) -> Measured | None:
    found = [each.found for each in lifts if each.metric == name]
    return found[0] if found and isinstance(found[0], Measured) else None


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"
