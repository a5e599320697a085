"""One experiment of the demo: simulated users meet it, then the report stands beside the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranklift.cli.collections import Ground, ranking_of, text_of
from ranklift.cli.output import bar
from ranklift.cli.reporting import report_of_home
from ranklift.lift.values import LiftReport
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.base import score_texts
from ranklift.simulator.behaviour import BINARY_GRADES, Behaviour
from ranklift.simulator.replay import ReplayResult, replay
from ranklift.simulator.truth import true_lifts
from ranklift.simulator.users import Population
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.store.registry import Registry
from ranklift.store.values import Experiment, ModelRef, RegisteredExperiment

SPAN = timedelta(hours=20)
MARGIN = timedelta(hours=2)
# Real rankers on a busy machine: a page that waits is a page, a page that fails is lost.
DEADLINE_SECONDS = 20.0
CONCURRENCY = 16

TrueLifts = Mapping[tuple[str, str], float]  # (metric, arm) -> relative lift


@dataclass(frozen=True, slots=True)
class Outcome:
    """An experiment as it was measured, and as it truly is."""

    report: LiftReport
    truth: TrueLifts
    replayed: ReplayResult


def world_of(
    name: str,
    ground: Ground,
    *,
    users: int,
    pages_per_user: float,
    seed: int,
    react: bool = False,
) -> World:
    """Return users who searched yesterday: a retraining window holds their pages.

    Those who `react` ask for about as many pages, but which depends on what they see.
    All on one day, so that at whatever hour a demo is made its report has one look.
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - MARGIN - SPAN
    population = Population(users=users, pages_per_user=pages_per_user, start=start, span=SPAN)
    return World(
        name,
        seed,
        ground.collection,
        ground.candidates,
        population,
        behaviour_of(ground),
        sessions=_sessions(pages_per_user) if react else None,
    )


def who_just_searched(world: World, *, users: int) -> World:
    """Return a world of so many users whose time ended this morning, however long it is."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - MARGIN - world.population.span
    return replace(world, population=replace(world.population, users=users, start=start))


def _sessions(pages_per_user: float) -> Sessions:
    # A visit is two pages on average.
    return Sessions(visits_per_month=pages_per_user / 2 * (timedelta(days=30) / SPAN))


def behaviour_of(ground: Ground) -> Behaviour:
    """Return how users behave: judgments of yes and no have no grade between the two."""
    grades = {g for graded in ground.collection.judgments.values() for g in graded.values()}
    return BINARY_GRADES if max(grades, default=0) <= 1 else Behaviour()


def play(
    world: World,
    registered: RegisteredExperiment,
    rankings: Mapping[ModelRef, Rankings],
    home: Path,
    gateway: str,
) -> Outcome:
    """Send the world through the gateway, and report the running experiment.

    `rankings` holds what each arm's model version shows for every query.
    """
    with bar(f"users of {registered.experiment.name}") as progress:
        replayed = asyncio.run(
            replay(
                world,
                ranking_address=gateway,
                event_address=gateway,
                concurrency=CONCURRENCY,
                deadline_seconds=DEADLINE_SECONDS,
                progress=progress.update,
            )
        )
    report = report_of_home(home, registered)
    return Outcome(report, truth_of(world, registered.experiment, rankings), replayed)


def truth_of(
    world: World, experiment: Experiment, rankings: Mapping[ModelRef, Rankings]
) -> TrueLifts:
    """Return the true relative lift of every arm: everybody on the arm against everybody on
    control, in expectation over what these very users do."""
    model = {arm.name: arm.model for arm in experiment.arms if arm.model}
    control = rankings[model[experiment.control]]
    return {
        (metric, arm): lift.relative_lift
        for arm in model
        if arm != experiment.control
        for metric, lift in true_lifts(world, control, rankings[model[arm]]).items()
    }


def rankings_of(ground: Ground, registry: Registry, model: ModelRef) -> dict[str, tuple[str, ...]]:
    """Return what a model version shows for every query."""
    ranker = load_ranker(Path(registry.models.get(model).uri))
    rankings = {}
    for query_id, documents in ground.candidates.items():
        texts = [text_of(ground.collection, document) for document in documents]
        scores = score_texts(ranker, ground.collection.queries[query_id], texts)
        rankings[query_id] = ranking_of(documents, scores.values.tolist())
    return rankings
