"""ranklift's own event log over several days, drawn at random, whole and by day."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

NAME = "student-vs-bm25"
OTHER = "new-snippets"
ARMS = ("control", "student")
T0 = datetime(2025, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Events:
    """The frames of a log."""

    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    dwells: pl.LazyFrame


class Day:
    """A day that counts how often its frames were read."""

    def __init__(self, date: str, frames: Events) -> None:
        tables = (frames.pages, frames.clicks, frames.dwells)
        content = "".join(table.collect().write_json() for table in tables)
        self.date = date
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        self.reads = 0
        self._frames = frames

    @property
    def frames(self) -> Events:
        self.reads += 1
        return self._frames


def draw_events(
    seed: int,
    *,
    units: int = 200,
    days: Sequence[int] = range(4),
    pages: int = 800,
    experiments: Sequence[str] = (NAME, OTHER),
) -> Events:
    """Return the log of users who see one arm of each experiment, on these days after `T0`.

    Users, at most 1000, differ in how likely they click; they and their arms are the same in
    every log. One page in fifty is a fallback page. Sessions run past midnight.
    """
    rng, users = np.random.default_rng(seed), np.random.default_rng(0)
    user = rng.integers(0, units, pages)
    likely = users.beta(1, 2, 1_000)[user]
    arm, other = users.integers(0, 2, (2, 1_000))[:, user]
    day = rng.choice(np.array(days), pages)
    when = [
        T0 + timedelta(days=int(d), microseconds=int(us))
        for d, us in zip(day, rng.integers(0, 86_400_000_000, pages), strict=True)
    ]
    assigned = {NAME: [ARMS[a] for a in arm], OTHER: [("bold", "plain")[a] for a in other]}
    shown = pl.DataFrame(
        {
            "impression_id": [f"{seed}-{i}" for i in range(pages)],
            "page_time": when,
            "user_id": [f"u{u:03}" for u in user],
            "session_id": [f"s{u}-{i % 2}" for i, u in enumerate(user)],
            "assignments": [
                [
                    {"experiment": one, "arm": assigned[one][i], "unit_id": f"u{u:03}"}
                    for one in experiments
                ]
                for i, u in enumerate(user)
            ],
            "fallback_reason": np.where(rng.random(pages) < 0.02, "deadline", ""),
            "latency_ms": rng.exponential(20, pages),
        },
        schema_overrides={
            "page_time": pl.Datetime("us", "UTC"),
            "assignments": pl.List(
                pl.Struct({"experiment": pl.String, "arm": pl.String, "unit_id": pl.String})
            ),
        },
    )
    on = np.flatnonzero(rng.random(pages) < likely + 0.05 * arm)
    on = np.concatenate([on, on[::4]])  # some pages have two clicks
    clicks = pl.DataFrame(
        {
            "event_id": [f"c{seed}-{i}" for i in range(len(on))],
            "impression_id": [f"{seed}-{i}" for i in on],
            "position": rng.integers(1, 11, len(on)).astype(np.int32),
            "click_time": [when[i] + timedelta(seconds=float(rng.exponential(9))) for i in on],
        },
        schema_overrides={"click_time": pl.Datetime("us", "UTC")},
    )
    dwells = clicks.select(
        "impression_id",
        click_event_id="event_id",
        dwell_ms=pl.Series((1_000 * rng.lognormal(3, 1, len(on))).astype(np.int64)),
        censored=pl.Series(rng.random(len(on)) < 0.1),
    ).filter(pl.Series(rng.random(len(on)) < 0.9))
    return Events(shown.lazy(), clicks.lazy(), dwells.lazy())


def together(*logs: Events) -> Events:
    """Return several logs as one."""
    return Events(
        *(
            pl.concat([getattr(log, table) for log in logs])
            for table in ("pages", "clicks", "dwells")
        )
    )


def by_day(events: Events) -> list[Day]:
    """Return a log by the day of its pages; clicks and dwells are filed under their page's."""
    date = pl.col("page_time").dt.strftime("%Y-%m-%d")
    found = []
    for name in events.pages.select(date.unique().sort()).collect().to_series():
        pages = events.pages.filter(date == name)
        ids = pages.select("impression_id")
        clicks, dwells = (
            table.join(ids, on="impression_id", how="semi")
            for table in (events.clicks, events.dwells)
        )
        found.append(Day(name, Events(pages, clicks, dwells)))
    return found
