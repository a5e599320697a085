"""How a simulated log differs from a real one: distributions side by side, and whether a classifier
can tell them apart.

Only what both logs hold is compared. Two distributions are never the same in two logs, not even of
one world: beside each distance stands what chance makes of it, the mean after sessions were
shuffled between the logs. The pages of a session go together, there and in the standard errors,
which come from drawing sessions again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranklift.clicks.results import Floats
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.realism_measures import ALL, Measure
from ranklift.simulator.telling_apart import Auc, tell_apart

DRAWS = 200
# Sessions in one draw of random numbers times draws: bounds the memory.
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A distribution, or shares that stand alone, in both logs.

    `real` and `simulated` go by `labels`. `distance` is the total variation of a distribution, else
    the largest difference, with its standard error; `by_chance` is what it would be on average were
    both logs of one world.
    """

    measure: str
    labels: tuple[str, ...]
    real: Floats
    simulated: Floats
    distance: float
    error: float
    by_chance: float


@dataclass(frozen=True, slots=True, eq=False)
class Realism:
    """What was compared, what could not be and why, and the classifier's AUC."""

    compared: tuple[Compared, ...]
    missing: tuple[str, ...]
    auc: Auc


def realism(real: SearchLog, simulated: SearchLog, *, seed: int = 0) -> Realism:
    """Return how two logs differ; `seed` is that of the shuffles and the classifier's folds."""
    pairs, missing = [], []
    for each in ALL:
        without = [
            side
            for side, log in (("real", real), ("simulated", simulated))
            if not each.is_held(log)
        ]
        if without:
            missing.append(f"{each.needs}: the {' and the '.join(without)} log has none")
        else:
            pairs.append((each.count(real), each.count(simulated)))
    compared = _compared(pairs, np.random.default_rng(seed))
    return Realism(compared, tuple(missing), tell_apart(real, simulated, seed=seed))


def _compared(
    pairs: list[tuple[Measure, Measure]], rng: np.random.Generator
) -> tuple[Compared, ...]:
    one, other = (len(measure.part) for measure in pairs[0])
    again: list[list[Floats]] = [[] for _ in pairs]
    shuffled: list[list[Floats]] = [[] for _ in pairs]
    at_once = max(1, _CELLS // (one + other))
    for start in range(0, DRAWS, at_once):
        draws = min(at_once, DRAWS - start)
        # The Poisson bootstrap: weights of sessions that are independent of each other.
        weights = rng.poisson(1.0, (draws, one + other)).astype(np.float64)
        first = rng.permuted(np.tile(np.arange(one + other) < one, (draws, 1)), axis=1)
        first = first.astype(np.float64)
        for n, (a, b) in enumerate(pairs):
            part, whole = np.concatenate([a.part, b.part]), np.concatenate([a.whole, b.whole])
            drawn = _shares(weights[:, :one], a), _shares(weights[:, one:], b)
            again[n].append(_distances(a, *drawn))
            both = Measure(a.name, a.labels, part, whole, a.is_distribution)
            shuffled[n].append(_distances(a, _shares(first, both), _shares(1 - first, both)))
    found = []
    for n, (a, b) in enumerate(pairs):
        p, q = _shares(np.ones((1, one)), a), _shares(np.ones((1, other)), b)
        found.append(
            Compared(
                a.name,
                a.labels,
                p[0],
                q[0],
                distance=float(_distances(a, p, q)[0]),
                error=float(np.concatenate(again[n]).std(ddof=1)),
                by_chance=float(np.concatenate(shuffled[n]).mean()),
            )
        )
    return tuple(found)


def _shares(weight: Floats, measure: Measure) -> Floats:
    """Return the shares under each row of weights of sessions, NaN of nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weight @ measure.part) / (weight @ measure.whole))


def _distances(measure: Measure, one: Floats, other: Floats) -> Floats:
    """Return the distance of each row; what one of them does not have counts for nothing."""
    gap = np.nan_to_num(np.abs(one - other), nan=0.0)
    return np.asarray(gap.sum(axis=1) / 2 if measure.is_distribution else gap.max(axis=1))
