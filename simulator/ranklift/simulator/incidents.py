"""Whole users and pages that a log should not have, or should: pure functions on the event frames.

Single events that are lost, late or sent twice are in `disturb`. Whether something is hit is a hash
of its id, as everything in a world is keyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, extend, hash_ids, uniform
from ranklift.simulator.frames import EventFrames

_HOUR_MS = 3_600_000


def without_users(log: EventFrames, share: float, arm: str = "") -> EventFrames:
    """Return a log that lost everything of a share of the users of an arm, or of all arms."""
    here = _of_arm(log.pages, arm)
    user_id = here["user_id"].unique().sort()
    hit = _hit(user_id.to_list(), share, Purpose.LOSE)
    lost = here.join(pl.DataFrame({"user_id": user_id}).filter(hit), on="user_id", how="semi")
    return _without_pages(log, lost.select("impression_id"))


def with_bots(log: EventFrames, share: float, pages: int, arm: str = "") -> EventFrames:
    """Return a log in which a share of the users of an arm, or of all, are bots: each asks for its
    first page `pages` times more within an hour, and clicks on nothing there."""
    first = (
        _of_arm(log.pages, arm).sort("page_time").unique("user_id", keep="first").sort("user_id")
    )
    bots = first.filter(_hit(first["user_id"].to_list(), share, Purpose.BOT))
    nth = pl.DataFrame({"nth": np.arange(1, pages + 1)})
    more = bots.join(nth, how="cross").with_columns(
        impression_id=pl.format("{}-b{}", "impression_id", "nth"),
        page_time=pl.col("page_time") + pl.duration(milliseconds=pl.col("nth") * _HOUR_MS // pages),
    )
    return replace(log, pages=pl.concat([log.pages, more.drop("nth")]))


def with_holiday(
    log: EventFrames, begin: timedelta, length: timedelta, *, searches: float, clicks: float
) -> EventFrames:
    """Return a log in which, for some days from `begin` after its first page, only a share of the
    pages is searched for, and only a share of the clicks on them happens, in all arms alike."""
    start = log.pages["page_time"].min()
    time = pl.col("page_time") - pl.lit(start)
    away = log.pages.filter(time >= begin, time < begin + length)
    gone = away.filter(_hit(away["impression_id"].to_list(), 1 - searches, Purpose.SEASON))
    log = _without_pages(log, gone.select("impression_id"))
    during = log.clicks.join(away.select("impression_id"), on="impression_id", how="semi")
    lost = during.filter(_hit(during["event_id"].to_list(), 1 - clicks, Purpose.SEASON))
    return replace(
        log,
        clicks=log.clicks.join(lost, on="event_id", how="anti"),
        dwells=log.dwells.join(lost, left_on="click_event_id", right_on="event_id", how="anti"),
    )


def _of_arm(pages: pl.DataFrame, arm: str) -> pl.DataFrame:
    """Return the pages of an arm of any experiment; all of them for ""."""
    if not arm:
        return pages
    arms = pl.col("assignments").list.eval(pl.element().struct.field("arm"))
    return pages.filter(arms.list.contains(arm))


def _hit(identifiers: Sequence[str], share: float, purpose: Purpose) -> pl.Series:
    keys = hash_ids(tuple(identifiers))
    hit: NDArray[np.bool_] = uniform(extend(keys, purpose)) < share
    return pl.Series(hit)


def _without_pages(log: EventFrames, lost: pl.DataFrame) -> EventFrames:
    return replace(
        log,
        pages=log.pages.join(lost, on="impression_id", how="anti"),
        clicks=log.clicks.join(lost, on="impression_id", how="anti"),
        dwells=log.dwells.join(lost, on="impression_id", how="anti"),
    )
