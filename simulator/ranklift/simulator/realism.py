"""How a simulated log differs from a real one: distributions side by side, and whether a classifier
can tell them apart.

Only what both logs hold is compared. The distance of two distributions is the total variation, half
the sum of absolute differences; beside it stands what chance alone makes of it for logs of these
sizes, pages taken as independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from ranklift.clicks.results import Floats
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.telling_apart import Auc, tell_apart

SATISFIED_SECONDS = 30.0
RANKS = 10
MOST_CLICKS, MOST_QUERIES = 5, 8  # the last class of a distribution holds all beyond
GAP_HOURS = (1, 6, 24, 72, 168)


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A distribution, or shares that stand alone, in both logs.

    `real` and `simulated` go by `labels`. `distance` is the total variation of a distribution, else
    the largest difference; `by_chance` is about what it would be were both of one world.
    """

    measure: str
    labels: tuple[str, ...]
    real: Floats
    simulated: Floats
    distance: float
    by_chance: float


@dataclass(frozen=True, slots=True, eq=False)
class Realism:
    """What was compared, what could not be and why, and the classifier's AUC."""

    compared: tuple[Compared, ...]
    missing: tuple[str, ...]
    auc: Auc


def realism(real: SearchLog, simulated: SearchLog, *, seed: int = 0) -> Realism:
    """Return how two logs differ."""
    compared = [
        _shares("CTR by rank", tuple(map(str, range(1, RANKS + 1))), _ctr, real, simulated),
        _shares("pages without a click", ("share",), _no_click, real, simulated),
        _distribution(
            "clicked results per page", _numbers(0, MOST_CLICKS), _clicks_per_page, real, simulated
        ),
        _distribution("first click's rank", _numbers(1, RANKS), _first, real, simulated),
        _distribution("last click's rank", _numbers(1, RANKS), _last, real, simulated),
        _distribution("queries per session", _numbers(1, MOST_QUERIES), _queries, real, simulated),
        _shares("the same query again", ("share",), _again, real, simulated),
    ]
    missing = []
    if_held: list[tuple[str, Callable[[SearchLog], bool], Callable[[], Compared]]] = [
        (
            "click order",
            lambda log: log.has_order,
            lambda: _distribution(
                "from click to click", ("down", "up", "repeat"), _transitions, real, simulated
            ),
        ),
        (
            "dwell",
            lambda log: log.has_dwell,
            lambda: _shares("dwell of 30 s or more", ("share",), _long_dwell, real, simulated),
        ),
        (
            "users over time",
            lambda log: log.has_users,
            lambda: _distribution("gap to the next session", _gap_labels(), _gaps, real, simulated),
        ),
    ]
    for name, holds, compare in if_held:
        without = [
            side for side, log in (("real", real), ("simulated", simulated)) if not holds(log)
        ]
        if without:
            missing.append(f"{name}: the {' and the '.join(without)} log has none")
        else:
            compared.append(compare())
    return Realism(tuple(compared), tuple(missing), tell_apart(real, simulated, seed=seed))


Counted = Callable[[SearchLog], tuple[Floats, Floats]]  # successes and trials by label
Classes = Callable[[SearchLog], Floats]  # the class of each observation, from 0


def _shares(
    measure: str, labels: tuple[str, ...], count: Counted, real: SearchLog, simulated: SearchLog
) -> Compared:
    (c, n), (d, m) = count(real), count(simulated)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = c / n, d / m
        pooled = (c + d) / (n + m)
        error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    both = np.isfinite(p) & np.isfinite(q)
    gap = np.abs(p - q)[both]
    return Compared(
        measure,
        labels,
        p,
        q,
        float(gap.max(initial=0)),
        float(_expected(error[both]).max(initial=0)),
    )


