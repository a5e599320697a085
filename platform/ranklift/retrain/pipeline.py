"""One retraining, from the log to an experiment.

    window -> dataset -> teacher scores -> distil -> gate -> register -> load -> experiment

Each step is on record before the next one begins. Nothing of a new version is
seen by anybody before `register`, and that is one rename and one row.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ranklift.events.frames import EventFrames
from ranklift.retrain.collaborators import (
    Evaluator,
    ExperimentStarter,
    Loader,
    Progress,
    TeacherScores,
    TrainedArtefact,
    Trainer,
)
from ranklift.retrain.dataset import RetrainData, retrain_data
from ranklift.retrain.gate import is_finite, judge
from ranklift.retrain.steps import Ended, Outcome, step
from ranklift.store.database import utc_now
from ranklift.store.registry import Registry
from ranklift.store.values import (
    Lineage,
    ModelRef,
    ModelVersion,
    Run,
    RunState,
    Schedule,
)
from ranklift.v1.errors import NotReady


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions that a run is about: which one serves, is succeeded, and teaches."""

    champion: ModelVersion
    parent: ModelVersion
    teacher: ModelVersion


def run_retraining(
    run_id: str,
    *,
    registry: Registry,
    events: Callable[[], EventFrames],
    trainer: Trainer,
    evaluator: Evaluator,
    loader: Loader,
    experiments: ExperimentStarter,
    models_folder: Path,
    clock: Callable[[], datetime],
    progress: Progress,
) -> Run:
    """Claim a queued run, carry it through, and return it as it ended.

    The run ends as SKIPPED when too few pages were clicked, as REJECTED when
    the new version does not pass the gate, and as FAILED with the reason when
    a step fails; the traceback is in the log.

    Raises:
        NotFound: there is no such run.
        NotReady: it was claimed before. A run is not resumed; ask for a new one.
    """
    run = registry.runs.claim(run_id)
    work = models_folder / f".{run_id}"
    steps = _Steps(registry, run, clock, progress)
    try:
        schedule, versions = steps.window()
        data = steps.dataset(events, schedule)
        scores = steps.teacher_scores(trainer, data, versions)
        artefact = steps.distil(trainer, data, scores, versions, work)
        metrics = steps.gate(evaluator, data, artefact, versions)
        version = steps.register(artefact, versions, metrics, models_folder)
        steps.load(loader, version)
        steps.experiment(experiments, version, schedule, versions)
    except Ended as ended:
        return registry.runs.finish(run_id, ended.state, ended.reason)
    except BaseException:
        registry.runs.finish(run_id, RunState.FAILED, "the run was interrupted")
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return registry.runs.finish(run_id, RunState.SUCCEEDED)


