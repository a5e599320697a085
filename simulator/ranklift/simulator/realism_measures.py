"""What a log of searches looks like, counted session by session.

Sessions are what is independent in a log: whoever wants to know what chance does draws and
shuffles them, not pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.clicks.results import Floats
from ranklift.simulator.logs.search_log import SearchLog

SATISFIED_SECONDS = 30.0
RANKS = 10
MOST_CLICKS, MOST_QUERIES = 5, 8  # the last class of a distribution holds all beyond
GAP_HOURS = (1, 6, 24, 72, 168)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """Shares, or a distribution: the sum of `part` over that of `whole`, for each label."""

    name: str
    labels: tuple[str, ...]
    part: Floats  # (sessions, labels)
    whole: Floats  # (sessions, labels) or (sessions, 1)
    is_distribution: bool


@dataclass(frozen=True, slots=True)
class Countable:
    """A measure, and what a log must hold to have it."""

    count: Callable[[SearchLog], Measure]
    needs: str = ""
    is_held: Callable[[SearchLog], bool] = lambda log: True


def _ctr(log: SearchLog) -> Measure:
    lengths = log.pages["documents"].list.len().to_numpy()
    shown = lengths[:, None] > np.arange(RANKS)
    session = _session(log)
    labels = tuple(map(str, range(1, RANKS + 1)))
    return Measure(
        "CTR by rank", labels, _summed(session, _flags(log)), _summed(session, shown), False
    )


def _no_click(log: SearchLog) -> Measure:
    clicked = np.zeros(log.pages.height, dtype=bool)
    clicked[log.clicks["page"].to_numpy()] = True
    return _share("pages without a click", log, np.arange(log.pages.height), ~clicked)


def _clicks_per_page(log: SearchLog) -> Measure:
    page = log.clicks.select("page", "rank").unique()["page"].to_numpy()
    clicks = np.bincount(page, minlength=log.pages.height)
    name = "clicked results per page"
    return _distribution(name, _numbers(0, MOST_CLICKS), log, np.arange(log.pages.height), clicks)


def _first(log: SearchLog) -> Measure:
    return _rank("first click's rank", log, pl.col("rank").min())


def _last(log: SearchLog) -> Measure:
    return _rank("last click's rank", log, pl.col("rank").max())


def _rank(name: str, log: SearchLog, which: pl.Expr) -> Measure:
    found = log.clicks.group_by("page").agg(which)
    page, rank = found["page"].to_numpy(), found["rank"].to_numpy()
    return _distribution(name, _numbers(1, RANKS), log, page, rank)


def _queries(log: SearchLog) -> Measure:
    session = _session(log)
    _, opens = np.unique(session, return_index=True)
    pages = np.bincount(session) - 1
    return _distribution("queries per session", _numbers(1, MOST_QUERIES), log, opens, pages)


def _again(log: SearchLog) -> Measure:
    session, query = log.pages["session"], log.pages["query"]
    follows = session.eq(session.shift()).fill_null(value=False).to_numpy()
    same = query.eq(query.shift()).fill_null(value=False).to_numpy()
    return _share("the same query again", log, follows.nonzero()[0], same[follows])


def _transitions(log: SearchLog) -> Measure:
    steps = (
        log.clicks.sort("page", "nth")
        .with_columns(step=pl.col("rank").diff().over("page"))
        .drop_nulls("step")
    )
    kind = pl.when(pl.col("step") > 0).then(0).when(pl.col("step") < 0).then(1).otherwise(2)
    kinds = steps.select(kind).to_series().to_numpy()
    labels = ("down", "up", "repeat")
    return _distribution("from click to click", labels, log, steps["page"].to_numpy(), kinds)


def _long_dwell(log: SearchLog) -> Measure:
    # A dwell whose end was not seen is at least so long; cut off early, it says nothing.
    known = log.clicks.filter(
        (pl.col("dwell_seconds") >= SATISFIED_SECONDS)
        | (pl.col("dwell_seconds").is_not_null() & ~pl.col("censored"))
    )
    long = known["dwell_seconds"].to_numpy() >= SATISFIED_SECONDS
    return _share("dwell of 30 s or more", log, known["page"].to_numpy(), long)


def _gaps(log: SearchLog) -> Measure:
    began = (
        log.pages.with_row_index("row")
        .group_by("user", "session")
        .agg(pl.col("time").min(), pl.col("row").first())
        .sort("user", "time")
        .with_columns(gap=pl.col("time").diff().over("user"))
        .drop_nulls("gap")
    )
    hours = began["gap"].dt.total_seconds().to_numpy() / 3_600
    labels = (*(f"< {hours} h" for hours in GAP_HOURS), f"{GAP_HOURS[-1]} h or more")
    classes = np.searchsorted(GAP_HOURS, hours, side="right")
    return _distribution("gap to the next session", labels, log, began["row"].to_numpy(), classes)


ALL = (
    Countable(_ctr),
    Countable(_no_click),
    Countable(_clicks_per_page),
    Countable(_first),
    Countable(_last),
    Countable(_queries),
    Countable(_again),
    Countable(_transitions, "click order", lambda log: log.has_order),
    Countable(_long_dwell, "dwell", lambda log: log.has_dwell),
    Countable(_gaps, "users over time", lambda log: log.has_users),
)


def _session(log: SearchLog) -> NDArray[np.int64]:
    """Return the number of each page's session."""
    return log.pages["session"].rle_id().to_numpy().astype(np.int64)


def _flags(log: SearchLog) -> NDArray[np.bool_]:
    flags = np.zeros((log.pages.height, RANKS), dtype=bool)
    clicks = log.clicks.filter(pl.col("rank") < RANKS)
    flags[clicks["page"].to_numpy(), clicks["rank"].to_numpy()] = True
    return flags


def _share(name: str, log: SearchLog, page: NDArray[np.int64], hit: NDArray[np.bool_]) -> Measure:
    """Return the share of hits among observations, each of a page."""
    of = _session(log)
    every, session = int(of[-1]) + 1, of[page]
    part = np.bincount(session, hit, every).astype(np.float64)
    whole = np.bincount(session, minlength=every).astype(np.float64)
    return Measure(name, ("share",), part[:, None], whole[:, None], False)


def _distribution(
    name: str,
    labels: tuple[str, ...],
    log: SearchLog,
    page: NDArray[np.int64],
    classes: NDArray[np.int64],
) -> Measure:
    """Return how observations, each of a page, spread over classes; the last one takes the rest."""
    of = _session(log)
    every, size = int(of[-1]) + 1, len(labels)
    cell = of[page] * size + np.minimum(classes, size - 1)
    part = np.bincount(cell, minlength=every * size).reshape(every, size).astype(np.float64)
    return Measure(name, labels, part, part.sum(axis=1, keepdims=True), True)


def _summed(session: NDArray[np.int64], flags: NDArray[np.bool_]) -> Floats:
    total = np.zeros((int(session[-1]) + 1, flags.shape[1]))
    np.add.at(total, session, flags)
    return total


def _numbers(first: int, last: int) -> tuple[str, ...]:
    return (*map(str, range(first, last)), f"{last}+")
