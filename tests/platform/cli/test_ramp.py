"""Ramps of an installation: the registry, the log on disk and the controller together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.platform.recorded import NAME, define, pages_of, record
from tests.platform.store.defined import NEW, OLD, register_models

from ranklift.cli import command
from ranklift.cli.learning import ChallengerStarter
from ranklift.cli.ramping import controller_of, evidence_of_home
from ranklift.settings import RetrainSettings, load_settings
from ranklift.store.analysis import AnalysisPlan
from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import (
    Decision,
    ExperimentState,
    Ramp,
    RampStep,
    RegisteredExperiment,
    Schedule,
)
from ranklift.traffic.ramps.decision import Advance, Hold, RollBack
from ranklift.traffic.ramps.evidence import Evidence
from ranklift.v1.errors import InvalidRequest

RAMP = Ramp((RampStep(5_000, timedelta(), 300), RampStep(10_000, timedelta(), 600)))
USERS = [f"u{number:04}" for number in range(800)]


@pytest.fixture
def registry(sqlite_url: str) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def ramped(registry: Registry) -> RegisteredExperiment:
    """An experiment that runs on the first step of `RAMP`."""
    made = define(registry, traffic_share=5_000).experiment
    plan = AnalysisPlan(planned_units=1_000)
    changed = replace(made, ramp=RAMP, analysis=plan)
    registry.experiments.update(NAME, changed, ("ramp", "analysis"), actor="ann", reason="slowly")
    return registry.experiments.start(NAME, actor="ann", reason="go")


def search(home: Path, registered: RegisteredExperiment, clicks: dict[str, int]) -> None:
    """Have all users search; every n-th page of an arm is clicked, by the arm's n in `clicks`."""
    pages = pages_of(registered, USERS, datetime.now(UTC))
    for arm, every in clicks.items():
        shown = [p for p in pages if p.assignments and p.assignments[0].arm == arm]
        asyncio.run(record(home, shown, click_every=every))


def test_a_ramp_advances_on_good_pages_and_is_rolled_back_on_bad_ones(
    registry: Registry, ramped: RegisteredExperiment, tmp_path: Path
) -> None:
    controller = controller_of(tmp_path, registry)
    assert isinstance(controller.look()[NAME], Hold), "the log is empty"
    search(tmp_path, ramped, {"old": 3, "new": 3})
    assert isinstance(controller.look()[NAME], Advance)
    advanced = registry.experiments.get(NAME)
    assert advanced.experiment.traffic_share == 10_000
    assert isinstance(controller.look()[NAME], Hold), "the new step has seen nothing"

    search(tmp_path, advanced, {"old": 3, "new": 90})
    assert isinstance(controller.look()[NAME], RollBack)
    found = registry.experiments.get(NAME)
    assert (found.state, found.decision) == (ExperimentState.CONCLUDED, Decision.ROLL_BACK)
    last = found.revisions[-1]
    assert last.actor == "ramp"
    assert last.reason.startswith("step 2 of 2, 100 % of traffic: PageCTR in new -")
    assert controller.look() == {}


def test_the_step_counts_its_own_pages_and_the_alarm_all_of_them(
    registry: Registry, ramped: RegisteredExperiment, tmp_path: Path
) -> None:
    search(tmp_path, ramped, {"old": 3, "new": 3})
    took_part = evidence_of_home(tmp_path, ramped, ramped.updated)
    assert took_part.units == took_part.units_in_step > 300
    later = evidence_of_home(tmp_path, ramped, datetime.now(UTC) + timedelta(hours=1))
    assert (later.units, later.units_in_step) == (took_part.units, 0)
    assert later.last_page is None
    assert later.watched == took_part.watched


def test_a_home_without_any_log_tells_nothing(ramped: RegisteredExperiment, tmp_path: Path) -> None:
    assert evidence_of_home(tmp_path, ramped, ramped.updated) == Evidence()


def test_status_and_step_say_what_is_missing_and_carry_on(
    registry: Registry,
    ramped: RegisteredExperiment,
    tmp_path: Path,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path))
    monkeypatch.setenv("RANKLIFT_REGISTRY", sqlite_url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> str:
        command()(list(words), standalone_mode=False)
        return capsys.readouterr().out

    assert "the log has no page since" in run("ramp", "status", NAME)
    search(tmp_path, ramped, {"old": 3, "new": 3})
    status = run("ramp", "status", NAME)
    assert "step 1 of 2, 50 % of traffic" in status
    assert "PageCTR in new" in status
    assert "advance: step 1 of 2" in status
    assert registry.experiments.get(NAME).experiment.traffic_share == 5_000
    assert f"{NAME}: advance: step 1 of 2" in run("ramp", "step")
    assert registry.experiments.get(NAME).experiment.traffic_share == 10_000


def test_a_retrained_student_starts_on_the_ramp_of_the_settings(registry: Registry) -> None:
    register_models(registry)
    schedule = Schedule(name="nightly", student="student", teacher="teacher")
    name = ChallengerStarter(registry, RetrainSettings()).start("run-1", OLD, NEW, schedule)
    made = registry.experiments.get(name)
    assert made.state is ExperimentState.RUNNING
    assert made.experiment.traffic_share == 100
    day = timedelta(days=1)
    assert made.experiment.ramp == Ramp(
        (RampStep(100, day), RampStep(500, day), RampStep(2_500, day), RampStep(5_000, day))
    )


def test_without_a_ramp_in_the_settings_it_takes_all_traffic(registry: Registry) -> None:
    register_models(registry)
    schedule = Schedule(name="nightly", student="student", teacher="teacher")
    starter = ChallengerStarter(registry, RetrainSettings(ramp=()))
    made = registry.experiments.get(starter.start("run-1", OLD, NEW, schedule)).experiment
    assert (made.ramp, made.traffic_share) == (None, 10_000)


def test_a_step_too_small_for_the_arms_is_refused_before_anything_starts(
    registry: Registry,
) -> None:
    register_models(registry)
    schedule = Schedule(name="n", student="student", teacher="teacher", challenger_share=1_234)
    with pytest.raises(InvalidRequest, match=r"retrain\.ramp: 0\.01 gives arm"):
        ChallengerStarter(registry, RetrainSettings()).start("run-1", OLD, NEW, schedule)
    assert registry.experiments.running() == ()


@pytest.mark.parametrize("shares", [(0.05, 0.01), (0.05, 0.05), (0.0,), (1.5,)])
def test_the_ramp_of_the_settings_must_grow_within_0_and_1(shares: tuple[float, ...]) -> None:
    with pytest.raises(InvalidRequest, match=r"retrain\.ramp"):
        load_settings(retrain={"ramp": shares})
