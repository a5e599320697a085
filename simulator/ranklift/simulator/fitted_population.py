"""Who searches in a log, how often and when, and how a session goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.users import Population
from ranklift.simulator.visits import Sessions

_MONTH = timedelta(days=30)
_LOG_ODDS = (-7.0, 7.0)
_ALIKE = 1e3  # the shape of activity where the log tells no difference between users


@dataclass(frozen=True, slots=True)
class Found:
    """A part of the world, what it is, and whether the log told it or it is assumed."""

    part: str
    value: str
    fitted: bool


def fit_population(log: SearchLog) -> tuple[Population, Sessions, tuple[Found, ...]]:
    """Return who searches and how sessions go on, and which parts of it the log told.

    Without users and times each session is taken for a user of its own, who comes once in the
    span on average. Whether a page satisfied is not known, so users go on alike after all pages.
    """
    sessions = log.pages["session"].n_unique()
    start, span, gap = _times(log)
    users, shape = sessions, _ALIKE
    if log.has_users:
        visits = log.pages.group_by("user").agg(pl.col("session").n_unique())["session"].to_numpy()
        users, shape = len(visits), _shape(visits)
    goes_on = _goes_on(log.pages.height / sessions)
    same = _same_query(log)
    population = Population(users=users, mean_gap=gap, start=start, span=span)
    reacting = Sessions(
        go_on_satisfied=goes_on,
        go_on_unsatisfied=goes_on,
        same_query=same,
        near_query=0.0,
        visits_per_month=sessions / users * (_MONTH / span),
        activity_shape=shape,
        return_effect=Sessions().return_effect if log.has_users else 0.0,
    )
    who = (
        f"{users:,} users, {sessions / users:.2f} sessions each, shape {shape:.2f}"
        if log.has_users
        else f"{sessions:,} sessions, each taken for a user"
    )
    told = log.pages["time"].null_count() == 0
    return (
        population,
        reacting,
        (
            Found("users", who, fitted=True),
            Found(
                "sessions",
                f"another query with {goes_on:.2f}, the same one in {same:.2f} of them",
                fitted=True,
            ),
            Found("propensity", f"log-normal, sigma {population.propensity_sigma:g}", fitted=False),
            Found(
                "patience",
                f"sigma {reacting.patience_sigma:g}, return effect {reacting.return_effect:g}",
                fitted=False,
            ),
            Found("time", f"from {start:%Y-%m-%d} on, {span.days} days", fitted=told),
        ),
    )


def _goes_on(mean_pages: float) -> float:
    """Return the median user's chance of another query, where sessions have `mean_pages`.

    A user who goes on with p has 1 / (1 - p) pages on average; users differ by their patience.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    patience, share = Sessions().patience_sigma * nodes, weights / weights.sum()

    def excess(log_odds: float) -> float:
        return float((1 + np.exp(log_odds + patience)) @ share) - mean_pages

    if excess(_LOG_ODDS[0]) >= 0:
        return 0.0
    return float(expit(brentq(excess, *_LOG_ODDS)))


def _shape(visits: NDArray[np.int64]) -> float:
    """Return the Gamma's shape: the variance of a Gamma-Poisson is m + m^2 / shape."""
    mean, variance = float(visits.mean()), float(visits.var())
    return float(np.clip(mean**2 / (variance - mean), 0.05, _ALIKE)) if variance > mean else _ALIKE


def _same_query(log: SearchLog) -> float:
    """Return how often the query is kept: also a fresh one may be the same, by its popularity."""
    follows = _follows(log)
    same = log.pages["query"].eq(log.pages["query"].shift()).fill_null(value=False)
    observed = int((follows & same).sum()) / max(int(follows.sum()), 1)
    share = log.pages["query"].value_counts()["count"].to_numpy() / log.pages.height
    by_chance = float((share**2).sum())
    return max(0.0, (observed - by_chance) / (1 - by_chance)) if by_chance < 1 else 0.0


def _follows(log: SearchLog) -> pl.Series:
    return log.pages["session"].eq(log.pages["session"].shift()).fill_null(value=False)


def _times(log: SearchLog) -> tuple[datetime, timedelta, timedelta]:
    """Return when the log begins, how long it is, and the mean gap between pages of a session."""
    default = Population()
    if log.pages["time"].null_count():
        return default.start, default.span, default.mean_gap
    time = log.pages["time"]
    start, last = cast(datetime, time.min()), cast(datetime, time.max())
    gaps = time.diff().filter(_follows(log))
    gap = cast(timedelta, gaps.mean()) if gaps.len() else default.mean_gap
    return start, max(last - start, timedelta(hours=1)), max(gap, timedelta(seconds=1))