class _Steps:
    """The steps in their order; each takes what the ones before it made."""

    def __init__(
        self, registry: Registry, run: Run, clock: Callable[[], datetime], progress: Progress
    ) -> None:
        self._registry = registry
        self._run = run
        self._clock = clock
        self._progress = progress

    def _step(self, name: str) -> AbstractContextManager[Outcome]:
        return step(self._registry.runs, self._run.run_id, name)

    def window(self) -> tuple[Schedule, Versions]:
        with self._step("window") as outcome:
            models = self._registry.models
            schedule = self._registry.schedules.get(self._run.schedule)
            latest = models.latest(schedule.student)
            teacher = models.latest(schedule.teacher)
            if latest is None or teacher is None:
                missing = schedule.student if latest is None else schedule.teacher
                raise NotReady.of("", f'model "{missing}" has no version; register one')
            champion = models.champion() or latest
            parent = champion if champion.ref.model == schedule.student else latest
            outcome.detail = f"{parent.ref} learns from {teacher.ref}, champion {champion.ref}"
            return schedule, Versions(champion, parent, teacher)

    def dataset(self, events: Callable[[], EventFrames], schedule: Schedule) -> RetrainData:
        with self._step("dataset") as outcome:
            end = self._clock()
            data = retrain_data(events(), end - schedule.window, end)
            if data.clicked_pages < schedule.min_clicked_pages:
                raise Ended(
                    RunState.SKIPPED,
                    f"{data.clicked_pages} clicked pages in the last {schedule.window}, "
                    f"must be {schedule.min_clicked_pages} or more",
                )
            if not data.train or not data.held_out:
                raise Ended(
                    RunState.SKIPPED,
                    f"{len(data.train)} queries to train on and {len(data.held_out)} to compare "
                    "on, must be 1 or more of each",
                )
            outcome.detail = (
                f"{data.pages} pages, {data.clicked_pages} clicked, {data.fallback_pages} fell "
                f"back; {len(data.train)} queries to train on, {len(data.held_out)} held out"
            )
            return data

    def teacher_scores(
        self, trainer: Trainer, data: RetrainData, versions: Versions
    ) -> TeacherScores:
        with self._step("teacher_scores") as outcome:
            scores = trainer.score(data, versions.teacher, self._telling("teacher_scores"))
            given = [len(row) for row in scores]
            if given != [len(query.documents) for query in data.train]:
                raise ValueError("the teacher's scores do not run along the training lists")
            outcome.detail = f"{sum(given)} documents scored by {versions.teacher.ref}"
            return scores

    def distil(
        self,
        trainer: Trainer,
        data: RetrainData,
        scores: TeacherScores,
        versions: Versions,
        work: Path,
    ) -> TrainedArtefact:
        with self._step("distil") as outcome:
            # What an earlier attempt left behind belongs to nobody.
            shutil.rmtree(work, ignore_errors=True)
            work.parent.mkdir(parents=True, exist_ok=True)
            artefact = trainer.distil(
                data,
                scores,
                versions.parent,
                work,
                self._lineage(versions, {}),
                self._telling("distil"),
            )
            outcome.detail = f"{artefact.kind} in {artefact.numerics}, {artefact.digest[:19]}"
            return artefact

    def gate(
        self, evaluator: Evaluator, data: RetrainData, artefact: TrainedArtefact, versions: Versions
    ) -> dict[str, float]:
        with self._step("gate") as outcome:
            evaluation = evaluator.compare(versions.champion, artefact, data)
            kept = [c for c in evaluation.comparisons if is_finite(c)]
            self._registry.runs.compared(self._run.run_id, kept)
            verdict = judge(evaluation)
            if not verdict.passed:
                raise Ended(RunState.REJECTED, verdict.reason)
            outcome.detail = verdict.reason
            return {f"{c.metric}/{c.source}": c.challenger_value for c in kept}

    def register(
        self,
        artefact: TrainedArtefact,
        versions: Versions,
        metrics: dict[str, float],
        models_folder: Path,
    ) -> ModelVersion:
        with self._step("register") as outcome:
            model = versions.parent.ref.model
            ref = _free(ModelRef(model, self._registry.models.next_version(model)), models_folder)
            folder = models_folder / ref.model / ref.version
            folder.parent.mkdir(parents=True, exist_ok=True)
            artefact.folder.rename(folder)
            version = ModelVersion(
                ref=ref,
                kind=artefact.kind,
                digest=artefact.digest,
                numerics=artefact.numerics,
                uri=str(folder),
                lineage=self._lineage(versions, metrics),
                # Now, even when the window lies in a past that is replayed.
                created=utc_now(),
            )
            try:
                self._registry.models.register(version)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._registry.runs.registered(self._run.run_id, ref)
            outcome.detail = f"{ref} is registered"
            return version

    def load(self, loader: Loader, version: ModelVersion) -> None:
        with self._step("load") as outcome:
            loader.load(version)
            outcome.detail = f"{version.ref} is loaded"

    def experiment(
        self,
        experiments: ExperimentStarter,
        version: ModelVersion,
        schedule: Schedule,
        versions: Versions,
    ) -> None:
        with self._step("experiment") as outcome:
            # A run id may be longer than a name; its end is the part that differs.
            wanted = self._run.run_id[-64:]
            name = experiments.start(wanted, versions.champion.ref, version.ref, schedule)
            self._registry.runs.started_experiment(self._run.run_id, name)
            outcome.detail = f'"{name}" compares {version.ref} with {versions.champion.ref}'

    def _lineage(self, versions: Versions, metrics: dict[str, float]) -> Lineage:
        parents = (str(versions.parent.ref), str(versions.teacher.ref))
        return Lineage("retrain", parents, self._run.run_id, metrics)

    def _telling(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self._progress(name, done, total)


def _free(ref: ModelRef, models_folder: Path) -> ModelRef:
    """Return `ref`, or a later number where a folder is in the way: a crash may have left it."""
    while (models_folder / ref.model / ref.version).exists():
        ref = ModelRef(ref.model, str(int(ref.version) + 1))
    return ref
