"""Schedules: every page has its time, the same one in every arm, and files say it again."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ranklift.simulator.arrivals import Load, arrivals
from ranklift.simulator.schedule import (
    Schedule,
    in_turn,
    load_schedule,
    own_clock,
    page_times_us,
    read_pages,
    recorded_seconds,
    save_schedule,
    start_us,
)
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import World
from ranklift.v1.errors import InvalidRequest, NotFound


def test_on_its_own_clock_a_world_takes_its_span_over_the_speed() -> None:
    clock = own_clock(Population(span=timedelta(hours=2)), speed=60.0)
    due = clock.due(np.array([0, 3_600, 7_200]) * 1_000_000)
    np.testing.assert_allclose(due, [0.0, 60.0, 120.0])


def test_the_nth_page_takes_the_nth_send(world: World) -> None:
    times = page_times_us(world)
    sends = arrivals(Load(rate=30.0), len(times) + 10, seed=1)
    schedule = in_turn(times, sends)
    in_order = np.sort(times)
    alone = np.flatnonzero(np.diff(in_order, prepend=-1))  # or the first of one microsecond
    np.testing.assert_allclose(schedule.due(in_order[alone]), sends[alone])
    assert len(alone) > len(times) - 5


def test_users_who_react_have_a_place_in_the_schedule_of_another_ranker(
    world: World, ideal: dict[str, list[str]]
) -> None:
    """The arms' pages differ, the load does not: within 1 % at any time of the replay."""
    reacting = dataclasses.replace(
        world, population=Population(users=3_000), sessions=Sessions(return_effect=0.3)
    )
    times = page_times_us(reacting)
    other = simulate(reacting, SimulatedRanker(ideal, "ideal", "1")).pages["page_time"]
    theirs = np.sort(other.dt.epoch("us").to_numpy()) - start_us(reacting)
    assert len(theirs) != len(times)
    schedule = in_turn(times, arrivals(Load(rate=100.0), len(times), seed=1))
    due, own = schedule.due(theirs), schedule.due(np.sort(times))
    assert (np.diff(due) >= 0).all()
    at = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(np.quantile(due, at), np.quantile(own, at), rtol=0.05)


def test_a_world_that_begins_on_another_day_has_the_same_schedule(world: World) -> None:
    later = dataclasses.replace(
        world,
        population=dataclasses.replace(world.population, start=datetime(2026, 2, 3, tzinfo=UTC)),
    )
    np.testing.assert_array_equal(page_times_us(later), page_times_us(world))


def test_pages_after_the_last_time_go_on_at_the_mean_pace() -> None:
    schedule = Schedule(np.array([0, 1_000_000, 4_000_000]), np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(schedule.due(np.array([0, 2_500_000, 6_000_000])), [0.0, 1.5, 3.0])


def test_the_times_of_a_log_are_sent_at_its_pace_or_faster(tmp_path: Path) -> None:
    start = datetime(2025, 3, 3, 9, tzinfo=UTC)
    shown = [start + timedelta(seconds=s) for s in (30, 0, 10, 70)]
    log = pl.DataFrame({"page_time": shown, "user_id": list("abcd")})
    (tmp_path / "date=2025-03-03").mkdir()
    log[:2].write_parquet(tmp_path / "date=2025-03-03" / "a.parquet")
    log[2:].write_parquet(tmp_path / "b.parquet")
    pages = read_pages(tmp_path)
    np.testing.assert_allclose(recorded_seconds(pages), [0.0, 10.0, 30.0, 70.0])
    np.testing.assert_allclose(recorded_seconds(pages, speed=10.0), [0.0, 1.0, 3.0, 7.0])


def test_a_saved_schedule_is_the_same_when_loaded(tmp_path: Path, world: World) -> None:
    times = page_times_us(world)
    made = in_turn(times, arrivals(Load(rate=30.0), len(times), seed=1))
    save_schedule(made, tmp_path / "load.parquet")
    loaded = load_schedule(tmp_path / "load.parquet")
    np.testing.assert_array_equal(loaded.world_us, made.world_us)
    np.testing.assert_array_equal(loaded.seconds, made.seconds)


TIMES = [0, 1_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"world_us": TIMES}, r"schedule.send_seconds: is no column"),
        (
            {"world_us": TIMES, "send_seconds": [0, 1, 2]},
            r"schedule.send_seconds: is of type Int64, must be Float64",
        ),
        (
            {"world_us": TIMES, "send_seconds": [0.0, None, 2.0]},
            r"schedule.send_seconds: row 2 is empty",
        ),
        (
            {"world_us": TIMES, "send_seconds": [0.0, 2.0, 1.0]},
            r"schedule.send_seconds: row 3 is not after",
        ),
        (
            {"world_us": TIMES, "send_seconds": [0.0, 2.0, float("inf")]},
            r"schedule.send_seconds: row 3 is not after",
        ),
        (
            {"world_us": [TIMES[0], TIMES[0], TIMES[1]], "send_seconds": [0.0, 1.0, 2.0]},
            r"schedule.world_us: row 2 is not after",
        ),
        (
            {"world_us": TIMES, "send_seconds": [-1.0, 1.0, 2.0]},
            r"schedule.send_seconds: row 1 is below 0",
        ),
        ({"world_us": TIMES[:1], "send_seconds": [0.0]}, r"schedule: has 1 times"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_column_and_row(
    tmp_path: Path, columns: dict[str, list[object]], said: str
) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(InvalidRequest, match=said):
        load_schedule(tmp_path / "wrong.parquet")


def test_files_that_are_not_there_or_no_parquet_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(NotFound, match=r"gone\.parquet"):
        load_schedule(tmp_path / "gone.parquet")
    with pytest.raises(InvalidRequest, match="is no Parquet"):
        load_schedule(tmp_path / "text.parquet")
    with pytest.raises(InvalidRequest, match="is no log of pages"):
        read_pages(tmp_path / "text.parquet")
    with pytest.raises(NotFound, match="empty"):
        read_pages(tmp_path / "empty")


def test_impossible_wishes_are_refused(world: World) -> None:
    times = page_times_us(world)
    with pytest.raises(InvalidRequest, match=r"has 5 sends for \d+ pages"):
        in_turn(times, np.arange(5.0))
    with pytest.raises(InvalidRequest, match=r"speed: 0, must be above 0"):
        own_clock(world.population, 0)
    with pytest.raises(InvalidRequest, match="is not a column of times"):
        recorded_seconds(pl.DataFrame({"page_time": ["today"]}))
    with pytest.raises(InvalidRequest, match="was made for another world"):
        own_clock(world.population, 1.0).check_for(-1)
