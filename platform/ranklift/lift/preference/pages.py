"""From the event log to interleaved pages and what they vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

import polars as pl

from ranklift.lift.event_pages import EventTables
from ranklift.lift.preference.values import Vote
from ranklift.v1.errors import NotReady

# Votes are sums of fractions: what is smaller than this is none.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class _Page:
    teams: Sequence[int]
    ranks: Sequence[Sequence[int]]


def interleaved_pages(
    events: EventTables,
    experiment: str,
    arm: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """Return the interleaved pages of an arm shown in [`start`, `end`), with clicks as positions.

    Columns: `impression_id`, `unit_id`, `method`, `models`, `teams`, `ranks` and `missing` as
    logged, `order` (the 1-based rank that each shown document had before exploration; null when
    there was none), `degraded` and `clicked` (positions, null for none).
    """
    assignment = pl.col("assignments").struct
    logged = pl.col("interleaving").struct
    pages = events.pages.filter(pl.col("interleaving").is_not_null())
    if start is not None:
        pages = pages.filter(pl.col("page_time") >= start)
    if end is not None:
        pages = pages.filter(pl.col("page_time") < end)
    shown = (
        pages.select(
            "impression_id", "assignments", "interleaving", "exploration", "fallback_reason"
        )
        .explode("assignments")
        .filter(assignment.field("experiment") == experiment, assignment.field("arm") == arm)
        .select(
            "impression_id",
            unit_id=assignment.field("unit_id"),
            **{name: logged.field(name) for name in ("method", "models", "teams", "ranks")},
            missing=logged.field("missing"),
            order=pl.col("exploration").struct.field("ranks"),
            degraded=(logged.field("missing").list.len() > 0) | (pl.col("fallback_reason") != ""),
        )
        # A logged struct of nulls is no interleaving.
        .filter(pl.col("method").is_not_null())
    )
    clicked = events.clicks.group_by("impression_id").agg(clicked=pl.col("position").unique())
    return shown.join(clicked, on="impression_id", how="left").collect()


def votes(pages: pl.DataFrame, models: int, vote_of: Mapping[str, Vote]) -> pl.DataFrame:
    """Return one row a page, with its `unit_id` and a column for each pair of rankings.

    The column "0 1" is the page's vote, in [-1, 1], positive for ranking 0.

    Raises:
        NotReady: a page was interleaved by a method that this version does not know.
    """
    unknown = set(pages["method"].unique()).difference(vote_of)
    if unknown:
        raise NotReady.of(
            "experiment",
            f"pages were interleaved by {', '.join(sorted(unknown))}, which this ranklift does not "
            "know; use the one that served them",
        )
    pairs = list(combinations(range(models), 2))
    cast = {pair: [0.0] * pages.height for pair in pairs}
    columns = ("method", "teams", "ranks", "order", "clicked")
    with_clicks = pages.select(*columns).with_row_index("row")
    for row in with_clicks.filter(pl.col("clicked").is_not_null()).iter_rows(named=True):
        page, clicked = _as_interleaved(row)
        for one, other in pairs:
            vote = vote_of[row["method"]](page, clicked, one, other)
            cast[one, other][row["row"]] = vote if abs(vote) > ROUNDING else 0.0
    return pages.select("unit_id").with_columns(
        pl.Series(column_of(*pair), values, dtype=pl.Float64) for pair, values in cast.items()
    )


def column_of(one: int, other: int) -> str:
    """Return the column of a pair of rankings in `votes`."""
    return f"{one} {other}"


def _as_interleaved(row: Mapping[str, Any]) -> tuple[_Page, list[bool]]:
    """Return a page in its interleaved order, whatever exploration then did to it, and its clicks.

    Exploration favours no ranking; but a vote reads the order that the rankings made.
    """
    teams, ranks = row["teams"], row["ranks"]
    clicks = [False] * len(teams)
    for position in row["clicked"]:
        clicks[position - 1] = True
    if row["order"] is not None:
        at = sorted(range(len(teams)), key=row["order"].__getitem__)
        teams, clicks = [teams[i] for i in at], [clicks[i] for i in at]
        ranks = [[of[i] for i in at] for of in ranks]
    return _Page(teams, ranks), clicks
