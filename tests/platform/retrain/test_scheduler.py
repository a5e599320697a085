"""Schedules that really fire and runs that are really launched, on every database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from queue import Queue
from threading import Event, Thread

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from ranklift.retrain.scheduler import Launch, Process, RetrainingScheduler
from ranklift.store.database import open_engine, upgrade
from ranklift.store.registry import Registry, open_registry
from ranklift.store.runs import Runs
from ranklift.store.schedules import Schedules
from ranklift.store.values import Run, RunState, Schedule

TIMEOUT = 20.0
OFTEN = Schedule("often", "student", "teacher", interval=timedelta(seconds=1))


class Child:
    """A process that ends when the test says so."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.polled = Event()

    def poll(self) -> int | None:
        self.polled.set()
        return self.code


class Launches:
    """Keeps what was launched, and lets the test wait for it."""

    def __init__(self) -> None:
        self.run_ids: Queue[str] = Queue()
        self.children: list[Child] = []

    def __call__(self, run_id: str) -> Process:
        self.children.append(Child())
        self.run_ids.put(run_id)
        return self.children[-1]

    def next(self) -> str:
        return self.run_ids.get(timeout=TIMEOUT)


@contextmanager
def scheduling(registry: Registry, launch: Launch) -> Iterator[RetrainingScheduler]:
    scheduler = RetrainingScheduler(
        registry.engine, registry.schedules, registry.runs, launch, poll_seconds=0.05
    )
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.close()


@pytest.fixture
def elsewhere(registry_url: str, filled: Registry) -> Iterator[Registry]:
    """The same registry as another process sees it."""
    registry = open_registry(registry_url)
    yield registry
    registry.close()


def jobs(registry: Registry) -> list[str]:
    with registry.engine.connect() as connection:
        return list(connection.scalars(text("SELECT id FROM apscheduler_jobs ORDER BY id")))


def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; the state of a database sends no signal."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def ended(registry: Registry, run_id: str) -> Run:
    until(lambda: registry.runs.get(run_id).state.over)
    return registry.runs.get(run_id)


def test_a_schedule_put_by_another_process_fires_and_its_run_is_launched(
    filled: Registry, elsewhere: Registry
) -> None:
    launches = Launches()
    with scheduling(filled, launches):
        elsewhere.schedules.put(OFTEN)
        run_id = launches.next()
    run = elsewhere.runs.get(run_id)
    assert (run.schedule, run.state) == ("often", RunState.QUEUED)


def test_a_run_asked_for_by_another_process_is_launched(
    filled: Registry, elsewhere: Registry
) -> None:
    launches = Launches()
    with scheduling(filled, launches):
        run_id = elsewhere.runs.create("nightly").run_id
        began = time.monotonic()
        assert launches.next() == run_id
        assert time.monotonic() - began < 2


def test_jobs_follow_the_schedules(filled: Registry, elsewhere: Registry) -> None:
    with scheduling(filled, Launches()):
        assert jobs(elsewhere) == ["nightly"]
        elsewhere.schedules.put(replace(OFTEN, interval=timedelta(days=30)))
        until(lambda: jobs(elsewhere) == ["nightly", "often"])
        elsewhere.schedules.put(replace(OFTEN, interval=timedelta(days=30), paused=True))
        until(lambda: jobs(elsewhere) == ["nightly"])
        elsewhere.schedules.delete("nightly")
        until(lambda: jobs(elsewhere) == [])


def test_a_changed_schedule_fires_at_its_new_times(filled: Registry, elsewhere: Registry) -> None:
    elsewhere.schedules.put(replace(OFTEN, interval=timedelta(days=30)))
    launches = Launches()
    with scheduling(filled, launches):
        until(lambda: "often" in jobs(elsewhere))
        elsewhere.schedules.put(OFTEN)
        assert launches.next().startswith("often-")


