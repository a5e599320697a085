"""What a retraining needs of others; the command line fits them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ranklift.retrain.dataset import RetrainData
from ranklift.retrain.gate import Evaluation
from ranklift.store.values import Lineage, ModelRef, ModelVersion, Schedule

# (step, done, total): how far the step under way is.
Progress: TypeAlias = Callable[[str, int, int], None]
# One score for each document of each training query, in the order of `RetrainData.train`.
TeacherScores: TypeAlias = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class TrainedArtefact:
    """A complete artefact that nobody serves yet; `digest` as in docs/architecture.md."""

    folder: Path
    kind: str
    numerics: str
    digest: str


class Trainer(Protocol):
    """Makes a student from training data and a teacher."""

    def score(
        self, data: RetrainData, teacher: ModelVersion, progress: Callable[[int, int], None]
    ) -> TeacherScores:
        """Return the teacher's scores of the training lists."""
        ...

    def distil(
        self,
        data: RetrainData,
        scores: TeacherScores,
        parent: ModelVersion,
        folder: Path,
        lineage: Lineage,
        progress: Callable[[int, int], None],
    ) -> TrainedArtefact:
        """Train a successor of `parent` and write its artefact into `folder`, which is absent."""
        ...


class Evaluator(Protocol):
    """Compares rankers on queries that the new one was not trained on."""

    def compare(
        self, champion: ModelVersion, challenger: TrainedArtefact, data: RetrainData
    ) -> Evaluation:
        """Return the comparison on `data.held_out` and on judgments where there are some."""
        ...


class Loader(Protocol):
    """Has the rankers load a version, without a restart."""

    def load(self, version: ModelVersion) -> None:
        """Return when the version is loaded and warm."""
        ...


class ExperimentStarter(Protocol):
    """Puts a new version behind the splitter."""

    def start(self, name: str, control: ModelRef, challenger: ModelRef, schedule: Schedule) -> str:
        """Start an experiment in the schedule's layer and return its name."""
        ...
