"""`ranklift simulate replay`: which schedule its options ask for, and what it prints."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from ranklift.cli.collections import synthetic_ground
from ranklift.cli.demo.traffic import world_of
from ranklift.cli.simulate.replay_output import as_json, to_table
from ranklift.cli.simulate.wished_schedule import WishedSchedule
from ranklift.simulator.punctuality import Send, Why, punctuality
from ranklift.simulator.replay import ReplayResult
from ranklift.simulator.schedule import load_schedule, page_times_us, save_schedule
from ranklift.simulator.synthetic import SyntheticSize
from ranklift.simulator.world import World
from ranklift.v1.errors import InvalidRequest

SIZE = SyntheticSize(concepts=8, attributes=6, fillers=20, attributes_per_concept=3)


@pytest.fixture(scope="module")
def world() -> World:
    return world_of("w", synthetic_ground(SIZE, 1), users=200, pages_per_user=3.0, seed=1)


def ends_at(wished: WishedSchedule, world: World) -> float:
    schedule = wished.of(world, 1)
    assert schedule is not None
    return float(schedule.seconds[-1])


def test_without_a_schedule_clients_play(world: World) -> None:
    assert WishedSchedule(clients=3).of(world, 1) is None


def test_a_rate_a_day_and_bursts_give_as_many_sends_a_second(world: World) -> None:
    pages = len(page_times_us(world))
    assert ends_at(WishedSchedule(rate=50.0), world) == pytest.approx(pages / 50, rel=0.15)
    assert ends_at(WishedSchedule(rate=50.0, day=1.0), world) == pytest.approx(pages / 50, rel=0.15)
    slow = WishedSchedule(rate=2.0)
    assert ends_at(dataclasses.replace(slow, burst=20.0), world) < ends_at(slow, world) * 0.7


def test_a_speed_is_of_the_users_own_clock(world: World) -> None:
    assert ends_at(WishedSchedule(speed=3_600.0), world) == pytest.approx(20.0)


def test_a_log_gives_its_times_or_faster(world: World, tmp_path: Path) -> None:
    pages = len(page_times_us(world))
    start = datetime(2025, 3, 3, tzinfo=UTC)
    shown = [start + timedelta(seconds=n) for n in range(pages)]
    pl.DataFrame({"page_time": shown}).write_parquet(tmp_path / "log.parquet")
    log = WishedSchedule(log=tmp_path / "log.parquet")
    assert ends_at(log, world) == pytest.approx(pages - 1.0, abs=2.0)
    assert ends_at(dataclasses.replace(log, speed=10.0), world) == pytest.approx(
        (pages - 1) / 10, abs=0.2
    )


def test_a_saved_schedule_is_the_load_of_another_day(world: World, tmp_path: Path) -> None:
    made = WishedSchedule(rate=50.0).of(world, 1)
    assert made is not None
    save_schedule(made, tmp_path / "load")
    later = dataclasses.replace(
        world,
        population=dataclasses.replace(
            world.population, start=world.population.start + timedelta(days=3)
        ),
    )
    again = WishedSchedule(file=tmp_path / "load").of(later, 2)
    assert again is not None
    np.testing.assert_array_equal(again.seconds, load_schedule(tmp_path / "load").seconds)


def test_users_who_react_ask_for_about_as_many_pages(world: World) -> None:
    ground = synthetic_ground(SIZE, 1)
    reacting = world_of("w", ground, users=2_000, pages_per_user=3.0, seed=1, react=True)
    assert len(page_times_us(reacting)) / 2_000 == pytest.approx(3.0, rel=0.25)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"rate": 1.0, "log": Path("x")}, "log"),
        ({"log": Path("x"), "file": Path("y")}, "schedule"),
        ({"burst": 2.0}, "burst"),
        ({"day": 2.0, "speed": 1.0}, "day"),
        ({"speed": 2.0, "rate": 1.0}, "speed"),
        ({"clients": 2, "rate": 1.0}, "concurrency"),
        ({"saved": Path("x")}, "save_schedule"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        WishedSchedule(**options)
    assert [violation.field for violation in raised.value.violations] == [field]


def result_of(sends: list[Send]) -> ReplayResult:
    kept = punctuality(sends, late_after_ms=5.0)
    return ReplayResult(9, 1, 2, 0, 4, 4, kept.from_sent, 3.0, {"UNAVAILABLE": 1}, kept)


SENDS = [Send(n * 0.1, n * 0.1 + 0.02, n * 0.1 + 0.03, Why.NOTHING) for n in range(10)]


def test_the_table_says_what_was_late_and_whose_fault_it_was() -> None:
    printed = io.StringIO()
    Console(file=printed, width=120).print(to_table(result_of(SENDS)))
    text = printed.getvalue()
    assert "1 failed calls" in text
    assert "UNAVAILABLE: 1" in text
    assert "10 of 10 sends (100.00%) were more than 5 ms late" in text
    assert "10 for this machine" in text
    assert "too slow for the schedule" in text


def test_json_holds_everything_and_null_for_what_does_not_exist() -> None:
    failed = [Send(0.0, 0.0, float("nan"), Why.NOTHING)]
    read = json.loads(json.dumps(as_json(result_of(failed)), allow_nan=False))
    assert read["latency"]["p99"] is None
    assert read["punctuality"]["late_for_sender"] == 0
    assert read["failures"] == {"UNAVAILABLE": 1}
