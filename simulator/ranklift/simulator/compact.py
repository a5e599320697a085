"""The compact log: numbers only, a table of pages and one of clicks, at millions of pages a second.

Columns of the pages, by user and time; `ranklift lift` reads both tables as they are:

- `page_id`: of user, visit and step (`page_ids`)
- `user_id`: number of the user; `world.user_id` makes the id of other logs of it
- `session_id`: number of the user's visit, from 0
- `arm`
- `timestamp`: when the page was asked for, UTC
- `step`: of the visit, from 0
- `query`: index into `world.query_ids`

Columns of the clicks, by page and rank:

- `page_id`
- `position`: from 1
- `document`: index into `Script.documents`
- `satisfied`: what the user thought of it, which no real log knows
- `dwell_seconds`: to the millisecond
- `censored`: whether the end of the dwell was not seen

What is played does not depend on how users are cut into parts: the log of users 0 to 9 is the log
of users 0 to 4 with that of users 5 to 9 below it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, extend, uniform
from ranklift.simulator.censoring import Censoring, last_clicks
from ranklift.simulator.shown import Shown
from ranklift.simulator.users import Pages
from ranklift.simulator.waves import Played, play
from ranklift.simulator.world import Rankings, World, shown_by_query, side_by_side
from ranklift.v1.errors import InvalidRequest

INSTANT = pl.Datetime("us", "UTC")
_VISIT_BITS, _STEP_BITS = 18, 14
MAX_USERS = 1 << 31  # so that page ids fit into 63 bits
_BATCH = 32_768  # pages; their columns stay in the processor's caches

# Numbers of users -> the arm of each, an index into `Script.arms`.
ArmOf: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A world with what each arm shows; `script` makes one."""

    world: World
    arms: tuple[str, ...]
    arm_of: ArmOf
    shown: Shown  # (page_size, arms * queries)
    document: NDArray[np.uint32]  # (page_size, arms * queries), index into `documents`
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Arms of equal shares; who is in which depends on the seed and the user alone."""

    arms: int
    seed: int

    def __call__(self, user: NDArray[np.int64]) -> NDArray[np.int64]:
        u = uniform(extend(np.uint64(self.seed), user, Purpose.ASSIGN))
        return np.asarray(u * self.arms).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class CompactLog:
    """The two tables; `a + b` is the log of the users of `a` and then those of `b`."""

    pages: pl.DataFrame
    clicks: pl.DataFrame

    def __add__(self, other: CompactLog) -> CompactLog:
        return concatenated_logs([self, other])


def script(world: World, rankings: Mapping[str, Rankings], arm_of: ArmOf | None = None) -> Script:
    """Return a world in which each arm, by name, shows its rankings.

    Users are split evenly unless `arm_of` says otherwise.

    Raises:
        InvalidRequest: there is no arm, or a query has no ranking.
    """
    if not rankings:
        raise InvalidRequest.of("rankings", "are of no arm; give at least one")
    arms, size = tuple(rankings), world.behaviour.page_size
    shown = side_by_side([shown_by_query(world, rankings[arm]) for arm in arms])
    documents: dict[str, int] = {}
    document = np.zeros(shown.document.shape, dtype=np.uint32)
    columns = [rankings[arm][query_id][:size] for arm in arms for query_id in world.query_ids]
    for column, document_ids in enumerate(columns):
        for rank, document_id in enumerate(document_ids):
            document[rank, column] = documents.setdefault(document_id, len(documents))
    return Script(
        world=world,
        arms=arms,
        arm_of=arm_of or Split(len(arms), world.seed),
        shown=shown,
        document=document,
        documents=tuple(documents),
    )


def compact_log(
    script: Script, first: int, end: int, *, workers: int = 1, part: int | None = None
) -> CompactLog:
    """Return what the users from `first` up to `end` (excluded) do.

    `workers` threads each play `part` users at a time; neither changes the log.

    Raises:
        InvalidRequest: there are no such users.
    """
    ranges = user_ranges(script.world, first, end, part)
    with ThreadPoolExecutor(workers) as threads:
        return concatenated_logs(list(threads.map(lambda r: _played(script, *r), ranges)))


def user_ranges(world: World, first: int, end: int, part: int | None) -> list[tuple[int, int]]:
    """Return the users from `first` up to `end` cut into parts that are played in one go.

    By default planned pages are cut to what a processor's caches hold. Users who react are kept
    together: their last waves are short, and cost as much for few users as for many.

    Raises:
        InvalidRequest: there are no such users.
    """
    if not 0 <= first < end <= MAX_USERS:
        raise InvalidRequest.of(
            "users", f"{first}:{end}, must be first:end with 0 <= first < end <= {MAX_USERS}"
        )
    if part is None:
        planned = max(1, round(_BATCH / world.population.pages_per_user))
        part = planned if world.sessions is None else 8 * _BATCH
    return [(start, min(start + part, end)) for start in range(first, end, part)]


def page_ids(pages: Pages) -> NDArray[np.int64]:
    """Return the number of each page, ascending by user, visit and step.

    Raises:
        ValueError: a user comes more often than there are numbers for.
    """
    if len(pages) and (pages.visit.max() >> _VISIT_BITS or pages.step.max() >> _STEP_BITS):
        raise ValueError(
            f"a user of {pages.visit.max() + 1} visits or {pages.step.max() + 1} pages in one; "
            "shorten the span"
        )
    of_visit = np.left_shift(pages.user, _VISIT_BITS)
    of_visit |= pages.visit
    of_visit <<= _STEP_BITS
    of_visit |= pages.step
    return of_visit


def concatenated_logs(logs: list[CompactLog]) -> CompactLog:
    """Return the tables of at least one log, one below the other."""
    return CompactLog(
        pl.concat([log.pages for log in logs]), pl.concat([log.clicks for log in logs])
    )


def _played(script: Script, first: int, end: int) -> CompactLog:
    """Return what these users do, from one thread."""
    queries = len(script.world.query_ids)

    def column_of(pages: Pages) -> NDArray[np.int64]:
        column = script.arm_of(pages.user) * queries
        column += pages.query
        return column

    who = np.arange(first, end)
    batch = 2 * _BATCH if script.world.sessions is None else _BATCH
    played = play(script.world, script.shown, column_of, who, batch=batch)
    log = concatenated_logs([_tables(script, part) for part in played])
    if script.world.sessions is not None:
        clicks = log.clicks.sort("page_id", maintain_order=True)
        log = CompactLog(log.pages.sort("page_id"), clicks)
    if script.world.behaviour.censoring is None:
        return log
    return CompactLog(log.pages, _cut_short(script.world, script.world.behaviour.censoring, log))


def _cut_short(world: World, censoring: Censoring, log: CompactLog) -> pl.DataFrame:
    """Return the clicks with what the log sees of their dwell."""
    columns = ("user_id", "session_id", "step")
    user, visit, step = (log.pages[name].cast(pl.Int64).to_numpy() for name in columns)
    page = log.pages["page_id"].search_sorted(log.clicks["page_id"]).to_numpy().astype(np.int64)
    key = extend(np.uint64(world.seed), user[page], visit[page], step[page])
    dwell_ms = np.rint(log.clicks["dwell_seconds"].to_numpy() * 1_000.0).astype(np.int64)
    seen_ms, censored = censoring.seen(key, dwell_ms, last_clicks(user, visit, step, page))
    return log.clicks.with_columns(
        dwell_seconds=pl.Series((seen_ms / 1_000).astype(np.float32)), censored=pl.Series(censored)
    )


def _tables(script: Script, played: Played) -> CompactLog:
    pages, actions = played.pages, played.actions
    page_id = page_ids(pages)
    columns = script.document.shape[1]
    arm = pl.Series(played.column // (columns // len(script.arms)))
    at = actions.rank * columns
    at += played.column.take(actions.page)
    return CompactLog(
        pl.DataFrame(
            {
                "page_id": page_id,
                "user_id": pages.user.astype(np.uint32),
                "session_id": pages.visit.astype(np.uint32),
                "arm": pl.Series(script.arms, dtype=pl.Enum(script.arms)).gather(arm),
                "timestamp": pl.Series(pages.time_us).cast(INSTANT),
                "step": pages.step.astype(np.uint16),
                "query": pages.query.astype(np.uint32),
            }
        ),
        pl.DataFrame(
            {
                "page_id": page_id.take(actions.page),
                "position": (actions.rank + 1).astype(np.uint8),
                "document": script.document.ravel().take(at),
                "satisfied": actions.satisfied,
                "dwell_seconds": (actions.dwell_ms / 1_000).astype(np.float32),
                "censored": np.zeros(len(actions.page), dtype=bool),
            }
        ),
    )
