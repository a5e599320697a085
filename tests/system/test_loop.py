"""Simulated users, a gateway and two rankers: real processes, real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.system.installation import BM25, STUDENT, Installation

from ranklift.cli.collections import Ground
from ranklift.cli.demo.control import begin_experiment, conclude_experiment
from ranklift.cli.demo.traffic import rankings_of
from ranklift.cli.processes import Child
from ranklift.events.frames import EventFrames, read_events
from ranklift.lift.experiment import lift_report
from ranklift.settings import load_settings
from ranklift.simulator.arrivals import Load, arrivals
from ranklift.simulator.replay import ReplayResult, replay, replay_on_schedule
from ranklift.simulator.schedule import in_turn, page_times_us
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import World
from ranklift.store.registry import open_registry
from ranklift.store.values import ModelRef
from ranklift.traffic.splitter import assign

EXPERIMENT = "student-1"
DAY = datetime(2026, 1, 5, tzinfo=UTC)


def world_of(ground: Ground, users: int) -> World:
    return World(
        "w",
        3,
        ground.collection,
        ground.candidates,
        Population(users=users, pages_per_user=3.0, start=DAY),
    )


def play(installation: Installation, world: World, killed: Child | None = None) -> ReplayResult:
    """Replay a world; a third of the way, end `killed` as a crash would."""

    def progress(done: int, total: int) -> None:
        if killed is not None and done == total // 3:
            killed.process.kill()

    return asyncio.run(
        replay(
            world,
            ranking_address=installation.gateway,
            event_address=installation.gateway,
            concurrency=8,
            deadline_seconds=20,
            progress=progress,
        )
    )


def recorded_by(installation: Installation, pages: int) -> EventFrames:
    """The log with all of its pages; the last ones may reach the disk after their replies."""
    deadline = time.monotonic() + 10
    while True:
        events = read_events(installation.home)
        if len(events.pages.collect()) >= pages or time.monotonic() > deadline:
            return events
        time.sleep(0.01)


def test_an_experiment_runs_and_its_report_is_about_the_users_who_met_it(
    installation: Installation, ground: Ground
) -> None:
    begin_experiment(installation.gateway, EXPERIMENT, control=BM25, challenger=STUDENT)
    world = world_of(ground, users=150)

    result = play(installation, world)

    assert (result.failed_calls, result.fallback_pages, result.unrecorded_pages) == (0, 0, 0)
    assert result.pages == len(world.pages())
    registry = open_registry(load_settings(home=installation.home).registry_url)
    registered = registry.experiments.get(EXPERIMENT)
    events = recorded_by(installation, result.pages)
    report = lift_report(registered, events)
    assert sum(arm.pages for arm in report.arms) == result.pages
    assert sum(arm.assigned_units for arm in report.arms) == 150
    assert report.valid
    # Everybody met the arm that anyone can recompute, and that arm's version ranked the page.
    versions = {arm.name: arm.model for arm in registered.experiment.arms}
    for user, arm, model, version in (
        events.pages.explode("assignments")
        .unnest("assignments")
        .select("user_id", "arm", "model", "version")
        .collect()
        .iter_rows()
    ):
        assigned = assign(registered.experiment, user)
        assert assigned is not None
        assert assigned.arm.name == arm
        assert versions[arm] == ModelRef(model, version)
    registry.close()


def test_a_ranker_that_dies_fails_no_call_and_is_on_the_report(
    installation: Installation, ground: Ground
) -> None:
    begin_experiment(installation.gateway, EXPERIMENT, control=BM25, challenger=STUDENT)

    result = play(installation, world_of(ground, users=150), killed=installation.student)

    assert result.failed_calls == 0
    assert result.fallback_pages > 0
    events = recorded_by(installation, result.pages)
    marked = events.pages.filter(pl.col("fallback_reason") != "").collect()
    assert len(marked) == result.fallback_pages
    assert set(marked["model"]) == {"bm25"}
    registry = open_registry(load_settings(home=installation.home).registry_url)
    report = lift_report(registry.experiments.get(EXPERIMENT), events)
    registry.close()
    by_arm = {arm.arm: arm for arm in report.arms}
    assert by_arm["challenger"].fallback_pages == result.fallback_pages
    assert by_arm["control"].fallback_pages == 0
    # A challenger that was not there for half of its pages proves nothing.
    assert not report.valid
    assert "fallback_share" in {check.name for check in report.checks if not check.passed}


@pytest.mark.parametrize("sessions", [None, Sessions(visits_per_month=12.0)], ids=["plan", "react"])
def test_replayed_users_do_what_vectorised_users_do(
    installation: Installation, ground: Ground, sessions: Sessions | None
) -> None:
    begin_experiment(installation.gateway, EXPERIMENT, control=BM25, challenger=STUDENT)
    conclude_experiment(installation.gateway, EXPERIMENT, ship="challenger", reason="")
    world = dataclasses.replace(world_of(ground, users=60), sessions=sessions)
    times = page_times_us(world)
    schedule = in_turn(times, arrivals(Load(rate=60.0), len(times), seed=1))

    asyncio.run(
        replay_on_schedule(
            world,
            schedule,
            ranking_address=installation.gateway,
            event_address=installation.gateway,
            deadline_seconds=20,
        )
    )

    registry = open_registry(load_settings(home=installation.home).registry_url)
    rankings = rankings_of(ground, registry, STUDENT)
    registry.close()
    expected = simulate(world, SimulatedRanker(rankings, STUDENT.model, STUDENT.version))
    recorded = recorded_by(installation, len(expected.pages))
    for frame, key, columns in (
        ("pages", "impression_id", ["page_time", "user_id", "session_id", "query", "documents"]),
        ("clicks", "event_id", ["impression_id", "document_id", "position", "click_time"]),
        ("dwells", "event_id", ["click_event_id", "impression_id", "document_id", "dwell_ms"]),
    ):
        found = getattr(recorded, frame).select(key, *columns).sort(key).collect()
        assert_frame_equal(found, getattr(expected, frame).select(key, *columns).sort(key))
