"""The true lift of every metric: in closed form where there is one, else by paired lives.

In a world of planned pages `truth` knows three metrics exactly. Everything else is read by the
statistics themselves off users who live through both arms, with the same draws in each life: what
differs is the arms' doing, and the mean over such populations is off by far less than any one
experiment. The users are none of those of the experiments, whose noise must not be in the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from ranklift.simulator.calibration.experiment import both_arms
from ranklift.simulator.calibration.readout import Readings, Readout
from ranklift.simulator.calibration.repeat import repeat
from ranklift.simulator.compact import MAX_USERS, Script
from ranklift.simulator.shown import Shown
from ranklift.simulator.truth import metrics_of_shown
from ranklift.simulator.world import World

POPULATIONS = 20
_PAGES = 100_000  # of the closed form, whose value hardly depends on who they are


@dataclass(frozen=True, slots=True)
class Truth:
    """A metric's true relative lift and its standard error, 0 where it is known in closed form."""

    lift: float
    error: float


@dataclass(frozen=True, slots=True)
class PairedLives:
    """Populations of `users` users each who live through both arms; the n-th by its number."""

    script: Script
    users: int
    readout: Readout

    def __call__(self, number: int) -> Readings:
        return self.readout(
            both_arms(self.script, MAX_USERS // 2 + number * self.users, self.users)
        )


def true_lifts_of(
    script: Script,
    readout: Readout,
    *,
    users: int,
    populations: int = POPULATIONS,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Truth]:
    """Return the true lift of every metric that the readout knows, by name."""
    lives = repeat(
        PairedLives(script, users, readout), range(populations), workers=workers, progress=progress
    )
    truths = {}
    for metric in lives[0].metrics:
        if not all(metric in one.metrics for one in lives):
            continue
        logs = np.log1p([one.metrics[metric].lift for one in lives])
        lift = math.expm1(logs.mean())
        error = float(logs.std(ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
        truths[metric] = Truth(lift, (1 + lift) * error)
    return truths | {
        metric: Truth(lift, 0.0)
        for metric, lift in closed_form_lifts(script).items()
        if metric in truths
    }


def closed_form_lifts(script: Script) -> Mapping[str, float]:
    """Return the true lifts that are known in closed form: none where users react."""
    if script.world.sessions is not None:
        return {}
    world = for_truth(script.world)
    control, arm = (metrics_of_shown(world, shown_in(script, index)) for index in (0, 1))
    before, after = asdict(control), asdict(arm)
    return {name: after[name] / before[name] - 1 for name in before}


def for_truth(world: World) -> World:
    """Return the world with users enough, but not too many, for its closed form."""
    users = max(1, round(_PAGES / world.population.pages_per_user))
    return replace(world, sessions=None, population=replace(world.population, users=users))


def shown_in(script: Script, arm: int) -> Shown:
    """Return what an arm, by its index, shows for each query."""
    queries = len(script.world.query_ids)
    own = slice(arm * queries, (arm + 1) * queries)
    shown = script.shown
    return Shown(shown.document[:, own], shown.log_odds[:, own], shown.satisfaction[:, own])
