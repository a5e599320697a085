"""What happens to events on their way to the log: lost, late, sent twice, out of order.

Every draw is keyed by the id of the event, so what becomes of one does not depend on which others
there are. Pages are recorded as they are served and are never touched; clicks and dwells are.

    log = lose(frames, Loss(0.02), seed)
    arrival = arrivals(log, Delay(timedelta(minutes=5)), seed)
    as_read = arrived_by(log, arrival, monday)       # a read-out frozen on Monday
    arrived_by(log, arrival, tuesday) holds all of it, and more
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.clicks.keys import Keys, Purpose, extend, hash_ids, uniform
from ranklift.simulator.checks import refuse
from ranklift.simulator.frames import INSTANT, EventFrames
from ranklift.v1.errors import InvalidRequest

_LENGTH, _PICKED = 0, 1  # draws of a delay


@dataclass(frozen=True, slots=True)
class Loss:
    """Shares of events that never reach the log.

    `arms` are the arms, of any experiment, whose events are lost; none named: all. A dwell whose
    click is lost is lost with it: no log takes a dwell after an unknown click.
    """

    clicks: float = 0.0
    dwells: float = 0.0
    arms: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        refuse(
            "loss",
            self,
            {
                "clicks": (0 <= self.clicks <= 1, "in [0, 1]"),
                "dwells": (0 <= self.dwells <= 1, "in [0, 1]"),
            },
        )


@dataclass(frozen=True, slots=True)
class Delay:
    """Exponential delays with this mean of a share of the events; the others come at once."""

    mean: timedelta = timedelta(minutes=1)
    share: float = 1.0

    def __post_init__(self) -> None:
        refuse(
            "delay",
            self,
            {
                "mean": (self.mean > timedelta(0), "longer than 0"),
                "share": (0 <= self.share <= 1, "in [0, 1]"),
            },
        )


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """When each event reaches the log: `event_id`, `arrival_time`, a row for each row there."""

    clicks: pl.DataFrame
    dwells: pl.DataFrame


def lose(frames: EventFrames, loss: Loss, seed: int) -> EventFrames:
    """Return the log without the events that were lost.

    Raises:
        InvalidRequest: an arm to lose events of is not in the log.
    """
    of_arm = _impressions(frames, loss.arms)

    def kept(events: pl.DataFrame, share: float) -> pl.DataFrame:
        lost = pl.Series(uniform(_keys(events["event_id"], seed, Purpose.LOSE)) < share)
        return events.filter(~(lost & events["impression_id"].is_in(of_arm.implode())))

    clicks = kept(frames.clicks, loss.clicks)
    known = frames.dwells["click_event_id"].is_in(clicks["event_id"].implode())
    return replace(frames, clicks=clicks, dwells=kept(frames.dwells.filter(known), loss.dwells))


def send_twice(frames: EventFrames, share: float, seed: int) -> EventFrames:
    """Return the log as sent by clients that sent a share of the events twice, same event id.

    The second copy stands behind all others. A log that counts by event id has each one once.
    """
    _check_share(share)

    def twice(events: pl.DataFrame) -> pl.DataFrame:
        again = uniform(_keys(events["event_id"], seed, Purpose.RESEND)) < share
        return pl.concat([events, events.filter(pl.Series(again))])

    return replace(frames, clicks=twice(frames.clicks), dwells=twice(frames.dwells))


def shuffle(frames: EventFrames, seed: int) -> EventFrames:
    """Return the log with its clicks and dwells in an order of chance."""

    def mixed(events: pl.DataFrame) -> pl.DataFrame:
        u = uniform(_keys(events["event_id"], seed, Purpose.SHUFFLE))
        return events[np.argsort(u, kind="stable")]

    return replace(frames, clicks=mixed(frames.clicks), dwells=mixed(frames.dwells))


def arrivals(frames: EventFrames, delay: Delay, seed: int) -> Arrivals:
    """Return when each event of a log reaches it.

    A click is sent when it happens, a dwell when it ends, or when its end is known not to be seen.
    """
    clicked = frames.clicks.unique("event_id", keep="first")
    dwells = frames.dwells.join(
        clicked.select(pl.col("event_id").alias("click_event_id"), "click_time"),
        on="click_event_id",
        how="left",
        maintain_order="left",
    ).with_columns(end=pl.col("click_time") + pl.duration(milliseconds="dwell_ms"))
    return Arrivals(
        _arrivals(frames.clicks["event_id"], frames.clicks["click_time"], delay, seed),
        _arrivals(dwells["event_id"], dwells["end"], delay, seed),
    )


def arrived_by(frames: EventFrames, arrival: Arrivals, cut: datetime) -> EventFrames:
    """Return the log as it was at an instant: a report of it is frozen, whatever comes later.

    A dwell waits for its click: an event that names another is taken once both are there.
    """
    pages = frames.pages.filter(pl.col("page_time") <= cut)
    clicks = frames.clicks.filter((arrival.clicks["arrival_time"] <= cut).fill_null(False))
    dwells = frames.dwells.filter((arrival.dwells["arrival_time"] <= cut).fill_null(False))
    known = dwells["click_event_id"].is_in(clicks["event_id"].implode())
    return replace(frames, pages=pages, clicks=clicks, dwells=dwells.filter(known))


def _arrivals(event_id: pl.Series, sent: pl.Series, delay: Delay, seed: int) -> pl.DataFrame:
    key = _keys(event_id, seed, Purpose.DELAY)
    mean_us = delay.mean / timedelta(microseconds=1)
    late = uniform(extend(key, _PICKED)) < delay.share
    wait = np.where(late, -np.log(uniform(extend(key, _LENGTH))) * mean_us, 0.0)
    waits = pl.Series(wait.astype(np.int64)).cast(pl.Duration("us"))
    return pl.DataFrame({"event_id": event_id, "arrival_time": (sent + waits).cast(INSTANT)})


def _impressions(frames: EventFrames, arms: frozenset[str]) -> pl.Series:
    """Return the impressions of these arms."""
    if not arms:
        return frames.pages["impression_id"]
    assigned = frames.pages.select("impression_id", pl.col("assignments")).explode("assignments")
    named = assigned.with_columns(arm=pl.col("assignments").struct.field("arm"))
    missing = arms.difference(named["arm"].drop_nulls())
    if missing:
        raise InvalidRequest.of("loss.arms", f'"{min(missing)}" is no arm of the log')
    return named.filter(pl.col("arm").is_in(list(arms)))["impression_id"].unique()


def _keys(event_id: pl.Series, seed: int, purpose: Purpose) -> NDArray[np.uint64]:
    keys: Keys = extend(np.uint64(seed), hash_ids(event_id.to_list()), purpose)
    return keys


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise InvalidRequest.of("share", f"{share}, must be in [0, 1]")