def _distribution(
    measure: str, labels: tuple[str, ...], classes: Classes, real: SearchLog, simulated: SearchLog
) -> Compared:
    counts = [
        np.bincount(
            np.clip(classes(log), 0, len(labels) - 1).astype(np.int64), minlength=len(labels)
        ).astype(np.float64)
        for log in (real, simulated)
    ]
    n, m = (max(count.sum(), 1) for count in counts)
    p, q = counts[0] / n, counts[1] / m
    pooled = (counts[0] + counts[1]) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    distance = float(np.abs(p - q).sum() / 2)
    return Compared(measure, labels, p, q, distance, float(_expected(error).sum() / 2))


def _expected(error: Floats) -> Floats:
    """Return E|Z| of normal differences with these standard errors."""
    return np.asarray(np.sqrt(2 / np.pi) * error)


def _numbers(first: int, last: int) -> tuple[str, ...]:
    return (*map(str, range(first, last)), f"{last}+")


def _shown(log: SearchLog) -> Floats:
    lengths = log.pages["documents"].list.len().to_numpy()
    return np.asarray((lengths[:, None] > np.arange(RANKS)).sum(axis=0), dtype=np.float64)


def _distinct(log: SearchLog) -> pl.DataFrame:
    return log.clicks.select("page", "rank").unique()


def _ctr(log: SearchLog) -> tuple[Floats, Floats]:
    rank = _distinct(log).filter(pl.col("rank") < RANKS)["rank"].to_numpy()
    return np.bincount(rank, minlength=RANKS).astype(np.float64), _shown(log)


def _no_click(log: SearchLog) -> tuple[Floats, Floats]:
    clicked = log.clicks["page"].n_unique()
    return np.array([float(log.pages.height - clicked)]), np.array([float(log.pages.height)])


def _clicks_per_page(log: SearchLog) -> Floats:
    page = _distinct(log)["page"].to_numpy()
    return np.bincount(page, minlength=log.pages.height).astype(np.float64)


def _first(log: SearchLog) -> Floats:
    return log.clicks.group_by("page").agg(pl.col("rank").min())["rank"].to_numpy()


def _last(log: SearchLog) -> Floats:
    return log.clicks.group_by("page").agg(pl.col("rank").max())["rank"].to_numpy()


def _queries(log: SearchLog) -> Floats:
    return log.pages.group_by("session").len()["len"].to_numpy() - 1.0


def _again(log: SearchLog) -> tuple[Floats, Floats]:
    follows = log.pages["session"].eq(log.pages["session"].shift()).fill_null(value=False)
    same = log.pages["query"].eq(log.pages["query"].shift()).fill_null(value=False)
    return np.array([float((follows & same).sum())]), np.array([float(follows.sum())])


def _transitions(log: SearchLog) -> Floats:
    steps = (
        log.clicks.sort("page", "nth")
        .with_columns(step=pl.col("rank").diff().over("page"))
        .drop_nulls("step")
    )
    kind = pl.when(pl.col("step") > 0).then(0).when(pl.col("step") < 0).then(1).otherwise(2)
    return steps.select(kind).to_series().to_numpy()


def _long_dwell(log: SearchLog) -> tuple[Floats, Floats]:
    seconds = log.clicks["dwell_seconds"].drop_nulls()
    return np.array([float((seconds >= SATISFIED_SECONDS).sum())]), np.array([float(seconds.len())])


def _gap_labels() -> tuple[str, ...]:
    return (*(f"< {hours} h" for hours in GAP_HOURS), f"{GAP_HOURS[-1]} h or more")


def _gaps(log: SearchLog) -> Floats:
    began = (
        log.pages.group_by("user", "session")
        .agg(pl.col("time").min())
        .sort("user", "time")
        .with_columns(gap=pl.col("time").diff().over("user"))
        .drop_nulls("gap")
    )
    hours = began["gap"].dt.total_seconds().to_numpy() / 3_600
    return np.searchsorted(GAP_HOURS, hours, side="right").astype(np.float64)
