"""What a reader sees: four typed frames, of one instant, whatever the home is called."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ranklift.events import snapshot
from ranklift.events.frames import read_events, window
from ranklift.events.journal import ParquetFile, list_files
from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.rows import SCHEMAS
from ranklift.events.values import Document, Page

T0 = datetime(2025, 3, 1, 23, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
MakePage = Callable[..., Page]


async def record_hours(log: EventLog, make_page: MakePage, hours: range) -> None:
    """A page each hour; its click comes two hours later, with a dwell."""
    for hour in hours:
        shown_at = T0 + hour * HOUR
        await log.record_page(make_page(f"p{hour}", page_time=shown_at), [Document("d1", "a", "b")])
        await log.record_events(
            [
                PendingClick(f"c{hour}", f"p{hour}", "d1", shown_at + 2 * HOUR),
                PendingDwell(f"w{hour}", f"c{hour}", 1_000 * hour),
            ]
        )


@pytest.fixture
def home(tmp_path: Path, make_page: MakePage) -> Path:
    """Four hours over midnight, the first two in Parquet and the others in the journal."""
    home = tmp_path / "a home [1]*?% ü"

    async def scenario() -> None:
        async with await EventLog.open(home) as log:
            await record_hours(log, make_page, range(2))
            await log.export()
            await record_hours(log, make_page, range(2, 4))

    asyncio.run(scenario())
    return home


@pytest.mark.parametrize("opened", [False, True], ids=["no folder", "empty log"])
def test_an_empty_log_gives_empty_frames(tmp_path: Path, opened: bool) -> None:
    async def scenario() -> None:
        await (await EventLog.open(tmp_path / "home")).close()

    if opened:
        asyncio.run(scenario())
    frames = read_events(tmp_path / "home")
    for frame, schema in SCHEMAS.items():
        collected = getattr(frames, frame).collect()
        assert collected.height == 0
        assert collected.schema == schema
    assert (tmp_path / "home").exists() == opened


def test_parquet_and_journal_make_one_frame(home: Path) -> None:
    frames = read_events(home)
    for frame, schema in SCHEMAS.items():
        assert getattr(frames, frame).collect_schema() == schema
        assert getattr(frames, frame).collect().schema == schema
    assert frames.dwells.collect().sort("event_id").rows() == [
        (f"w{hour}", f"c{hour}", f"p{hour}", "d1", 1_000 * hour, False) for hour in range(4)
    ]
    assert frames.documents.collect().height == 1


def test_everything_is_filed_under_the_date_of_its_page(home: Path) -> None:
    files = sorted(path.relative_to(home / "events") for path in home.glob("events/*/*/*"))
    # The click of the first hour came at 1:30 the next day.
    dates = [(path.parts[0], path.parts[1]) for path in files]
    first, second = "date=2025-03-01", "date=2025-03-02"
    assert dates == [
        ("clicks", first),
        ("clicks", second),
        ("documents", first),
        ("dwells", first),
        ("dwells", second),
        ("pages", first),
        ("pages", second),
    ]
    assert {path.suffix for path in files} == {".parquet"}


def test_a_reader_keeps_the_instant_at_which_it_looked(home: Path, make_page: MakePage) -> None:
    before = read_events(home)

    async def scenario() -> None:
        async with await EventLog.open(home) as log:
            await record_hours(log, make_page, range(4, 6))
            await log.export()

    asyncio.run(scenario())
    assert before.pages.collect().height == 4
    assert read_events(home).pages.collect().height == 6


def test_an_export_in_the_middle_of_a_reading_hides_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def export() -> None:
        async with await EventLog.open(home) as log:
            await log.export()

    def then_export(connection: sqlite3.Connection) -> tuple[ParquetFile, ...]:
        files = list_files(connection)
        asyncio.run(export())
        return files

    monkeypatch.setattr(snapshot, "list_files", then_export)
    assert read_events(home).pages.collect().height == 4


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (None, None, [0, 1, 2, 3]),
        (T0 + HOUR, None, [1, 2, 3]),
        (None, T0 + HOUR, [0]),
        (T0 + HOUR, T0 + 3 * HOUR, [1, 2]),
        (T0 + 4 * HOUR, None, []),
    ],
)
def test_a_window_holds_its_pages_and_what_followed_them(
    home: Path, start: datetime | None, end: datetime | None, hours: list[int]
) -> None:
    cut = window(read_events(home), start, end)
    for frame, column, letter in (
        (cut.pages, "impression_id", "p"),
        (cut.clicks, "event_id", "c"),
        (cut.dwells, "event_id", "w"),
    ):
        collected = frame.select(pl.col(column).sort()).collect().to_series().to_list()
        assert collected == [f"{letter}{hour}" for hour in hours]
    assert cut.documents.collect().height == 1
