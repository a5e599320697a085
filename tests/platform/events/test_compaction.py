"""Small files become large ones, and nobody notices."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ranklift.events.compaction import (
    FANOUT,
    GRACE,
    TARGET_BYTES,
    compact,
    delete_obsolete,
    plan,
)
from ranklift.events.days import read_event_days
from ranklift.events.files import LocalFiles
from ranklift.events.frames import EventFrames, read_events
from ranklift.events.journal import FOLDER_NAME, ParquetFile
from ranklift.events.log import EventLog
from ranklift.events.manifest import Manifest
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.snapshot import read_snapshot
from ranklift.events.values import Document, Page

MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FRAMES = ("pages", "clicks", "dwells", "documents", "shadows")


def file(number: int, frame: str = "pages", date: str = "2025-03-01") -> ParquetFile:
    return ParquetFile(f"{frame}/date={date}/{number:03d}.parquet", frame)  # type: ignore[arg-type]


async def record(log: EventLog, make_page: MakePage, number: int, shown_at: datetime) -> None:
    page = make_page(f"p{number}", page_time=shown_at)
    await log.record_page(page, [Document(f"d{number}", "a", "b")])
    await log.record_events(
        [
            PendingClick(f"c{number}", f"p{number}", "d1", shown_at),
            PendingDwell(f"w{number}", f"c{number}", number),
        ]
    )


@pytest.fixture
def home(tmp_path: Path, make_page: MakePage) -> Path:
    """Two days, recorded alternately in twice `FANOUT` exports, and a page in the journal."""
    home = tmp_path / "a home [1]*?% ü"

    async def scenario() -> None:
        async with await EventLog.open(home) as log:
            for number in range(2 * FANOUT):
                # Backwards, so that a merge has something to sort.
                await record(
                    log, make_page, number, T0 + number % 2 * DAY - number * timedelta(0, 1)
                )
                await log.export()
            await record(log, make_page, 99, T0)

    asyncio.run(scenario())
    return home


def collected(frames: EventFrames) -> dict[str, pl.DataFrame]:
    return {name: getattr(frames, name).collect().sort(pl.first()) for name in FRAMES}


def test_merging_changes_nothing_of_what_is_read(home: Path) -> None:
    folder = home / FOLDER_NAME
    before = collected(read_events(home))
    done = compact(folder, LocalFiles(folder), lambda: T0)
    assert (done.merged, done.into) == (8 * FANOUT, 8)  # four frames, two days
    after = collected(read_events(home))
    for name in FRAMES:
        assert_frame_equal(before[name], after[name])
    files = Counter((one.frame, one.date) for one in read_snapshot(folder).files)
    assert set(files.values()) == {1}


def test_pages_of_a_merged_file_are_sorted_by_time(home: Path) -> None:
    folder = home / FOLDER_NAME
    compact(folder, LocalFiles(folder), lambda: T0)
    for one in read_snapshot(folder).files:
        if one.frame == "pages":
            times = pl.read_parquet(folder / one.path, glob=False)["page_time"]
            assert times.len() == FANOUT
            assert times.is_sorted()


def test_a_reader_that_looked_before_finds_its_files_for_the_grace(home: Path) -> None:
    folder, files = home / FOLDER_NAME, LocalFiles(home / FOLDER_NAME)
    earlier, days = read_events(home), read_event_days(home)
    compact(folder, files, lambda: T0)
    almost = T0 + GRACE - timedelta(seconds=1)
    assert delete_obsolete(folder, files, lambda: almost) == 0
    assert earlier.pages.collect().height == 2 * FANOUT + 1
    assert sum(day.frames.clicks.collect().height for day in days) == 2 * FANOUT + 1

    async def open_again() -> None:
        await (await EventLog.open(home)).close()

    asyncio.run(open_again())  # which sweeps what nobody names
    assert earlier.pages.collect().height == 2 * FANOUT + 1
    assert delete_obsolete(folder, files, lambda: T0 + GRACE) == 8 * FANOUT
    assert read_events(home).pages.collect().height == 2 * FANOUT + 1
    on_disk = {path.relative_to(folder).as_posix() for path in folder.glob("*/date=*/*")}
    assert on_disk == {one.path for one in read_snapshot(folder).files}
    with pytest.raises(FileNotFoundError):
        earlier.pages.collect()


def test_a_second_pass_finds_nothing_to_do_and_a_full_one_merges_everything(
    home: Path, make_page: MakePage
) -> None:
    folder, files = home / FOLDER_NAME, LocalFiles(home / FOLDER_NAME)

    async def late() -> None:
        async with await EventLog.open(home) as log:
            await record(log, make_page, 100, T0)
            await log.export()

    compact(folder, files, lambda: T0)
    asyncio.run(late())
    assert compact(folder, files, lambda: T0).merged == 0
    assert compact(folder, files, lambda: T0, fully=True).into == 4  # the first day's frames
    assert compact(folder, files, lambda: T0, fully=True).merged == 0
    assert read_events(home).pages.collect().height == 2 * FANOUT + 2


def test_the_log_merges_by_itself(tmp_path: Path, make_page: MakePage) -> None:
    async def scenario() -> None:
        async with (
            await EventLog.open(tmp_path, export_events=1) as log,
            asyncio.timeout(30),
        ):
            number = 0
            while not any(
                len(Path(one.path).stem) == 32
                for one in read_snapshot(tmp_path / FOLDER_NAME).files
            ):
                await record(log, make_page, number, T0)
                number += 1

    asyncio.run(scenario())


def test_a_merge_that_cannot_be_published_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk may have room for the file and none for the journal to say so."""
    folder, files = home / FOLDER_NAME, LocalFiles(home / FOLDER_NAME)
    before = dict(files.sizes())

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "swap", full)
        with pytest.raises(sqlite3.OperationalError):
            compact(folder, files, lambda: T0)
    assert dict(files.sizes()) == before
    assert compact(folder, files, lambda: T0).into == 8


