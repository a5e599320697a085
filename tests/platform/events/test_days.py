"""The log by day: all of it, filed as it was recorded, and a mark that tells what changed."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from ranklift.events.days import EventDay, read_event_days
from ranklift.events.frames import read_events
from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.values import Document, Page

MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHOWN = [Document(name, "title", "text") for name in ("d1", "d2", "d3")]


async def record(log: EventLog, *pages: Page) -> None:
    for page in pages:
        await log.record_page(page, SHOWN)


async def click(log: EventLog, impression_id: str, event_id: str) -> None:
    await log.record_events(
        [
            PendingClick(event_id, impression_id, "d2", T0 + 5 * DAY),
            PendingDwell(f"{event_id}-dwell", event_id, 9_000),
        ]
    )


def marks(home: Path) -> dict[str, str]:
    return {day.date: day.fingerprint for day in read_event_days(home)}


def rows(days: tuple[EventDay, ...], table: str) -> pl.DataFrame:
    frames: list[pl.DataFrame] = [getattr(day.frames, table).collect() for day in days]
    return pl.concat(frames).sort(pl.first())


def test_a_home_without_a_log_has_no_days(tmp_path: Path) -> None:
    assert read_event_days(tmp_path) == ()


def test_the_days_are_the_whole_log_whether_exported_or_not(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            await record(log, *(make_page(f"p{i}", page_time=T0 + i * DAY / 2) for i in range(5)))
            await click(log, "p0", "c0")
            await log.export()
            await record(log, make_page("late", page_time=T0))
            await click(log, "p3", "c3")

    asyncio.run(scenario())
    days = read_event_days(tmp_path)
    assert [day.date for day in days] == ["2025-03-01", "2025-03-02", "2025-03-03"]
    whole = read_events(tmp_path)
    for table in ("pages", "clicks", "dwells"):
        expected = getattr(whole, table).collect().sort(pl.first())
        assert not expected.is_empty()
        assert_frame_equal(rows(days, table), expected)
    for day in days:
        dates = day.frames.pages.select(pl.col("page_time").dt.strftime("%Y-%m-%d").unique())
        assert dates.collect().to_series().to_list() == [day.date]


def test_a_click_is_filed_and_marked_under_the_day_of_its_page(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario() -> tuple[dict[str, str], dict[str, str]]:
        async with await EventLog.open(tmp_path) as log:
            await record(log, *(make_page(f"p{i}", page_time=T0 + i * DAY) for i in range(3)))
            await log.export()
            first = marks(tmp_path)
            await click(log, "p1", "c1")
            return first, marks(tmp_path)

    first, second = asyncio.run(scenario())
    assert [date for date in first if first[date] != second[date]] == ["2025-03-02"]
    clicks = {day.date: day.frames.clicks.collect().height for day in read_event_days(tmp_path)}
    assert clicks == {"2025-03-01": 0, "2025-03-02": 1, "2025-03-03": 0}


def test_every_change_of_a_day_changes_its_mark_and_reading_does_not(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario() -> list[str]:
        seen = []
        async with await EventLog.open(tmp_path) as log:
            for i in range(3):
                await record(log, make_page(f"p{i}", page_time=T0))
                seen.append(marks(tmp_path)["2025-03-01"])
                await click(log, f"p{i}", f"c{i}")
                seen.append(marks(tmp_path)["2025-03-01"])
                await log.export()
                seen.append(marks(tmp_path)["2025-03-01"])
                await record(log, make_page(f"other{i}", page_time=T0 + DAY))
                await record(log, make_page(f"p{i}", page_time=T0))  # again: changes nothing
                assert marks(tmp_path)["2025-03-01"] == seen[-1]
        return seen

    seen = asyncio.run(scenario())
    assert len(set(seen)) == len(seen)


def test_another_log_in_the_same_place_has_other_marks(tmp_path: Path, make_page: MakePage) -> None:
    """A cache may outlive the log that it was made from."""

    async def scenario(user: str, export: bool) -> None:
        async with await EventLog.open(tmp_path) as log:
            await record(log, make_page("p1", page_time=T0, user_id=user))
            if export:
                await log.export()

    for export in (False, True):
        seen = []
        for number, user in enumerate(("ann", "bob")):
            asyncio.run(scenario(user, export))
            for file in (tmp_path / "events").rglob("*.parquet"):
                # Two runs of a test lie closer together than some file systems' clocks can tell.
                os.utime(file, ns=(0, file.stat().st_mtime_ns + number * 10**9))
            seen.append(marks(tmp_path))
            shutil.rmtree(tmp_path / "events")
        assert seen[0].keys() == seen[1].keys() == {"2025-03-01"}
        assert seen[0] != seen[1]
