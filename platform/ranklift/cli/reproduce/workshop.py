"""Where experiments become figures, each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranklift.cli.reproduce.distributions import Distribution, distribution_of
from ranklift.cli.reproduce.experiments import (
    Experiment,
    Language,
    Student,
    Teacher,
    Words,
    key_of,
)
from ranklift.cli.reproduce.likelihood import likelihoods
from ranklift.cli.reproduce.results import figures_of
from ranklift.cli.reproduce.speed import DOCUMENTS, Speed, measure_speeds
from ranklift.cli.reproduce.training import MAX_TOKENS, Training
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.backbones import load_language_model, load_scorer
from ranklift.rankers.base import Ranker, RankingList, score_texts
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.evaluation import evaluate_scores
from ranklift.rankers.failures import TrainingFailed

Scores = list[NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Measured:
    """An experiment's figures on the held-out queries of its seed, and how a student's scores
    are distributed.

    With `failed`, training broke down, and why: the figures are those of a ranker that gives all
    documents the same score.
    """

    figures: Mapping[str, float]
    failed: str = ""
    distribution: Distribution | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """Measures what training made; what the run's folder knows already is not measured again."""

    training: Training

    def holds(self, experiment: Experiment) -> bool:
        """Return whether an experiment's figures are known already."""
        return self.training.folder.holds(key_of(experiment))

    def measure(self, experiment: Experiment) -> Measured:
        """Return the figures of an experiment."""

        def make() -> dict[str, Any]:
            return asdict(self._measure(experiment))

        made = self.training.folder.recall(key_of(experiment), make)
        found = made["distribution"]
        return Measured(
            made["figures"], made["failed"], None if found is None else _distribution(found)
        )

    def distribution(self, teacher: Teacher) -> Distribution:
        """Return how the scores of a teacher with students are distributed.

        Raises:
            TrainingFailed: it learnt nothing.
        """

        def make() -> dict[str, Any]:
            scores = self.training.lesson(teacher).held_out
            return asdict(distribution_of(scores, scores))

        key = {"kind": "distribution", "of": key_of(teacher)}
        return _distribution(self.training.folder.recall(key, make))

    def speeds(self, experiments: Mapping[str, Teacher | Student]) -> tuple[Speed, ...]:
        """Return how fast models of one seed are, the first of which others are held against.

        Raises:
            TrainingFailed: one of them learnt nothing.
        """
        key = {"kind": "speed", "of": {name: key_of(each) for name, each in experiments.items()}}

        def make() -> dict[str, Any]:
            folders = {
                name: self.training.teacher(each)
                if isinstance(each, Teacher)
                else self.training.student(each)
                for name, each in experiments.items()
            }
            rankers = {
                name: (load_ranker(folder), load_scorer(folder).num_parameters())
                for name, folder in folders.items()
            }
            seed = next(iter(experiments.values())).seed
            asked = self.training.material(seed).questions(DOCUMENTS, self.training.scale.rounds)
            return {"speeds": [asdict(each) for each in measure_speeds(rankers, asked)]}

        return tuple(
            Speed(each["system"], each["parameters"], tuple(each["seconds"]), tuple(each["tokens"]))
            for each in self.training.folder.recall(key, make)["speeds"]
        )

    def _measure(self, experiment: Experiment) -> Measured:
        lists = self.training.material(experiment.seed).held_out
        try:
            scores = self._scores(experiment, lists)
        except TrainingFailed as failure:
            scores = [np.zeros(len(each.documents)) for each in lists]
            return Measured(_figures(scores, lists), str(failure))
        if not isinstance(experiment, Student):
            return Measured(_figures(scores, lists))
        wanted = self.training.lesson(experiment.teacher).held_out
        return Measured(_figures(scores, lists), "", distribution_of(scores, wanted))

    def _scores(self, experiment: Experiment, lists: Sequence[RankingList]) -> Scores:
        training = self.training
        match experiment:
            case Words():
                return _scored(training.material(experiment.seed).words, lists)
            case Language():
                folder = training.language(experiment)
                encoder = PairEncoder(load_tokenizer(folder), "decoder", MAX_TOKENS)
                return likelihoods(load_language_model(folder), encoder, lists)
            case Teacher():
                return _scored(load_ranker(training.teacher(experiment)), lists)
            case Student():
                return _scored(load_ranker(training.student(experiment)), lists)


def _scored(ranker: Ranker[Any], lists: Sequence[RankingList]) -> Scores:
    return [score_texts(ranker, each.query, each.documents).values for each in lists]


def _figures(scores: Scores, lists: Sequence[RankingList]) -> dict[str, float]:
    # The intervals are over seeds: those over queries are not asked for.
    return figures_of(evaluate_scores(scores, lists, resamples=1))


def _distribution(found: Mapping[str, Any]) -> Distribution:
    return Distribution(**{**found, "counts": tuple(found["counts"])})
