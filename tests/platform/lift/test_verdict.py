"""The verdict as a table: what a report says, and what is then advised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ranklift.lift.metrics import METRICS
from ranklift.lift.sequential.monitor import Monitored
from ranklift.lift.values import (
    Check,
    Decision,
    Interval,
    Measured,
    MetricLift,
    Outcome,
    Role,
    Unavailable,
    Verdict,
)
from ranklift.lift.verdict import look_again, verdict
from ranklift.store.analysis import AnalysisPlan, Horizon

GOOD = Check("sample_ratio", True, 0.4, "50.1 % and 49.9 %.")
UNTIL = "until 1,200 more units are exposed"
SHIP, ROLL_BACK, KEEP_RUNNING, NO_DIFFERENCE, INVALID = Decision
PASSED, BREACHED, OPEN = Outcome


def measured(lift: float, half: float = 0.02) -> Measured:
    return Measured(
        control_value=1.0,
        arm_value=1 + lift,
        difference=lift,
        difference_interval=Interval(lift - half, lift + half),
        relative_lift=lift,
        relative_lift_interval=Interval(lift - half, lift + half),
        standard_error=half / 1.96,
        p_value=0.5,
        control_units=1_000,
        arm_units=1_000,
    )


def primary(arm: str, lift: float | None, metric: str = "page_ctr") -> MetricLift:
    found = Unavailable("1 exposed unit, at least 2 are needed") if lift is None else measured(lift)
    return MetricLift(metric, arm, Role.PRIMARY, found)


def guardrail(arm: str, outcome: Outcome | None, lift: float | None = 0.0) -> MetricLift:
    found = Unavailable("no page has a latency") if lift is None else measured(lift)
    return MetricLift("latency", arm, Role.GUARDRAIL, found, margin=0.02, outcome=outcome)


def decide(
    lifts: Sequence[MetricLift],
    *,
    finished: bool = False,
    horizon: Horizon = Horizon.GROUP_SEQUENTIAL,
    checks: Sequence[Check] = (GOOD,),
    monitored: Mapping[str, Monitored] | None = None,
) -> Verdict:
    """Return the verdict; without `monitored` a primary lift is shown when it is 2 % or more."""
    first = next(lift for lift in lifts if lift.role is Role.PRIMARY)
    if monitored is None:
        monitored = {
            lift.arm: Monitored(
                lift.found.relative_lift,
                Interval(lift.found.relative_lift - 0.015, lift.found.relative_lift + 0.015),
                0.5,
            )
            for lift in lifts
            if lift.role is Role.PRIMARY and isinstance(lift.found, Measured)
        }
    return verdict(
        checks=checks,
        lifts=lifts,
        metrics=tuple(METRICS.values()),
        primary=first.metric,
        horizon=horizon,
        finished=finished,
        monitored=monitored,
        plan=AnalysisPlan(),
        until=UNTIL,
    )


@pytest.mark.parametrize(
    ("lifts", "finished", "decision", "arm", "sentence"),
    [
        pytest.param(
            [primary("student", 0.02)], False, SHIP, "student",
            "Ship student: PageCTR is shown better in student, +2.0 % (+0.5 to +3.5).",
            id="better",
        ),
        pytest.param(
            [primary("student", -0.02)], False, ROLL_BACK, "",
            "Roll back student: PageCTR is shown worse in student, -2.0 % (-3.5 to -0.5).",
            id="worse",
        ),
        pytest.param(
            [primary("student", 0.01)], False, KEEP_RUNNING, "",
            "Keep running until 1,200 more units are exposed; no difference in PageCTR is shown: "
            "student +1.0 % (-0.5 to +2.5).",
            id="nothing-yet",
        ),
        pytest.param(
            [primary("student", 0.01)], True, NO_DIFFERENCE, "",
            "No difference in PageCTR is shown: student +1.0 % (-0.5 to +2.5).",
            id="nothing-at-the-end",
        ),
        pytest.param(
            [primary("student", -0.02, "abandonment")], False, SHIP, "student",
            "Ship student: Abandonment is shown better in student, -2.0 % (-3.5 to -0.5).",
            id="better-is-less",
        ),
        pytest.param(
            [primary("student", 0.02, "abandonment")], False, ROLL_BACK, "",
            "Roll back student: Abandonment is shown worse in student, +2.0 % (+0.5 to +3.5).",
            id="worse-is-more",
        ),
        pytest.param(
            [primary("student", 0.02), guardrail("student", PASSED)], False, SHIP, "student",
            "Ship student: PageCTR is shown better in student, +2.0 % (+0.5 to +3.5).",
            id="better-and-harmless",
        ),
        pytest.param(
            [primary("student", 0.02), guardrail("student", OPEN)], False, KEEP_RUNNING, "",
            "Keep running until 1,200 more units are exposed: PageCTR is shown better in student, "
            "+2.0 % (+0.5 to +3.5); Latency in student is open: that it is worse by 2 % is not "
            "ruled out.",
            id="better-but-open",
        ),
        pytest.param(
            [primary("student", 0.02), guardrail("student", OPEN)], True, KEEP_RUNNING, "",
            "Not to be shipped yet: PageCTR is shown better in student, +2.0 % (+0.5 to +3.5); "
            "Latency in student is open: that it is worse by 2 % is not ruled out. Run longer or "
            "accept that risk.",
            id="better-but-open-at-the-end",
        ),
        pytest.param(
            [primary("student", 0.02), guardrail("student", OPEN, None)], True, KEEP_RUNNING, "",
            "Not to be shipped yet: PageCTR is shown better in student, +2.0 % (+0.5 to +3.5); "
            "Latency in student is open: it cannot be computed (no page has a latency). Run longer "
            "or accept that risk.",
            id="better-but-the-guardrail-cannot-be-computed",
        ),
        pytest.param(
            [primary("student", 0.02), guardrail("student", None)], False, KEEP_RUNNING, "",
            "Keep running until 1,200 more units are exposed: PageCTR is shown better in student, "
            "+2.0 % (+0.5 to +3.5); Latency in student is open: that it is worse by 2 % is not "
            "ruled out.",
            id="better-but-the-guardrail-was-not-judged",
        ),
        pytest.param(
            [primary("student", 0.02), guardrail("student", BREACHED)], False, ROLL_BACK, "",
            "Roll back student: Latency in student is shown worse by more than 2 %.",
            id="better-but-breached",
        ),
        pytest.param(
            [primary("student", -0.02), guardrail("student", BREACHED)], False, ROLL_BACK, "",
            "Roll back student: PageCTR is shown worse in student, -2.0 % (-3.5 to -0.5); Latency "
            "in student is shown worse by more than 2 %.",
            id="worse-and-breached",
        ),
        pytest.param(
            [primary("student", 0.0), guardrail("student", BREACHED)], False, ROLL_BACK, "",
            "Roll back student: Latency in student is shown worse by more than 2 %.",
            id="nothing-yet-but-breached",
        ),
        pytest.param(
            [primary("student", None)], False, KEEP_RUNNING, "",
            "Keep running until 1,200 more units are exposed; no difference in PageCTR is shown: "
            "student cannot be computed (1 exposed unit, at least 2 are needed).",
            id="not-computed",
        ),
        pytest.param(
            [primary("student", None)], True, NO_DIFFERENCE, "",
            "No difference in PageCTR is shown: student cannot be computed (1 exposed unit, at "
            "least 2 are needed).",
            id="not-computed-at-the-end",
        ),
        pytest.param(
            [primary("student", None), guardrail("student", BREACHED)], False, ROLL_BACK, "",
            "Roll back student: Latency in student is shown worse by more than 2 %.",
            id="not-computed-but-breached",
        ),
        pytest.param(
            [primary("a", 0.02), primary("b", 0.03), primary("c", 0.0)], False, SHIP, "b",
            "Ship b: PageCTR is shown better in b, +3.0 % (+1.5 to +4.5). a: shown better too, but "
            "not compared with b.",
            id="two-better",
        ),
        pytest.param(
            [primary("a", -0.02, "abandonment"), primary("b", -0.03, "abandonment")], False, SHIP,
            "b",
            "Ship b: Abandonment is shown better in b, -3.0 % (-4.5 to -1.5). a: shown better too, "
            "but not compared with b.",
            id="two-better-by-less",
        ),
        pytest.param(
            [primary("a", 0.02), primary("b", 0.02)], False, SHIP, "a",
            "Ship a: PageCTR is shown better in a, +2.0 % (+0.5 to +3.5). b: shown better too, but "
            "not compared with a.",
            id="a-tie-goes-to-the-first",
        ),
        pytest.param(
            [primary("a", 0.02), primary("b", 0.03), guardrail("b", BREACHED)], False, SHIP, "a",
            "Ship a: PageCTR is shown better in a, +2.0 % (+0.5 to +3.5).",
            id="the-best-is-harmful",
        ),
        pytest.param(
            [primary("a", 0.02), primary("b", 0.03), guardrail("b", OPEN)], False, SHIP, "a",
            "Ship a: PageCTR is shown better in a, +2.0 % (+0.5 to +3.5).",
            id="the-best-is-held-back",
        ),
        pytest.param(
            [primary("a", -0.02), primary("b", 0.0)], False, KEEP_RUNNING, "",
            "Take out a and keep the rest running until 1,200 more units are exposed: PageCTR is "
            "shown worse in a, -2.0 % (-3.5 to -0.5).",
            id="one-worse",
        ),
        pytest.param(
            [primary("a", -0.02), primary("b", 0.0)], True, ROLL_BACK, "",
            "Roll back a: PageCTR is shown worse in a, -2.0 % (-3.5 to -0.5).",
            id="one-worse-at-the-end",
        ),
        pytest.param(
            [primary("a", -0.02), primary("b", -0.03)], False, ROLL_BACK, "",
            "Roll back a and b: PageCTR is shown worse in a, -2.0 % (-3.5 to -0.5); PageCTR is "
            "shown worse in b, -3.0 % (-4.5 to -1.5).",
            id="all-worse",
        ),
        pytest.param(
            [primary("a", 0.01), primary("b", None)], True, NO_DIFFERENCE, "",
            "No difference in PageCTR is shown: a +1.0 % (-0.5 to +2.5); b cannot be computed (1 "
            "exposed unit, at least 2 are needed).",
            id="nothing-in-either",
        ),
    ],
)  # fmt: skip
def test_what_is_advised(
    lifts: list[MetricLift], finished: bool, decision: Decision, arm: str, sentence: str
) -> None:
    found = decide(lifts, finished=finished)
    assert (found.decision, found.arm, found.sentence) == (decision, arm, sentence)


def test_a_failed_check_makes_everything_else_meaningless() -> None:
    failed = Check("sample_ratio", False, 1e-9, "52 % and 48 %, planned 50 %.")
    twice = Check("one_arm_per_unit", False, None, "12 units saw more than one arm.")
    found = decide([primary("student", 0.5)], checks=(GOOD, failed, twice), finished=True)
    assert found == Verdict(
        INVALID,
        "",
        "Invalid: failed sample_ratio, one_arm_per_unit; find out why before you read any number.",
        (
            "sample_ratio: 52 % and 48 %, planned 50 %.",
            "one_arm_per_unit: 12 units saw more than one arm.",
        ),
    )


def test_a_fixed_horizon_is_not_read_before_its_end() -> None:
    # Even where the caller says that something is shown.
    lifts = [primary("student", 0.1), secondary("user_ctr", -0.1, 0.001)]
    early = decide(lifts, horizon=Horizon.FIXED)
    assert early.decision is KEEP_RUNNING
    assert early.sentence == (
        "Keep running until 1,200 more units are exposed: a fixed horizon is read once, at its end."
    )
    assert early.reasons == ()
    assert decide(lifts, horizon=Horizon.FIXED, finished=True).decision is SHIP
    assert decide([primary("student", -0.1)], horizon=Horizon.FIXED).decision is KEEP_RUNNING


def test_harm_to_a_guardrail_ends_a_fixed_horizon_too() -> None:
    lifts = [primary("student", 0.1), guardrail("student", BREACHED)]
    assert decide(lifts, horizon=Horizon.FIXED).decision is ROLL_BACK


def test_an_arm_that_nothing_is_said_of_shows_nothing() -> None:
    found = decide([primary("student", 0.1)], monitored={})
    assert found.decision is KEEP_RUNNING
    assert found.sentence.endswith("student +10.0 % (+8.0 to +12.0).")


def test_the_sentence_shows_the_interval_that_was_acted_on() -> None:
    now = Monitored(0.04, Interval(0.01, 0.07), 1.0)
    found = decide([primary("student", 0.05)], monitored={"student": now})
    assert found.sentence.endswith("+4.0 % (+1.0 to +7.0).")


def test_what_is_odd_about_the_present_look_is_a_reason() -> None:
    now = Monitored(0.04, Interval(0.01, 0.07), 1.0, "Decided at look 3, which reached the end.")
    found = decide([primary("student", 0.05)], monitored={"student": now})
    assert found.reasons == ("student: Decided at look 3, which reached the end.",)


def test_every_guardrail_is_a_reason() -> None:
    lifts = [primary("a", 0.02), guardrail("a", PASSED), primary("b", -0.02), guardrail("b", OPEN)]
    assert decide(lifts).reasons == (
        "PageCTR is shown worse in b, -2.0 % (-3.5 to -0.5).",
        "Latency in a holds: it is shown not to be worse by 2 %.",
        "Latency in b is open: that it is worse by 2 % is not ruled out.",
    )


def secondary(metric: str, lift: float, adjusted: float | None) -> MetricLift:
    return MetricLift(metric, "student", Role.SECONDARY, measured(lift), adjusted)


def test_secondary_metrics_that_got_worse_are_reasons_to_look_and_decide_nothing() -> None:
    found = decide(
        [
            primary("student", 0.02),
            secondary("user_ctr", -0.03, 0.012),  # worse
            secondary("abandonment", 0.03, 0.00001),  # worse: it should go down
            secondary("dwell_per_page", -0.03, 0.06),  # by chance, perhaps
            secondary("dwell_per_click", 0.03, 0.001),  # better
            secondary("latency", -0.03, 0.001),  # better: it should go down
            secondary("clicks_per_page", -0.03, None),  # not corrected
        ]
    )
    assert found.decision is SHIP
    assert found.reasons == (
        "UserCTR in student got worse, -3.0 % (-5.0 to -1.0), p = 0.012 after correction: find out "
        "why before you act.",
        "Abandonment in student got worse, +3.0 % (+1.0 to +5.0), p < 0.0001 after correction: "
        "find out why before you act.",
    )


@pytest.mark.parametrize(
    ("horizon", "planned_end", "missing", "expected"),
    [
        (Horizon.GROUP_SEQUENTIAL, None, 1_200, "until 1,200 more units are exposed"),
        (
            Horizon.FIXED,
            datetime(2025, 3, 15, 10, tzinfo=timezone(timedelta(hours=1))),
            0,
            "until 2025-03-15 09:00 UTC",
        ),
        (
            Horizon.GROUP_SEQUENTIAL,
            datetime(2025, 3, 15, 9, tzinfo=UTC),
            5,
            "until 5 more units are exposed and until 2025-03-15 09:00 UTC",
        ),
        (Horizon.GROUP_SEQUENTIAL, None, 0, "until the planned end"),
        (
            Horizon.ALWAYS_VALID,
            None,
            0,
            "until a difference is shown or the interval is as narrow as you need",
        ),
    ],
)
def test_when_to_look_again(
    horizon: Horizon, planned_end: datetime | None, missing: int, expected: str
) -> None:
    assert look_again(horizon, planned_end=planned_end, missing_units=missing) == expected
