"""What a log of searches looks like in numbers that another log can be held against.

Every measure is a row of shares: of sums over sessions, so that sessions, which are what is
independent, can be drawn again and shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.clicks.results import Floats
from ranklift.simulator.logs.search_log import SearchLog

LONG_DWELL_SECONDS = 30.0
MOST_PAGES = 15  # of a session; longer ones count as the last category
MOST_CLICKS = 5
_GAP_HOURS = (1, 4, 12, 24, 48, 96, 168)
_GAPS = ("< 1 h", "< 4 h", "< 12 h", "< 1 d", "< 2 d", "< 4 d", "< 7 d", "longer")


class Distance(StrEnum):
    """How two rows of shares are compared."""

    KS = "KS"  # largest difference of cumulated shares: the categories have an order
    TV = "total variation"  # half the sum of absolute differences
    LARGEST = "largest difference"  # the shares are no distribution


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """Shares `sum(part) / sum(whole)` over sessions, one for each label."""

    name: str
    distance: Distance
    labels: tuple[str, ...]
    part: Floats  # (sessions, labels)
    whole: Floats  # (sessions, labels) or (sessions, 1)


@dataclass(frozen=True, slots=True)
class Missing:
    """A measure that a log cannot give, and why."""

    name: str
    why: str


def measures_of(log: SearchLog, ranks: int) -> tuple[dict[str, Measure], list[Missing]]:
    """Return the measures of a log by name, of the first `ranks` results of its pages."""
    measures = {measure.name: measure for measure in _always(log, ranks)}
    missing = []
    for name, held, why, make in (
        ("transitions between clicks", log.has_order, "no order of clicks", _transitions),
        (f"dwell >= {LONG_DWELL_SECONDS:g} s", log.has_dwell, "no dwell", _dwell),
        ("return gaps", log.has_users, "no users with times", _gaps),
    ):
        if held:
            measures[name] = make(name, log)
        else:
            missing.append(Missing(name, why))
    return measures, missing


def session_numbers(log: SearchLog) -> NDArray[np.int64]:
    """Return the session of each page, numbered from 0 in order of their ids."""
    sessions = log.pages["session"]
    return sessions.rank("dense").to_numpy().astype(np.int64) - 1


def click_flags(log: SearchLog, ranks: int) -> NDArray[np.bool_]:
    """Return which of the first `ranks` results of each page were clicked."""
    flags = np.zeros((log.pages.height, ranks), dtype=bool)
    clicks = log.clicks.filter(pl.col("rank") < ranks)
    flags[clicks["page"].to_numpy(), clicks["rank"].to_numpy()] = True
    return flags


def asked_again(log: SearchLog) -> NDArray[np.bool_]:
    """Return whether each page has the query of the one before it in its session."""
    pages = log.pages
    again = pages["query"].eq(pages["query"].shift()) & follows(log)
    return again.fill_null(value=False).to_numpy()


def follows(log: SearchLog) -> pl.Series:
    """Return whether each page comes after another one of its session."""
    session = log.pages["session"]
    return session.eq(session.shift()).fill_null(value=False)


def _always(log: SearchLog, ranks: int) -> Iterator[Measure]:
    session = session_numbers(log)
    clicked = click_flags(log, ranks)
    length = log.pages["documents"].list.len().to_numpy()
    shown = np.arange(ranks) < length[:, None]
    places = tuple(str(rank + 1) for rank in range(ranks))
    yield Measure(
        "CTR by rank",
        Distance.LARGEST,
        places,
        _summed(session, clicked.astype(float)),
        _summed(session, shown.astype(float)),
    )
    count = clicked.sum(axis=1)
    yield _counted(
        "clicks per page", Distance.KS, _up_to(0, MOST_CLICKS), session, np.minimum(count, 5)
    )
    yield _counted(
        "pages without a click", Distance.TV, ("some", "none"), session, (count == 0).astype(int)
    )
    rows = count > 0
    first = clicked.argmax(axis=1)
    last = ranks - 1 - clicked[:, ::-1].argmax(axis=1)
    every = int(session.max()) + 1
    for name, rank in (("first click", first), ("last click", last)):
        yield _counted(name, Distance.KS, places, session[rows], rank[rows], every)
    pages = np.bincount(session)
    yield _counted(
        "queries per session",
        Distance.KS,
        _up_to(1, MOST_PAGES),
        np.arange(every),
        np.minimum(pages, MOST_PAGES) - 1,
    )
    later = follows(log).to_numpy()
    yield _counted(
        "next query",
        Distance.TV,
        ("another", "the same"),
        session[later],
        asked_again(log)[later].astype(int),
        every,
    )


def _transitions(name: str, log: SearchLog) -> Measure:
    moved = (
        log.clicks.sort("page", "nth")
        .with_columns(by=pl.col("rank").diff().over("page"))
        .drop_nulls("by")
    )
    session = session_numbers(log)
    category = 1 + np.sign(moved["by"].to_numpy()).astype(np.int64)
    labels = ("up", "again", "down")
    page = moved["page"].to_numpy()
    return _counted(name, Distance.TV, labels, session[page], category, int(session.max()) + 1)


def _dwell(name: str, log: SearchLog) -> Measure:
    # A dwell that was cut off before the threshold says nothing of it.
    known = log.clicks.drop_nulls("dwell_seconds").filter(
        ~(pl.col("censored") & (pl.col("dwell_seconds") < LONG_DWELL_SECONDS))
    )
    session = session_numbers(log)
    long = (known["dwell_seconds"].to_numpy() >= LONG_DWELL_SECONDS).astype(np.int64)
    page = known["page"].to_numpy()
    labels = ("shorter", "longer")
    return _counted(name, Distance.TV, labels, session[page], long, int(session.max()) + 1)


def _gaps(name: str, log: SearchLog) -> Measure:
    visits = (
        log.pages.with_columns(number=session_numbers(log))
        .group_by("user", "number")
        .agg(start=pl.col("time").min(), end=pl.col("time").max())
        .sort("user", "start")
        .with_columns(gap=(pl.col("start") - pl.col("end").shift().over("user")))
        .drop_nulls("gap")
    )
    hours = visits["gap"].dt.total_seconds().to_numpy() / 3600
    category = np.searchsorted(_GAP_HOURS, hours, side="right")
    every = log.pages["session"].n_unique()
    return _counted(name, Distance.KS, _GAPS, visits["number"].to_numpy(), category, every)


def _counted(
    name: str,
    distance: Distance,
    labels: tuple[str, ...],
    session: NDArray[np.int64],
    category: NDArray[np.int64],
    sessions: int | None = None,
) -> Measure:
    every = int(session.max()) + 1 if sessions is None else sessions
    cells = np.bincount(session * len(labels) + category, minlength=every * len(labels))
    part = cells.reshape(every, len(labels)).astype(np.float64)
    return Measure(name, distance, labels, part, part.sum(axis=1, keepdims=True))


def _summed(session: NDArray[np.int64], values: Floats) -> Floats:
    total = np.zeros((int(session.max()) + 1, values.shape[1]))
    np.add.at(total, session, values)
    return total


def _up_to(first: int, last: int) -> tuple[str, ...]:
    return (*(str(n) for n in range(first, last)), f"{last}+")


def same_names(one: Mapping[str, Measure], other: Mapping[str, Measure]) -> list[str]:
    """Return the names of the measures that both logs give."""
    return [name for name in one if name in other]
