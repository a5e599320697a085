"""Old days go whole, everything of them, and others stay as they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ranklift.events.days import read_event_days
from ranklift.events.files import LocalFiles
from ranklift.events.frames import read_events
from ranklift.events.journal import FOLDER_NAME, Journal
from ranklift.events.log import EventLog, Retention
from ranklift.events.manifest import Manifest, Removal
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.retention import first_kept, retain
from ranklift.events.values import Document, Page
from ranklift.v1.errors import NotFound

MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


async def record(log: EventLog, make_page: MakePage, day: int) -> None:
    await log.record_page(
        make_page(f"p{day}", page_time=T0 + day * DAY), [Document("d1", "title", "text")]
    )
    await log.record_events(
        [PendingClick(f"c{day}", f"p{day}", "d1", T0), PendingDwell(f"w{day}", f"c{day}", 1_000)]
    )


def pages(home: Path) -> list[str]:
    return read_events(home).pages.collect()["impression_id"].sort().to_list()


def test_today_and_so_many_days_before_it_are_kept() -> None:
    assert first_kept(1, datetime(2025, 3, 1, 0, 0, tzinfo=UTC)) == "2025-02-28"
    west = datetime(2025, 3, 1, 23, 0, tzinfo=UTC).astimezone()
    assert first_kept(30, west) == "2025-01-30"


def test_old_days_are_dropped_whether_in_files_or_in_the_journal(
    tmp_path: Path, make_page: MakePage
) -> None:
    folder = tmp_path / FOLDER_NAME

    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            for day in (0, 2, 4):
                await record(log, make_page, day)
            await log.export()
            for day in (1, 3):
                await record(log, make_page, day)

    asyncio.run(scenario())
    recent = {day.date: day.fingerprint for day in read_event_days(tmp_path)}["2025-03-05"]
    done = retain(folder, LocalFiles(folder), 2, lambda: T0 + 4 * DAY)
    assert done.first == "2025-03-03"
    assert done.days == ("2025-03-01", "2025-03-02")
    assert done.dropped == {"pages": 2, "clicks": 2, "dwells": 2}
    assert pages(tmp_path) == ["p2", "p3", "p4"]
    assert read_events(tmp_path).clicks.collect().height == 3
    assert read_events(tmp_path).dwells.collect().height == 3
    # Kept pages show the document too, though it was met on the first day.
    assert read_events(tmp_path).documents.collect()["document_id"].to_list() == ["d1"]
    names = {path.parent.name for path in folder.glob("[!d]*/date=*/*")}
    assert names == {"date=2025-03-03", "date=2025-03-04", "date=2025-03-05"}
    after = {day.date: day.fingerprint for day in read_event_days(tmp_path)}
    assert list(after) == ["2025-03-03", "2025-03-04", "2025-03-05"]
    assert after["2025-03-05"] == recent  # what is kept of other days stays good
    assert retain(folder, LocalFiles(folder), 2, lambda: T0 + 4 * DAY).days == ()
    with contextlib.closing(Journal.open(folder)) as journal:
        assert Manifest(journal).removals() == (
            Removal(int((T0 + 4 * DAY).timestamp()), "retain", "2025-03-03", done.dropped),
        )


def test_a_dropped_page_takes_no_more_events(tmp_path: Path, make_page: MakePage) -> None:
    folder = tmp_path / FOLDER_NAME

    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            await record(log, make_page, 0)
            await record(log, make_page, 1)
            retain(folder, LocalFiles(folder), 1, lambda: T0 + 2 * DAY)
            for late in (PendingClick("x", "p0", "d2", T0), PendingDwell("x", "c0", 1)):
                with pytest.raises(NotFound):
                    await log.record_events([late])
            await log.record_events([PendingClick("x", "p1", "d2", T0)])

    asyncio.run(scenario())


def test_the_log_drops_old_days_by_itself_and_says_so(tmp_path: Path, make_page: MakePage) -> None:
    dropped: list[str] = []

    async def scenario() -> None:
        async with await EventLog.open(
            tmp_path, now=lambda: T0 + 4 * DAY, retention=Retention(2, dropped.append)
        ) as log:
            for day in range(5):
                await record(log, make_page, day)
            await log.export()
            await log.tidy()
            assert pages(tmp_path) == ["p2", "p3", "p4"]

    asyncio.run(scenario())
    assert dropped == ["2025-03-03"]
