"""What follows from a look, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.platform.traffic.ramps.ramped import HOUR, RAMP, RUNNING, T0, registered

from ranklift.store.values import HarmAction
from ranklift.traffic.ramps.decision import Advance, Done, Hold, Pause, RollBack, decide
from ranklift.traffic.ramps.evidence import Evidence
from ranklift.traffic.ramps.harm import Watched

FIRST = registered()
LAST = registered([(RUNNING, 0, 100), (RUNNING, 10, 5_000)])
SOUND = Watched("UserCTR", "student", 4_000, 0.01, -0.02, 0.0)
HARM = Watched("UserCTR", "student", 4_000, -0.05, 0.012, 0.0)
# All that the first step asks for, and not a bit more.
ENOUGH = Evidence(units=1_000, units_in_step=1_000, last_page=T0 + 6 * HOUR, watched=(SOUND,))
DUE = T0 + 6 * HOUR


def test_a_step_that_lasted_and_saw_enough_is_followed_by_the_next() -> None:
    move = decide(FIRST, RAMP, ENOUGH, DUE)
    assert isinstance(move, Advance)
    assert move.share == 500
    assert "1,000 units; on to 5 %" in move.why


@pytest.mark.parametrize(
    ("changes", "now", "why"),
    [
        pytest.param({}, DUE - HOUR / 60, "holds until 2026-05-01 18:00:00", id="too-early"),
        pytest.param({"last_page": None}, DUE, "no page since 2026-05-01 12:00", id="no-log"),
        pytest.param(
            {"last_page": T0 + 5 * HOUR}, DUE + 99 * HOUR, "the log ends at", id="late-log"
        ),
        pytest.param({"units_in_step": 999}, DUE, "999 of 1,000 units", id="too-few"),
        pytest.param({"untold": ("UserCTR in student: no",)}, DUE, "UserCTR in", id="unmeasured"),
    ],
)
def test_a_ramp_holds_while_anything_is_missing(
    changes: dict[str, object], now: object, why: str
) -> None:
    move = decide(FIRST, RAMP, replace(ENOUGH, **changes), now)  # type: ignore[arg-type]
    assert isinstance(move, Hold)
    assert why in move.why


def test_nothing_known_is_no_reason_to_do_anything() -> None:
    assert isinstance(decide(FIRST, RAMP, Evidence(), DUE + 1_000 * HOUR), Hold)


@pytest.mark.parametrize("now", [T0, DUE], ids=["early", "due"])
def test_harm_rolls_back_at_once_or_pauses_where_the_ramp_says_so(now: object) -> None:
    harmed = replace(ENOUGH, watched=(SOUND, HARM))
    rolled = decide(FIRST, RAMP, harmed, now)  # type: ignore[arg-type]
    assert isinstance(rolled, RollBack)
    assert "UserCTR in student -5.00% over 4,000 units" in rolled.why
    paused = decide(FIRST, replace(RAMP, on_harm=HarmAction.PAUSE), harmed, DUE)
    assert paused == Pause(rolled.why)


def test_a_loss_within_its_margin_is_no_harm() -> None:
    allowed = replace(HARM, margin=HARM.shown_loss)
    assert isinstance(decide(FIRST, RAMP, replace(ENOUGH, watched=(allowed,)), DUE), Advance)


def test_a_fault_pauses_whatever_the_numbers_say() -> None:
    faulty = replace(ENOUGH, watched=(HARM,), faults=("sample_ratio: 60 to 40",))
    move = decide(FIRST, RAMP, faulty, T0)
    assert isinstance(move, Pause)
    assert move.why.endswith("sample_ratio: 60 to 40")


def test_the_last_step_ends_the_ramp_and_goes_on_to_be_watched() -> None:
    end = T0 + 58 * HOUR
    seen = replace(ENOUGH, units_in_step=100_000, last_page=end)
    assert isinstance(decide(LAST, RAMP, seen, end), Done)
    assert isinstance(decide(LAST, RAMP, replace(seen, watched=(HARM,)), end + HOUR), RollBack)