SIZES = st.lists(st.integers(1, 2 * TARGET_BYTES), max_size=40)


@given(SIZES, st.sampled_from(["2025-03-01", "2025-03-02", "2025-03-09"]), st.booleans())
def test_a_plan_merges_each_file_once_within_its_frame_and_date(
    sizes: list[int], today: str, fully: bool
) -> None:
    dates, frames = ("2025-03-01", "2025-03-02"), ("pages", "clicks")
    of = {file(i, frames[i % 2], dates[i // 2 % 2]): size for i, size in enumerate(sizes)}
    groups = plan(of, today=today, fully=fully)
    merged = [one for group in groups for one in group]
    assert len(merged) == len(set(merged))
    assert set(merged) <= set(of)
    for group in groups:
        assert len(group) > 1
        assert len({(one.frame, one.date) for one in group}) == 1
        assert sum(of[one] for one in group) <= TARGET_BYTES


def test_few_small_files_wait_for_more_and_large_ones_stay() -> None:
    few = {file(i): 1_000 for i in range(FANOUT - 1)}
    large = {file(i): TARGET_BYTES for i in range(100, 120)}
    today = "2025-03-01"
    assert plan(few | large, today=today) == ()
    assert plan(few | large | {file(50): 1_000}, today=today) == ((*few, file(50)),)
    assert plan(few | large, today=today, fully=True) == (tuple(few),)


def test_files_of_a_day_that_is_over_are_merged_whatever_their_size() -> None:
    mixed = {file(i): 1_000 * FANOUT**i for i in range(4)} | {file(i): 500 for i in range(4, 8)}
    assert plan(mixed, today="2025-03-01") == ()
    assert plan(mixed, today="2025-03-02") == (tuple(mixed),)


def test_a_row_is_rewritten_a_handful_of_times() -> None:
    """A thousand exports of one size: every byte through at most log_8(1000) merges."""
    sizes: dict[ParquetFile, int] = {}
    rewritten = 0
    for export in range(1_000):
        sizes[file(export)] = 4_000
        while groups := plan(sizes, today="2025-03-01"):
            for group in groups:
                total = sum(sizes.pop(one) for one in group)
                rewritten += total
                sizes[file(10_000 + rewritten)] = total
    assert len(sizes) < 4 * FANOUT
    assert rewritten <= 4 * sum(sizes.values())
