"""When schedules fire, held against crontab(5) and the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.retrain.timing import cron_trigger, next_run_time
from ranklift.store.values import Schedule

FRIDAY = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)


def cron(line: str, *, paused: bool = False) -> Schedule:
    return Schedule("s", "student", "teacher", cron=line, paused=paused)


def every(interval: timedelta) -> Schedule:
    return Schedule("s", "student", "teacher", interval=interval)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("* * * * *", "2026-05-01 12:01"),
        ("0 3 * * *", "2026-05-02 03:00"),
        ("*/20 * * * *", "2026-05-01 12:20"),
        ("30 4 1 */2 *", "2026-07-01 04:30"),
        ("0 0 * * 0", "2026-05-03 00:00"),  # a Sunday, as crontab numbers it
        ("0 0 * * 7", "2026-05-03 00:00"),
        ("0 0 * * sun", "2026-05-03 00:00"),
        ("0 0 * * 1", "2026-05-04 00:00"),
        ("0 0 * * 1-5", "2026-05-04 00:00"),
        ("0 0 * * Sat,1", "2026-05-02 00:00"),
        ("0 0 * * 2-6/2", "2026-05-02 00:00"),  # Tuesday, Thursday, Saturday
        ("0 0 * * 4-7", "2026-05-02 00:00"),
        ("0 0 * * */3", "2026-05-02 00:00"),  # Sunday, Wednesday, Saturday
        ("0 0 29 2 *", "2028-02-29 00:00"),
    ],
)
def test_a_cron_line_fires_as_crontab_says(line: str, expected: str) -> None:
    assert next_run_time(cron(line), FRIDAY) == datetime.fromisoformat(expected + "+00:00")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "has 0 fields, must have 5"),
        ("0 3 * *", "has 4 fields, must have 5"),
        ("0 3 * * * *", "has 6 fields"),
        ("60 * * * *", "is no cron line"),
        ("x * * * *", "is no cron line"),
        ("0 3 * 13 *", "is no cron line"),
        ("0 3 * * 8", 'weekday "8", must be 0 to 7 or sun to sat'),
        ("0 3 * * 5-2", 'weekdays "5-2"'),
        ("0 3 * * */0", "is no cron line"),
        ("0 3 * * /", "is no cron line"),
        ("0 3 13 * 5", "sets the day of the month and of the week; set one of them"),
    ],
)
def test_a_wrong_cron_line_says_what_is_wrong(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        cron_trigger(line)


def test_a_cron_line_that_never_fires_has_no_next_time() -> None:
    assert next_run_time(cron("0 0 30 2 *"), FRIDAY) is None


def test_a_paused_schedule_has_no_next_time() -> None:
    assert next_run_time(cron("* * * * *", paused=True), FRIDAY) is None


@given(
    minutes=st.integers(1, 100_000),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(
        lambda naive: naive.replace(tzinfo=UTC)
    ),
)
def test_intervals_are_counted_from_1970_so_that_all_processes_agree(
    minutes: int, now: datetime
) -> None:
    fires = next_run_time(every(timedelta(minutes=minutes)), now)
    assert fires is not None
    assert timedelta(0) <= fires - now <= timedelta(minutes=minutes)
    assert fires.timestamp() % (60 * minutes) == 0
