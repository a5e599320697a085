"""Ramps under anything that may happen, in any order: on the real registry, with crashes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.platform.store.defined import register_models
from tests.platform.traffic.ramps.ramped import HOUR, T0, experiment

from ranklift.store.database import upgrade
from ranklift.store.registry import open_registry
from ranklift.store.values import (
    Decision,
    ExperimentState,
    Ramp,
    RampStep,
    RegisteredExperiment,
)
from ranklift.traffic.ramps.controller import ACTOR, RampController
from ranklift.traffic.ramps.evidence import Evidence
from ranklift.traffic.ramps.harm import Watched

NAME = "ramped"
RAMP = Ramp((RampStep(100, HOUR, 60), RampStep(500, 2 * HOUR), RampStep(5_000, HOUR, 50)))
SHARES = [step.traffic_share for step in RAMP.steps]
HARM = Watched("UserCTR", "student", 4_000, -0.05, 0.012, 0.0)
RUNNING, PAUSED, CONCLUDED = (
    ExperimentState.RUNNING,
    ExperimentState.PAUSED,
    ExperimentState.CONCLUDED,
)


def folder() -> Path:
    """Return a new folder, in memory where there is such a place: nothing here is about disks."""
    memory = Path("/dev/shm")  # noqa: S108  # what is made below it is mkdtemp's
    return Path(tempfile.mkdtemp(prefix="ranklift-", dir=memory if memory.is_dir() else None))


@cache
def migrated() -> Path:
    path = folder() / "registry.db"
    upgrade(f"sqlite:///{path}")
    return path


class Crashed(Exception):
    """The process died: nothing after this happened."""


class Ramps(RuleBasedStateMachine):
    """The log is a list of (instant, units); the model below knows what a ramp may do with it."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = folder()
        shutil.copyfile(migrated(), self._folder / "registry.db")
        self.now = T0
        self._registry = open_registry(
            f"sqlite:///{self._folder / 'registry.db'}", clock=lambda: self.now
        )
        register_models(self._registry)
        self.experiments = self._registry.experiments
        self.experiments.create(experiment(RAMP), actor="ann")
        self.seen = self.experiments.start(NAME, actor="ann", reason="go")
        self.began = self.now
        self.arrived: list[tuple[datetime, int]] = []
        self.state = "good"
        self.stale: tuple[RegisteredExperiment, ...] = ()

    def teardown(self) -> None:
        self._registry.close()
        shutil.rmtree(self._folder)

    def evidence(self, registered: RegisteredExperiment, began: datetime) -> Evidence:
        in_step = [(at, units) for at, units in self.arrived if at >= began]
        return Evidence(
            units=sum(units for _, units in self.arrived),
            units_in_step=sum(units for _, units in in_step),
            last_page=max((at for at, _ in in_step), default=None),
            faults=("sample_ratio: 60 to 40",) * (self.state == "fault"),
            watched=(HARM,) * (self.state == "harm"),
            untold=("UserCTR: too few",) * (self.state == "untold"),
        )

    def controller(self) -> RampController:
        return RampController(
            self.experiments.running, self.experiments, self.evidence, lambda: self.now
        )

    @rule(minutes=st.sampled_from([1, 30, 59, 60, 61, 120, 600]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(units=st.sampled_from([1, 9, 10, 60]))
    def units_arrive(self, units: int) -> None:
        self.now += timedelta(seconds=1)
        self.arrived.append((self.now, units))

    # Mostly good: harm ends a ramp, and with it what else could be tried.
    @rule(state=st.sampled_from(["good"] * 4 + ["untold"] * 2 + ["fault", "harm"]))
    def the_evidence_turns(self, state: str) -> None:
        self.state = state

    @precondition(lambda self: self.seen.state is RUNNING)
    @rule()
    def somebody_pauses(self) -> None:
        self.person(lambda: self.experiments.pause(NAME, actor="ann", reason="lunch"))

    @precondition(lambda self: self.seen.state is PAUSED)
    @rule()
    def somebody_resumes(self) -> None:
        self.person(lambda: self.experiments.start(NAME, actor="ann", reason="back"))

    @precondition(
        lambda self: self.seen.state is not CONCLUDED and self.seen.experiment.traffic_share < 4_000
    )
    @rule(more=st.sampled_from([1, 399, 1_000]))
    def somebody_ramps(self, more: int) -> None:
        share = self.seen.experiment.traffic_share + more
        self.person(lambda: self.experiments.ramp(NAME, share, actor="ann", reason="impatient"))

    @precondition(lambda self: self.seen.state is not CONCLUDED)
    @rule(seriously=st.sampled_from([False] * 19 + [True]))
    def somebody_concludes(self, seriously: bool) -> None:
        if seriously:
            self.person(
                lambda: self.experiments.conclude(NAME, Decision.NONE, actor="ann", reason="enough")
            )

    def person(self, change: Callable[[], RegisteredExperiment]) -> None:
        self.now += timedelta(seconds=1)
        self.follow(change())

    @rule()
    def a_controller_takes_a_list_and_stalls(self) -> None:
        self.stale = self.experiments.running()

    @rule()
    def a_controller_looks(self) -> None:
        self.look(self.controller())

    @rule(units=st.sampled_from([1, 60]), minutes=st.sampled_from([61, 121]))
    def traffic_comes_late_and_a_controller_looks(self, units: int, minutes: int) -> None:
        self.time_passes(minutes)
        self.units_arrive(units)
        self.look(self.controller())

    @rule()
    def the_stalled_controller_goes_on(self) -> None:
        stale = self.stale
        self.look(RampController(lambda: stale, self.experiments, self.evidence, lambda: self.now))

    @rule(after=st.booleans())
    def a_controller_dies_in_the_middle(self, after: bool) -> None:
        """Before its change is made, or just after, when nobody heard that it was."""
        experiments = self.experiments

        class Dying:
            def __getattr__(self, method: str) -> object:
                def die(*given: object, **named: object) -> None:
                    if after:
                        getattr(experiments, method)(*given, **named)
                    raise Crashed

                return die

        dying = RampController(
            self.experiments.running,
            Dying(),  # type: ignore[arg-type]
            self.evidence,
            lambda: self.now,
        )
        self.look(dying)

    def look(self, controller: RampController) -> None:
        """Let a controller look, and hold what it did against what a ramp may do."""
        before = self.seen
        controller.look()
        found = self.experiments.get(NAME)
        assert found.revision - before.revision <= 1, "one change a look"
        if found.revision == before.revision:
            assert found == before
            return
        assert before.state is RUNNING, "only what runs is touched"
        assert found.revisions[-1].actor == ACTOR
        assert found.revisions[-1].reason
        if found.state is RUNNING:
            self.may_advance(before, found)
        elif found.state is PAUSED:
            assert self.state == "fault"
        else:
            assert (self.state, found.decision) == ("harm", Decision.ROLL_BACK)
        self.follow(found)

    def may_advance(self, before: RegisteredExperiment, found: RegisteredExperiment) -> None:
        assert self.state == "good", "nothing but good evidence advances"
        share = before.experiment.traffic_share
        assert found.experiment.traffic_share == min(one for one in SHARES if one > share)
        step = [one for one in RAMP.steps if one.traffic_share <= share][-1]
        due = self.began + step.hold
        assert self.now >= due
        in_step = [(at, units) for at, units in self.arrived if at >= self.began]
        assert sum(units for _, units in in_step) >= step.min_units
        assert max(at for at, _ in in_step) >= due, "the log covers the step"

    def follow(self, found: RegisteredExperiment) -> None:
        assert found.experiment.traffic_share >= self.seen.experiment.traffic_share
        grown = found.experiment.traffic_share > self.seen.experiment.traffic_share
        resumed = self.seen.state is not RUNNING
        if found.state is RUNNING and (grown or resumed):
            self.began = self.now
        self.seen = found

    @invariant()
    def harm_and_faults_never_wait(self) -> None:
        """One more look at harm or a fault ends an experiment that runs."""
        if self.seen.state is RUNNING and self.state in ("harm", "fault"):
            self.look(self.controller())
            assert self.seen.state is (CONCLUDED if self.state == "harm" else PAUSED)

    @invariant()
    def a_concluded_experiment_stays_as_it_was(self) -> None:
        assert self.experiments.get(NAME) == self.seen


TestRamps = Ramps.TestCase
TestRamps.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
