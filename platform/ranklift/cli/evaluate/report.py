"""One value with all that was found; table, JSON and page only write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from ranklift.cli.evaluate.ground import JudgedLists
from ranklift.cli.evaluate.systems import Scored
from ranklift.rankers.calibration import Calibrated, cross_fit
from ranklift.rankers.evaluation import (
    Comparison,
    Evaluation,
    Rules,
    best_order,
    compare_with_baseline,
    evaluate_scores,
)
from ranklift.rankers.evaluation.distributions import (
    Distances,
    Histogram,
    distances,
    histogram_of,
)

SCHEMA = "ranklift.evaluation/1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to find out, and how."""

    rules: Rules
    compare: bool
    distributions: bool
    calibrate: bool
    worst: int
    seed: int


@dataclass(frozen=True, slots=True)
class System:
    """A system's figures. `separation` are its scores of documents that are not relevant and of
    those that are; it and `calibrated` are empty when not asked for."""

    name: str
    digest: str
    note: str
    evaluation: Evaluation
    separation: Histogram | None
    calibrated: tuple[Calibrated, ...]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Systems on the same candidates; the first is the baseline.

    `ceiling` is the best order of the candidates. `distances` are from the
    baseline's scores, by system.
    """

    version: str
    ground: JudgedLists
    wanted: Wanted
    systems: tuple[System, ...]
    ceiling: Evaluation
    comparisons: tuple[Comparison, ...]
    distances: Mapping[str, Distances]


def make_report(scored: Sequence[Scored], ground: JudgedLists, wanted: Wanted) -> EvaluationReport:
    """Return what the systems' scores come to.

    Raises:
        InvalidRequest: there is nothing to tell apart, or nothing to calibrate on.
    """
    systems = tuple(_system(each, ground, wanted) for each in scored)
    first, *others = systems
    comparisons: tuple[Comparison, ...] = ()
    if wanted.compare and others:
        comparisons = compare_with_baseline(
            (first.name, first.evaluation),
            {each.name: each.evaluation for each in others},
            seed=wanted.seed,
            metrics=compared_metrics(wanted.rules),
        )
    apart = {}
    if wanted.distributions:
        apart = {each.source.name: distances(scored[0].scores, each.scores) for each in scored[1:]}
    return EvaluationReport(
        version=version("ranklift"),
        ground=ground,
        wanted=wanted,
        systems=systems,
        ceiling=best_order(ground.lists, rules=wanted.rules, judgments=ground.judgments),
        comparisons=comparisons,
        distances=apart,
    )


def compared_metrics(rules: Rules) -> tuple[str, ...]:
    """Return what systems are compared by: not what all have in common, nor what is no merit."""
    measures = [m for m in rules.measures if m.name != "judged" and str(m) != "recall"]
    return ("pair_accuracy", "log_pnr", *map(str, measures))


def _system(scored: Scored, ground: JudgedLists, wanted: Wanted) -> System:
    grades = [np.array(each.targets) for each in ground.lists]
    separation = None
    if wanted.distributions:
        relevant = np.concatenate(grades) >= wanted.rules.relevant
        scores = np.concatenate(scored.scores)
        if relevant.any() and not relevant.all():
            separation = histogram_of(scores[~relevant], scores[relevant])
    return System(
        name=scored.source.name,
        digest=scored.source.digest,
        note=scored.note,
        evaluation=evaluate_scores(
            scored.scores,
            ground.lists,
            seed=wanted.seed,
            rules=wanted.rules,
            judgments=ground.judgments,
        ),
        separation=separation,
        calibrated=cross_fit(
            scored.scores, grades, relevant=wanted.rules.relevant, seed=wanted.seed
        )
        if wanted.calibrate
        else (),
    )
