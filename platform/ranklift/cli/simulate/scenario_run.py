"""A scenario without servers: a whole experiment played at once, and its log disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ranklift.cli.collections import Ground, synthetic_ground
from ranklift.cli.demo.traffic import behaviour_of
from ranklift.cli.reporting import arms_of
from ranklift.cli.simulate.scenario_file import Happens, Scenario
from ranklift.cli.simulate.scenario_judge import Outcome
from ranklift.lift.experiment import lift_report
from ranklift.simulator.disturb import Loss, lose
from ranklift.simulator.effects import Effect
from ranklift.simulator.frames import EventFrames
from ranklift.simulator.incidents import with_bots, with_holiday, without_users
from ranklift.simulator.synthetic import SyntheticSize
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import Assignment, SimulatedRanker, simulate_experiment
from ranklift.simulator.world import World
from ranklift.store.analysis import AnalysisPlan
from ranklift.store.values import Arm, Experiment, ExperimentState, ModelRef, RegisteredExperiment
from ranklift.traffic.splitter import Splitter

SIZE = SyntheticSize(concepts=8, attributes=6, fillers=20, attributes_per_concept=3)
ARMS = ("control", "challenger")


@dataclass(frozen=True, slots=True)
class _Log:
    """Frames as the report reads them."""

    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    dwells: pl.LazyFrame


def ground_of(scenario: Scenario) -> Ground:
    """Return the made-up collection of a scenario."""
    return synthetic_ground(SIZE, scenario.world.seed)


def world_of(scenario: Scenario, ground: Ground) -> World:
    """Return the users of a scenario."""
    settings = scenario.world
    population = Population(
        users=settings.users,
        pages_per_user=settings.pages_per_user,
        span=timedelta(days=settings.days),
    )
    behaviour = behaviour_of(ground)
    return World(
        "scenario", settings.seed, ground.collection, ground.candidates, population, behaviour
    )


def plan_of(scenario: Scenario) -> AnalysisPlan:
    """Return the analysis plan of a scenario's experiment."""
    settings = scenario.experiment
    return AnalysisPlan(
        guardrails=settings.guardrails, bot_pages_per_day=settings.bot_pages_per_day
    )


def run_at_once(scenario: Scenario) -> Outcome:
    """Play a scenario that needs no server, and report its experiment."""
    ground = ground_of(scenario)
    world = world_of(scenario, ground)
    registered = _registered(scenario, world)
    experiment, happens = registered.experiment, scenario.happens

    splitter = Splitter.of(experiment)

    def assignment(user_id: str) -> Assignment:
        assigned = splitter.assign(user_id)
        if assigned is None:
            raise AssertionError("both arms together have everybody")
        return Assignment(
            experiment.name,
            registered.revision,
            experiment.layer,
            assigned.arm.name,
            user_id,
            assigned.bucket,
        )

    effect = Effect(happens.log_odds, happens.novelty) if happens.kind == "novelty" else None
    rankers = {
        arm: SimulatedRanker(
            world.candidates, arm, "1", effect=effect if happens.arm in ("", arm) else None
        )
        for arm in ARMS
    }
    log = _disturbed(simulate_experiment(world, rankers, assignment), happens, world.seed)
    frames = _Log(log.pages.lazy(), log.clicks.lazy(), log.dwells.lazy())
    end = world.population.start + world.population.span + timedelta(days=1)
    return Outcome(lift_report(registered, frames, now=end, recompute=arms_of(experiment)))


def _disturbed(log: EventFrames, happens: Happens, seed: int) -> EventFrames:
    match happens.kind:
        case "lost_dwells":
            loss = Loss(dwells=happens.share, arms=frozenset({happens.arm} if happens.arm else ()))
            return lose(log, loss, seed)
        case "lost_users":
            return without_users(log, happens.share, happens.arm)
        case "bots":
            return with_bots(log, happens.share, happens.pages, happens.arm)
        case "holiday":
            return with_holiday(
                log,
                timedelta(days=happens.begin_day),
                timedelta(days=happens.days),
                searches=happens.searches,
                clicks=happens.clicks,
            )
        case _:
            return log


def _registered(scenario: Scenario, world: World) -> RegisteredExperiment:
    arms = tuple(Arm(name, 5_000, ModelRef(name, "1")) for name in ARMS)
    start = world.population.start
    experiment = Experiment(
        scenario.name, arms, ARMS[0], salt=scenario.name, analysis=plan_of(scenario)
    )
    return RegisteredExperiment(
        experiment, ExperimentState.RUNNING, 1, created=start, updated=start, started=start
    )