def test_jobs_outlive_the_scheduler_unless_their_schedule_is_gone(
    filled: Registry, elsewhere: Registry
) -> None:
    filled.schedules.put(replace(OFTEN, interval=timedelta(days=30)))
    with scheduling(filled, Launches()):
        pass
    assert jobs(elsewhere) == ["nightly", "often"]
    elsewhere.schedules.delete("often")
    with scheduling(filled, Launches()):
        assert jobs(elsewhere) == ["nightly"]


def test_runs_are_launched_one_by_one_oldest_first(filled: Registry) -> None:
    first, second = (filled.runs.create("nightly").run_id for _ in range(2))
    launches = Launches()
    with scheduling(filled, launches):
        assert launches.next() == first
        child = launches.children[0]
        filled.runs.claim(first)
        child.polled.clear()
        assert child.polled.wait(TIMEOUT)  # a whole round went by with the first under way
        assert launches.run_ids.empty()
        filled.runs.finish(first, RunState.SKIPPED)
        child.code = 0
        assert launches.next() == second


def test_a_process_that_dies_fails_its_run_and_the_next_one_is_launched(filled: Registry) -> None:
    killed, unclaimed, after = (filled.runs.create("nightly").run_id for _ in range(3))
    launches = Launches()
    with scheduling(filled, launches):
        assert launches.next() == killed
        filled.runs.claim(killed)
        launches.children[0].code = -9
        assert launches.next() == unclaimed
        launches.children[1].code = 2
        assert launches.next() == after
    assert ended(filled, killed).reason.startswith("its process ended early, with exit code -9")
    assert ended(filled, unclaimed).reason.startswith("its process ended early, with exit code 2")


def test_a_run_that_another_scheduler_claimed_is_left_to_it(filled: Registry) -> None:
    taken, after = (filled.runs.create("nightly").run_id for _ in range(2))
    launches = Launches()
    with scheduling(filled, launches):
        assert launches.next() == taken
        filled.runs.claim(taken)  # by the process of the other scheduler; ours is refused
        launches.children[0].code = 2
        assert launches.next() == after
    assert filled.runs.get(taken).state is RunState.RUNNING


def test_a_process_that_cannot_be_started_fails_the_run(filled: Registry) -> None:
    def launch(run_id: str) -> Process:
        raise FileNotFoundError("no such program")

    run_id = filled.runs.create("nightly").run_id
    with scheduling(filled, launch):
        run = ended(filled, run_id)
    assert run.state is RunState.FAILED
    assert run.reason == "its process could not be started: no such program"


def test_the_table_of_jobs_is_no_part_of_the_schema(filled: Registry, registry_url: str) -> None:
    with scheduling(filled, Launches()):
        pass
    upgrade(registry_url)
    engine = open_engine(registry_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM apscheduler_jobs")) == 1
    engine.dispose()


class SlowSchedules(Schedules):
    """Lists the schedules once it is let."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.let = Event()
        self.let.set()
        self.asked = Event()

    def list(self) -> tuple[Schedule, ...]:
        self.asked.set()
        self.let.wait(TIMEOUT)
        return super().list()


def test_closing_in_the_middle_of_a_round_ends(filled: Registry) -> None:
    """APScheduler's shutdown holds the locks that a round needs."""
    slow = SlowSchedules(filled.engine)
    scheduler = RetrainingScheduler(filled.engine, slow, filled.runs, Launches(), poll_seconds=0.05)
    scheduler.start()
    slow.let.clear()
    slow.asked.clear()
    assert slow.asked.wait(TIMEOUT)
    closing = Thread(target=scheduler.close, daemon=True)
    closing.start()
    closing.join(0.2)
    slow.let.set()
    closing.join(TIMEOUT)
    assert not closing.is_alive()


def test_a_round_that_fails_is_followed_by_the_next(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be away for a while."""
    failures = [OperationalError("SELECT", {}, Exception("away"))] * 2
    queued = filled.runs.queued

    def sometimes(_: Runs) -> tuple[Run, ...]:
        if failures:
            raise failures.pop()
        return queued()

    monkeypatch.setattr(Runs, "queued", sometimes)
    run_id = filled.runs.create("nightly").run_id
    launches = Launches()
    with scheduling(filled, launches):
        assert launches.next() == run_id
