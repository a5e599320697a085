"""A whole run against a real registry; training and comparison are as small as they can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ranklift.events.frames import EventFrames
from ranklift.retrain.collaborators import TeacherScores, TrainedArtefact
from ranklift.retrain.dataset import RetrainData
from ranklift.retrain.gate import Evaluation
from ranklift.retrain.pipeline import run_retraining
from ranklift.store.registry import Registry
from ranklift.store.values import (
    Arm,
    Comparison,
    Experiment,
    Lineage,
    ModelRef,
    ModelVersion,
    Run,
    RunState,
    Schedule,
)
from ranklift.v1.errors import NotReady, Unreachable

from .conftest import NOON, MakeLog

BETTER = Evaluation(
    (Comparison("pair_accuracy", 0.7, 0.8, 0.1, 0.05, 0.15, 20, "clicks"),), score_spread=1.0
)
WORSE = Evaluation(
    (Comparison("pair_accuracy", 0.7, 0.6, -0.1, -0.15, -0.05, 20, "clicks"),), score_spread=1.0
)


@dataclass
class SmallTrainer:
    """Scores by the length of the text and writes one file; remembers what it was given."""

    fails: Exception | None = None
    parent: str = ""
    teacher: str = ""
    lineage: Lineage | None = None

    def score(
        self, data: RetrainData, teacher: ModelVersion, progress: Callable[[int, int], None]
    ) -> TeacherScores:
        self.teacher = str(teacher.ref)
        progress(1, 1)
        return [[float(len(d.text)) for d in log.documents] for log in data.train]

    def distil(
        self,
        data: RetrainData,
        scores: TeacherScores,
        parent: ModelVersion,
        folder: Path,
        lineage: Lineage,
        progress: Callable[[int, int], None],
    ) -> TrainedArtefact:
        self.parent, self.lineage = str(parent.ref), lineage
        folder.mkdir(parents=True)
        (folder / "weights").write_text(repr(scores))
        if self.fails:
            raise self.fails
        progress(10, 10)
        return TrainedArtefact(folder, "encoder", "fp32", "sha256:" + "1" * 64)


@dataclass
class FixedEvaluator:
    """Comes to the same result each time."""

    result: Evaluation
    champion: str = ""

    def compare(
        self, champion: ModelVersion, challenger: TrainedArtefact, data: RetrainData
    ) -> Evaluation:
        assert (challenger.folder / "weights").exists()
        self.champion = str(champion.ref)
        return self.result


@dataclass
class MemoryLoader:
    """Remembers what was loaded, or cannot be reached."""

    fails: Exception | None = None
    loaded: list[ModelRef] = field(default_factory=list)

    def load(self, version: ModelVersion) -> None:
        if self.fails:
            raise self.fails
        assert (Path(version.uri) / "weights").exists()
        self.loaded.append(version.ref)


@dataclass
class MemoryStarter:
    """Remembers what was started."""

    fails: Exception | None = None
    started: list[tuple[str, str, str, int]] = field(default_factory=list)

    def start(self, name: str, control: ModelRef, challenger: ModelRef, schedule: Schedule) -> str:
        if self.fails:
            raise self.fails
        self.started.append((name, str(control), str(challenger), schedule.challenger_share))
        return name


@dataclass
class House:
    """A registry and everything that a run needs of others."""

    registry: Registry
    folder: Path
    frames: EventFrames
    trainer: SmallTrainer = field(default_factory=SmallTrainer)
    evaluator: FixedEvaluator = field(default_factory=lambda: FixedEvaluator(BETTER))
    loader: MemoryLoader = field(default_factory=MemoryLoader)
    starter: MemoryStarter = field(default_factory=MemoryStarter)
    told: list[tuple[str, int, int]] = field(default_factory=list)

    def run(self, run_id: str = "") -> Run:
        return run_retraining(
            run_id or self.registry.runs.create("nightly").run_id,
            registry=self.registry,
            events=lambda: self.frames,
            trainer=self.trainer,
            evaluator=self.evaluator,
            loader=self.loader,
            experiments=self.starter,
            models_folder=self.folder,
            clock=lambda: NOON + timedelta(minutes=1),
            progress=lambda *told: self.told.append(told),
        )

    def versions(self) -> list[str]:
        return [v.ref.version for v in self.registry.models.list("student")[0]]

    def folders(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))


@pytest.fixture
def house(filled: Registry, tmp_path: Path, make_log: MakeLog) -> House:
    pages = [(f"q{i}", ["a", "b"], ["b"]) for i in range(20)]
    # The starter of this house keeps experiments in memory, so the run has none to refer to.
    return House(filled, tmp_path / "models", make_log(pages))


@pytest.fixture
def experiment_exists(house: House) -> None:
    """The registry knows the experiment that the run will start, as a real starter sees to."""
    student = ModelRef("student", "1")
    house.registry.experiments.create(
        Experiment(
            "nightly-1",
            (Arm("control", 5_000, student), Arm("challenger", 5_000, student)),
            control="control",
            salt="s",
        ),
        actor="retraining",
    )


def states(run: Run) -> list[tuple[str, str]]:
    return [(step.name, step.state.value) for step in run.steps]


@pytest.mark.usefixtures("experiment_exists")
def test_a_run_registers_loads_and_starts_a_better_version(house: House) -> None:
    run = house.run()
    assert (run.state, run.reason) == (RunState.SUCCEEDED, "")
    assert states(run) == [
        (name, "succeeded")
        for name in (
            "window",
            "dataset",
            "teacher_scores",
            "distil",
            "gate",
            "register",
            "load",
            "experiment",
        )
    ]
    assert run.steps[1].detail.startswith("20 pages, 20 clicked, 0 fell back; ")
    assert (run.model_version, run.experiment) == ("student@2", "nightly-1")
    assert run.comparisons == BETTER.comparisons
    version = house.registry.models.get(ModelRef("student", "2"))
    assert version.uri == str(house.folder / "student/2")
    assert version.digest == "sha256:" + "1" * 64
    assert version.lineage == Lineage(
        "retrain", ("student@1", "teacher@1"), run.run_id, {"pair_accuracy/clicks": 0.8}
    )
    assert house.loader.loaded == [ModelRef("student", "2")]
    assert house.starter.started == [("nightly-1", "student@1", "student@2", 5_000)]
    assert house.folders() == ["student", "student/2", "student/2/weights"]
    assert ("distil", 10, 10) in house.told


@pytest.mark.usefixtures("experiment_exists")
def test_the_champion_is_compared_with_and_the_student_is_succeeded(house: House) -> None:
    models = house.registry.models
    first = models.get(ModelRef("student", "1"))
    models.register(replace(first, ref=ModelRef("bm25", "1"), kind="bm25"))
    models.register(replace(first, ref=ModelRef("student", "2"), created=datetime.now(UTC)))
    models.set_champion(ModelRef("bm25", "1"), actor="ann", reason="")
    house.run()
    assert house.evaluator.champion == "bm25@1"
    assert (house.trainer.parent, house.trainer.teacher) == ("student@2", "teacher@1")
    assert house.starter.started[0][1:3] == ("bm25@1", "student@3")


def test_too_few_clicked_pages_end_as_skipped(house: House, make_log: MakeLog) -> None:
    house.frames = make_log([("q", ["a", "b"], ["a"])] * 2 + [("q", ["a", "b"], [])] * 9)
    run = house.run()
    assert run.state is RunState.SKIPPED
    assert run.reason == "2 clicked pages in the last 7 days, 0:00:00, must be 3 or more"
    assert states(run) == [("window", "succeeded"), ("dataset", "skipped")]


def test_a_window_without_queries_to_compare_on_ends_as_skipped(
    house: House, make_log: MakeLog
) -> None:
    house.frames = make_log([("q", ["a", "b"], ["a"])] * 9)
    run = house.run()
    assert run.state is RunState.SKIPPED
    assert "must be 1 or more of each" in run.reason


def test_a_version_that_does_not_pass_the_gate_is_seen_by_nobody(house: House) -> None:
    house.evaluator.result = WORSE
    run = house.run()
    assert run.state is RunState.REJECTED
    assert "may be worse than the champion by more than 0.01" in run.reason
    assert states(run)[-1] == ("gate", "rejected")
    assert run.comparisons == WORSE.comparisons
    assert (house.versions(), house.loader.loaded, house.starter.started) == (["1"], [], [])
    assert house.folders() == []


def test_a_comparison_that_is_no_number_is_refused_and_not_kept(house: House) -> None:
    nan = replace(BETTER.comparisons[0], difference_lower=float("nan"))
    house.evaluator.result = replace(BETTER, comparisons=(nan,))
    run = house.run()
    assert (run.state, run.comparisons) == (RunState.REJECTED, ())


def test_a_step_that_fails_fails_the_run_and_leaves_nothing_behind(house: House) -> None:
    house.trainer.fails = RuntimeError("the loss is\nnot a number")
    run = house.run()
    assert run.state is RunState.FAILED
    assert run.reason == "distil: RuntimeError: the loss is not a number"
    assert states(run)[-1] == ("distil", "failed")
    assert run.steps[-1].detail == "RuntimeError: the loss is not a number"
    assert (house.versions(), house.folders()) == (["1"], [])


def test_a_version_that_cannot_be_loaded_is_registered_but_serves_nobody(house: House) -> None:
    house.loader.fails = Unreachable.of("", "the ranker at 127.0.0.1:1 does not answer")
    run = house.run()
    assert run.state is RunState.FAILED
    assert run.reason == "load: the ranker at 127.0.0.1:1 does not answer"
    assert (run.model_version, house.versions()) == ("student@2", ["1", "2"])
    assert house.starter.started == []


def test_another_running_experiment_is_named(house: House) -> None:
    house.starter.fails = NotReady.of("name", '"first" runs in layer "default" already')
    run = house.run()
    assert run.state is RunState.FAILED
    assert run.reason == 'experiment: name: "first" runs in layer "default" already'
    assert house.loader.loaded == [ModelRef("student", "2")]


def test_an_interrupted_run_is_failed(house: House) -> None:
    house.trainer.fails = None
    run_id = house.registry.runs.create("nightly").run_id

    def interrupted() -> EventFrames:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_retraining(
            run_id,
            registry=house.registry,
            events=interrupted,
            trainer=house.trainer,
            evaluator=house.evaluator,
            loader=house.loader,
            experiments=house.starter,
            models_folder=house.folder,
            clock=lambda: NOON,
            progress=lambda *told: None,
        )
    run = house.registry.runs.get(run_id)
    assert (run.state, run.reason) == (RunState.FAILED, "the run was interrupted")
    assert states(run)[-1] == ("dataset", "failed")


@pytest.mark.usefixtures("experiment_exists")
def test_a_run_is_not_run_twice(house: House) -> None:
    run = house.run()
    with pytest.raises(NotReady, match="is not run again; ask for a new run"):
        house.run(run.run_id)


@pytest.mark.usefixtures("experiment_exists")
def test_a_folder_that_a_crash_left_is_not_touched(house: House) -> None:
    left = house.folder / "student/2/weights"
    left.parent.mkdir(parents=True)
    left.write_text("of an unknown run")
    run = house.run()
    assert (run.state, run.model_version) == (RunState.SUCCEEDED, "student@3")
    assert left.read_text() == "of an unknown run"


def test_scores_that_do_not_fit_the_lists_fail_the_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.trainer, "score", lambda *_: [[1.0]])
    run = house.run()
    assert run.reason.startswith("teacher_scores: ValueError: the teacher's scores do not run")
