"""What the registry promises of schedules and runs, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ranklift.store.database import open_engine, writing
from ranklift.store.registry import Registry
from ranklift.store.runs import Runs
from ranklift.store.values import (
    Comparison,
    Lineage,
    ModelRef,
    ModelVersion,
    Run,
    RunState,
    Schedule,
)
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOURLY = Schedule(
    "hourly", "student", "teacher", interval=timedelta(hours=1, microseconds=1), paused=True
)
NIGHTLY = Schedule(
    "nightly",
    "student",
    "teacher",
    cron="0 3 * * *",
    window=timedelta(days=1),
    min_clicked_pages=1,
    layer="search",
    challenger_share=1,
)


@pytest.fixture
def runs(registry: Registry) -> Runs:
    for model in ("student", "teacher"):
        registry.models.register(
            ModelVersion(
                ModelRef(model, "1"),
                "encoder",
                "sha256:" + "0" * 64,
                "fp32",
                "m",
                Lineage("sft"),
                NOON,
            )
        )
    registry.schedules.put(NIGHTLY)
    return registry.runs


@pytest.fixture
def rivals(registry_url: str, runs: Runs) -> Iterator[list[Runs]]:
    """The same registry as several processes would see it: an engine each."""
    engines = [open_engine(registry_url) for _ in range(6)]
    yield [Runs(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


def test_schedules_are_put_replaced_listed_and_deleted(registry: Registry, runs: Runs) -> None:
    schedules = registry.schedules
    assert schedules.put(HOURLY) == schedules.get("hourly") == HOURLY
    assert schedules.list() == (HOURLY, NIGHTLY)
    resumed = replace(HOURLY, paused=False, interval=None, cron="* * * * *")
    schedules.put(resumed)
    assert schedules.list() == (resumed, NIGHTLY)
    schedules.delete("hourly")
    assert schedules.list() == (NIGHTLY,)


def test_a_schedule_needs_models_that_are_registered(registry: Registry, runs: Runs) -> None:
    with pytest.raises(NotFound) as error:
        registry.schedules.put(replace(HOURLY, student="absent", teacher="gone"))
    assert [v.field for v in error.value.violations] == ["student", "teacher"]


def test_an_unknown_schedule_is_not_found(registry: Registry, runs: Runs) -> None:
    for call in (registry.schedules.get, registry.schedules.delete, runs.create):
        with pytest.raises(NotFound, match='no schedule "absent"') as error:
            call("absent")
        assert error.value.violations[0].field == "name"


def test_values_that_contradict_each_other_never_reach_the_tables(
    registry: Registry, runs: Runs
) -> None:
    for wrong in (
        replace(HOURLY, interval=None),
        replace(HOURLY, cron="* * * * *"),
        replace(HOURLY, interval=timedelta(0)),
        replace(HOURLY, window=timedelta(0)),
        replace(HOURLY, min_clicked_pages=0),
        replace(HOURLY, challenger_share=0),
        replace(HOURLY, challenger_share=5_001),
    ):
        with pytest.raises(IntegrityError):
            registry.schedules.put(wrong)


def test_a_run_is_recorded_step_by_step(registry: Registry, runs: Runs) -> None:
    run = runs.create("nightly")
    assert run == runs.get(run.run_id)
    assert (run.schedule, run.state, run.steps, run.ended) == ("nightly", RunState.QUEUED, (), None)
    assert runs.queued() == (run,)

    assert runs.claim(run.run_id).state is RunState.RUNNING
    assert runs.queued() == ()
    runs.step_started(run.run_id, "dataset")
    runs.step_ended(run.run_id, "dataset", RunState.SUCCEEDED, "200 queries")
    runs.step_started(run.run_id, "distil")
    under_way = runs.get(run.run_id).steps
    assert [(s.name, s.state, s.detail) for s in under_way] == [
        ("dataset", RunState.SUCCEEDED, "200 queries"),
        ("distil", RunState.RUNNING, ""),
    ]
    compared = (
        Comparison("pair_accuracy", 0.5, 0.75, 0.25, 0.1, 0.4, 200, "clicks"),
        Comparison("ndcg@10", 0.5, 0.4, -0.1, -0.2, 0.0, 50, "judgments"),
    )
    runs.compared(run.run_id, compared)
    runs.registered(run.run_id, ModelRef("student", "1"))
    over = runs.finish(run.run_id, RunState.FAILED, "out of memory")
    assert over == runs.get(run.run_id)
    assert (over.state, over.reason) == (RunState.FAILED, "out of memory")
    assert over.steps[1].state is RunState.FAILED
    assert over.steps[1].ended == over.ended
    assert over.comparisons == compared
    assert over.model_version == "student@1"


def test_a_run_outlives_its_schedule(registry: Registry, runs: Runs) -> None:
    run = runs.create("nightly")
    registry.schedules.delete("nightly")
    assert runs.get(run.run_id) == run


def test_runs_are_listed_newest_first_page_by_page(registry: Registry, runs: Runs) -> None:
    registry.schedules.put(HOURLY)
    made = [runs.create(name) for name in ("nightly", "hourly", "nightly", "nightly")]
    page, token = runs.list(page_size=3)
    rest, end = runs.list(page_size=3, page_token=token)
    assert [*page, *rest] == made[::-1]
    assert end == ""
    assert runs.list("hourly") == ([made[1]], "")
    assert runs.queued() == tuple(made)
    with pytest.raises(InvalidRequest):
        runs.list(page_token="WyJhIl0=")


def test_an_unknown_run_is_not_found(runs: Runs) -> None:
    runs.create("nightly")
    for run_id in ("", "nightly", "nightly-9", "other-1", "nightly-é", "nightly-²"):
        for call in (runs.get, runs.claim, lambda run_id: runs.finish(run_id, RunState.FAILED)):
            with pytest.raises(NotFound, match="there is no run"):
                call(run_id)


def test_of_racing_claims_one_wins(runs: Runs, rivals: list[Runs]) -> None:
    run = runs.create("nightly")
    together = Barrier(len(rivals))

    def attempt(rival: Runs) -> Run | str:
        together.wait(10)
        try:
            return rival.claim(run.run_id)
        except NotReady as error:
            return str(error)

    with ThreadPoolExecutor(len(rivals)) as pool:
        outcomes = list(pool.map(attempt, rivals))
    refused = f'run_id: "{run.run_id}" is running and is not run again; ask for a new run'
    assert outcomes.count(refused) == len(rivals) - 1
    assert replace(run, state=RunState.RUNNING) in outcomes


def test_only_a_running_run_has_steps_and_an_end_is_final(runs: Runs) -> None:
    run_id = runs.create("nightly").run_id
    with pytest.raises(NotReady, match="is queued, must be running; claim it first"):
        runs.step_started(run_id, "dataset")
    runs.finish(run_id, RunState.FAILED, "nobody took it up")
    with pytest.raises(NotReady, match="is over: failed"):
        runs.finish(run_id, RunState.SUCCEEDED)
    with pytest.raises(ValueError, match="cannot end as running"):
        runs.finish(run_id, RunState.RUNNING)


def test_what_no_run_can_be_never_reaches_the_tables(registry: Registry, runs: Runs) -> None:
    runs.create("nightly")
    for change in ("ended = created", "model = 'student'", "state = 'failed'"):
        with pytest.raises(IntegrityError), writing(registry.engine) as session:
            session.execute(text(f"UPDATE runs SET {change}"))  # noqa: S608
