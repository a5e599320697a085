"""Do the intervals hold the truth over many worlds? Like the quick demo's, without its servers.

A replayed and a vectorised run of one world give the same events, so this shows
what the demo's intervals do over more seeds than servers can be started for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from ranklift.cli.collections import Ground, ranking_of, synthetic_ground, text_of
from ranklift.lift.experiment import lift_report
from ranklift.lift.values import Measured
from ranklift.rankers.base import score_texts
from ranklift.rankers.bm25 import BM25, collect
from ranklift.simulator.synthetic import QUICK
from ranklift.simulator.truth import true_lifts
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import (
    Assignment,
    SimulatedRanker,
    simulate_experiment,
)
from ranklift.simulator.world import Rankings, World
from ranklift.store.values import (
    Arm,
    Experiment,
    ExperimentState,
    ModelRef,
    RegisteredExperiment,
)
from ranklift.traffic.splitter import Splitter

WORLDS = 500
USERS, PAGES_PER_USER = 1_000, 4.0
IDEAL_QUERIES = 3  # every third query is ranked ideally by the challenger, the others by BM25


@dataclass(frozen=True)
class Tables:
    """The events of one world, as reports read them."""

    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    dwells: pl.LazyFrame


def measure() -> str:
    """Play the worlds and return the page: coverage by metric, and how z is spread."""
    ground = synthetic_ground(QUICK, 0)
    control, challenger = _rankings(ground)
    arms = (
        Arm("control", 5_000, ModelRef("bm25", "1")),
        Arm("challenger", 5_000, ModelRef("ideal", "1")),
    )
    experiment = Experiment("calibration", arms, "control", "default/calibration")
    now = datetime.now(UTC)
    registered = RegisteredExperiment(experiment, ExperimentState.RUNNING, 1, now, now, started=now)
    splitter = Splitter.of(experiment)

    def assign(user: str) -> Assignment:
        assigned = splitter.assign(user)
        if assigned is None:
            raise RuntimeError(f"{user} is in no arm although all traffic takes part")
        return Assignment(
            experiment.name, 1, experiment.layer, assigned.arm.name, user, assigned.bucket
        )

    rankers = {
        "control": SimulatedRanker(control, "bm25", "1"),
        "challenger": SimulatedRanker(challenger, "ideal", "1"),
    }
    covered: dict[str, list[bool]] = {}
    z: dict[str, list[float]] = {}
    for seed in range(WORLDS):
        population = Population(users=USERS, pages_per_user=PAGES_PER_USER)
        world = World("w", seed, ground.collection, ground.candidates, population)
        events = simulate_experiment(world, rankers, assign)
        tables = Tables(events.pages.lazy(), events.clicks.lazy(), events.dwells.lazy())
        truth = true_lifts(world, control, challenger)
        for lift in lift_report(registered, tables).lifts:
            if not isinstance(lift.found, Measured):
                raise RuntimeError(f"seed {seed}, {lift.metric}: {lift.found.reason}")
            interval, true = lift.found.relative_lift_interval, truth[lift.metric].relative_lift
            covered.setdefault(lift.metric, []).append(interval.lower <= true <= interval.upper)
            # The interval is symmetric in log(1 + lift); 1.96 of its standard errors wide.
            error = (np.log1p(interval.upper) - np.log1p(interval.lower)) / (2 * 1.96)
            z.setdefault(lift.metric, []).append(
                float((np.log1p(lift.found.relative_lift) - np.log1p(true)) / error)
            )
    return "\n".join(
        [
            f"# Do the intervals hold the truth over {WORLDS} worlds?",
            "",
            f"{WORLDS} populations of {USERS} users with {PAGES_PER_USER:g} pages each on the "
            "quick demo's documents, BM25 against BM25 with every third query ranked ideally; half "
            "of the users each. z is (estimate - truth) / standard error, on the scale of "
            "log(1 + lift); it should have mean 0 and standard deviation 1. Monte-Carlo error of "
            "the coverage: "
            f"{np.sqrt(0.95 * 0.05 / WORLDS):.1%}.",
            "",
            "| metric | coverage of the 95 % interval | mean of z | standard deviation of z |",
            "|---|---|---|---|",
            *(
                f"| {metric} | {np.mean(covered[metric]):.1%} | {np.mean(z[metric]):+.3f} | "
                f"{np.std(z[metric]):.3f} |"
                for metric in covered
            ),
            "",
        ]
    )


def _rankings(ground: Ground) -> tuple[Rankings, Rankings]:
    bm25 = BM25(collect(ground.texts()))
    control, challenger = {}, {}
    for number, (query_id, documents) in enumerate(ground.candidates.items()):
        texts = [text_of(ground.collection, document) for document in documents]
        scores = score_texts(bm25, ground.collection.queries[query_id], texts).values.tolist()
        control[query_id] = ranking_of(documents, scores)
        grades = [float(ground.collection.grade(query_id, d)) for d in documents]
        ideal = number % IDEAL_QUERIES == 0
        challenger[query_id] = ranking_of(documents, grades) if ideal else control[query_id]
    return control, challenger
