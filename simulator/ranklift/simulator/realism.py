"""How real a simulated log looks: held against a real one, measure by measure.

Distances are never 0 between two samples, not even of the same world; beside each one stands what
chance would do: the 95 % quantile after sessions were shuffled between the two logs. Standard
errors come from drawing sessions of each log again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ranklift.clicks.results import Floats
from ranklift.simulator.frames import EventFrames
from ranklift.simulator.logs.search_log import CLICKS, PAGES, SearchLog
from ranklift.simulator.realism_measures import (
    Distance,
    Measure,
    Missing,
    measures_of,
    same_names,
)
from ranklift.simulator.telling_apart import FOLDS, Auc, auc_of_pages, auc_of_sessions
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

DRAWS = 500


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure in both logs; `chance` is the distance that 1 of 20 equal logs would pass."""

    name: str
    distance_name: Distance
    labels: tuple[str, ...]
    real: tuple[float, ...]
    simulated: tuple[float, ...]
    distance: float
    error: float
    chance: float

    @property
    def differs(self) -> bool:
        return self.distance > self.chance


@dataclass(frozen=True, slots=True)
class Realism:
    """A simulated log against a real one."""

    sessions: tuple[int, int]  # real, simulated
    pages: tuple[int, int]
    compared: tuple[Compared, ...]
    missing: tuple[Missing, ...]
    auc_of_pages: Auc
    auc_of_sessions: Auc


def realism(real: SearchLog, simulated: SearchLog, *, seed: int = 0) -> Realism:
    """Hold a simulated log against a real one; `seed` is that of shuffles and folds.

    Raises:
        InvalidRequest: a log has too few sessions to cross-validate.
    """
    for name, log in (("log", real), ("simulated log", simulated)):
        sessions = log.pages["session"].n_unique()
        if sessions < FOLDS:
            raise InvalidRequest.of(name, f"has {sessions} sessions, must have at least {FOLDS}")
    ranks = min(_longest(real), _longest(simulated))
    real_measures, missing = measures_of(real, ranks)
    simulated_measures, _ = measures_of(simulated, ranks)
    rng = np.random.default_rng(seed)
    compared = []
    for name in same_names(real_measures, simulated_measures):
        pair = real_measures[name], simulated_measures[name]
        if min(measure.whole.sum() for measure in pair):
            compared.append(_compared(*pair, rng))
        else:
            missing.append(Missing(name, "not once in one of the logs"))
    return Realism(
        sessions=(real.pages["session"].n_unique(), simulated.pages["session"].n_unique()),
        pages=(real.pages.height, simulated.pages.height),
        compared=tuple(compared),
        missing=tuple(missing),
        auc_of_pages=auc_of_pages(real, simulated, ranks, seed),
        auc_of_sessions=auc_of_sessions(real, simulated, ranks, seed),
    )


def simulated_log(world: World, rankings: Rankings) -> SearchLog:
    """Return what users of a world do when it shows `rankings`.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    return log_of_frames(simulate(world, SimulatedRanker(rankings, "shown", "1")))


def log_of_frames(frames: EventFrames) -> SearchLog:
    """Return the log of a simulation."""
    numbered = frames.pages.with_row_index("page").with_columns(pl.col("page").cast(pl.Int64))
    pages = numbered.select(
        session="session_id",
        user="user_id",
        query="query",
        time="page_time",
        documents="documents",
    )
    clicks = (
        frames.clicks.join(
            frames.dwells.select("click_event_id", "dwell_ms", "censored"),
            left_on="event_id",
            right_on="click_event_id",
            how="left",
        )
        .join(numbered.select("impression_id", "page"), on="impression_id")
        .sort("page", "click_time", maintain_order=True)
        .select(
            page="page",
            rank=pl.col("position").cast(pl.Int64) - 1,
            nth=pl.int_range(pl.len()).over("page"),
            time="click_time",
            dwell_seconds=pl.col("dwell_ms") / 1_000,
            censored="censored",
        )
    )
    return SearchLog(pages.match_to_schema(PAGES), clicks.match_to_schema(CLICKS))


def _compared(real: Measure, simulated: Measure, rng: np.random.Generator) -> Compared:
    one, other = len(real.part), len(simulated.part)
    again = _distances(
        real.distance,
        _shares(rng.multinomial(one, np.full(one, 1 / one), DRAWS), real.part, real.whole),
        _shares(
            rng.multinomial(other, np.full(other, 1 / other), DRAWS),
            simulated.part,
            simulated.whole,
        ),
    )
    part = np.concatenate([real.part, simulated.part])
    whole = np.concatenate([real.whole, simulated.whole])
    first = np.tile(np.arange(one + other) < one, (DRAWS, 1))
    first = rng.permuted(first, axis=1).astype(np.float64)
    shuffled = _distances(
        real.distance, _shares(first, part, whole), _shares(1 - first, part, whole)
    )
    here = _shares(np.ones((1, one)), real.part, real.whole)
    there = _shares(np.ones((1, other)), simulated.part, simulated.whole)
    return Compared(
        name=real.name,
        distance_name=real.distance,
        labels=real.labels,
        real=tuple(here[0].tolist()),
        simulated=tuple(there[0].tolist()),
        distance=float(_distances(real.distance, here, there)[0]),
        error=float(np.nanstd(again, ddof=1)),
        chance=float(np.nanquantile(shuffled, 0.95)),
    )


def _shares(weight: Floats, part: Floats, whole: Floats) -> Floats:
    """Return the shares under each row of session weights, NaN of nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weight @ part) / (weight @ whole))


def _distances(kind: Distance, one: Floats, other: Floats) -> Floats:
    match kind:
        case Distance.KS:
            return np.asarray(np.abs(np.cumsum(one - other, axis=1)).max(axis=1))
        case Distance.TV:
            return np.asarray(np.abs(one - other).sum(axis=1) / 2)
        case Distance.LARGEST:
            return np.asarray(np.abs(one - other).max(axis=1))


def _longest(log: SearchLog) -> int:
    return int(log.pages["documents"].list.len().to_numpy().max())
