"""The controller on the real registry: what it changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
from structlog.testing import capture_logs
from tests.platform.store.defined import register_models
from tests.platform.traffic.ramps.ramped import HOUR, RAMP, T0, experiment

from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import Decision, ExperimentState, HarmAction, Ramp, RegisteredExperiment
from ranklift.traffic.ramps.controller import RampController
from ranklift.traffic.ramps.decision import Advance, Done, Hold, Pause, RollBack
from ranklift.traffic.ramps.evidence import Evidence
from ranklift.traffic.ramps.harm import Watched

HARM = Watched("UserCTR", "student", 4_000, -0.05, 0.012, 0.0)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now


class Log:
    """The evidence that is found; an exception where there is none to be had."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.harm = self.fault = False
        self.broken: set[str] = set()

    def __call__(self, registered: RegisteredExperiment, began: datetime) -> Evidence:
        if registered.experiment.name in self.broken:
            raise OSError("the disk is gone")
        return Evidence(
            units=200_000,
            units_in_step=200_000,
            last_page=self._clock.now,
            faults=("sample_ratio: 60 to 40",) * self.fault,
            watched=(HARM,) * self.harm,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> Log:
    return Log(clock)


@pytest.fixture
def registry(registry_url: str, clock: Clock) -> Iterator[Registry]:
    opened = open_registry(registry_url, clock=clock)
    register_models(opened)
    yield opened
    opened.close()


@pytest.fixture
def controller(registry: Registry, log: Log, clock: Clock) -> RampController:
    return RampController(registry.experiments.running, registry.experiments, log, clock)


def begin(registry: Registry, name: str = "ramped", ramp: Ramp | None = RAMP) -> None:
    """Start an experiment on a ramp; several share a layer."""
    made = experiment(ramp, name=name, salt=name, layer_share=2_000)
    registry.experiments.create(made, actor="ann")
    registry.experiments.start(name, actor="ann", reason="go")


def test_a_sound_ramp_goes_through_its_steps_and_stays_on_the_last(
    registry: Registry, controller: RampController, clock: Clock
) -> None:
    begin(registry)
    shares = []
    for _ in range(20):
        clock.now += 6 * HOUR
        move = controller.look()["ramped"]
        shares.append(registry.experiments.get("ramped").experiment.traffic_share)
    # 6, 12, 24 and 48 hours, and then no end of its own.
    assert shares == [500] * 2 + [2_500] * 4 + [5_000] * 14
    assert isinstance(move, Done)
    found = registry.experiments.get("ramped")
    assert found.state is ExperimentState.RUNNING
    assert [(r.actor, r.traffic_share) for r in found.revisions[2:]] == [
        ("ramp", 500),
        ("ramp", 2_500),
        ("ramp", 5_000),
    ]
    assert found.revisions[2].reason.startswith("step 1 of 4, 1 % of traffic: no harm is shown")


def test_harm_is_rolled_back_with_the_reason_on_the_revision(
    registry: Registry, controller: RampController, log: Log
) -> None:
    begin(registry)
    log.harm = True
    assert isinstance(controller.look()["ramped"], RollBack)
    found = registry.experiments.get("ramped")
    assert (found.state, found.decision) == (ExperimentState.CONCLUDED, Decision.ROLL_BACK)
    assert found.revisions[-1].actor == "ramp"
    assert "UserCTR in student -5.00% over 4,000 units" in found.revisions[-1].reason
    assert controller.look() == {}


def test_a_fault_or_harm_that_should_pause_pauses_until_somebody_goes_on(
    registry: Registry, controller: RampController, log: Log, clock: Clock
) -> None:
    begin(registry, ramp=replace(RAMP, on_harm=HarmAction.PAUSE))
    log.harm = True
    assert isinstance(controller.look()["ramped"], Pause)
    assert registry.experiments.get("ramped").state is ExperimentState.PAUSED
    log.harm = False
    clock.now += 100 * HOUR
    assert controller.look() == {}
    registry.experiments.start("ramped", actor="ann", reason="mended")
    # The step begins anew: what it saw before the pause does not count.
    assert isinstance(controller.look()["ramped"], Hold)
    clock.now += 6 * HOUR
    log.fault = True
    assert isinstance(controller.look()["ramped"], Pause)


def test_experiments_without_a_ramp_are_left_alone(
    registry: Registry, controller: RampController, log: Log
) -> None:
    begin(registry, ramp=None)
    log.harm = True
    assert controller.look() == {}


def test_trouble_with_one_experiment_leaves_no_other_unguarded(
    registry: Registry, controller: RampController, log: Log, clock: Clock
) -> None:
    begin(registry, "a")
    begin(registry, "b")
    log.broken, log.harm = {"a"}, True
    with capture_logs() as lines:
        assert list(controller.look()) == ["b"]
    events = [(line["event"], line["experiment"]) for line in lines]
    assert events == [("ramp_look_failed", "a"), ("ramp_looked", "b")]
    assert registry.experiments.get("a").state is ExperimentState.RUNNING


def test_a_look_is_one_line_with_its_numbers(
    registry: Registry, controller: RampController, log: Log
) -> None:
    begin(registry)
    log.harm = True
    with capture_logs() as lines:
        controller.look()
    (line,) = lines
    assert line["event"] == "ramp_looked"
    assert (line["move"], line["traffic_share"], line["units"]) == ("rollback", 100, 200_000)
    assert line["watched"] == [str(HARM)]


def test_of_two_controllers_that_saw_the_same_one_comes_second(
    registry: Registry, log: Log, clock: Clock
) -> None:
    begin(registry)
    clock.now += 6 * HOUR
    stale = registry.experiments.running()
    first, second = (
        RampController(lambda: stale, registry.experiments, log, clock) for _ in range(2)
    )
    assert isinstance(first.look()["ramped"], Advance)
    with capture_logs() as lines:
        assert second.look() == {}
    assert [line["event"] for line in lines] == ["ramp_superseded"]
    found = registry.experiments.get("ramped")
    assert (found.experiment.traffic_share, found.revision) == (500, 3)


def test_a_step_that_somebody_began_meanwhile_is_not_cut_short(
    registry: Registry, log: Log, clock: Clock
) -> None:
    begin(registry)
    clock.now += 6 * HOUR
    stale = registry.experiments.running()
    registry.experiments.ramp("ramped", 300, actor="ann", reason="a little more first")
    assert RampController(lambda: stale, registry.experiments, log, clock).look() == {}
    assert registry.experiments.get("ramped").experiment.traffic_share == 300


def test_a_person_who_is_faster_is_not_overruled(
    registry: Registry, log: Log, clock: Clock
) -> None:
    begin(registry)
    seen = registry.experiments.running()
    registry.experiments.conclude("ramped", Decision.NONE, actor="ann", reason="enough")
    log.harm = True
    assert RampController(lambda: seen, registry.experiments, log, clock).look() == {}
    assert registry.experiments.get("ramped").decision is Decision.NONE
