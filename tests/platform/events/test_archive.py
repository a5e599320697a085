"""What is exported comes back as it was, once, and whole or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranklift.events import importing
from ranklift.events.archive import MARK, read_archive, write_archive
from ranklift.events.files import LocalFiles
from ranklift.events.forgetting import forget
from ranklift.events.frames import read_events
from ranklift.events.importing import Imported
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.log import EventLog, open_journal, utc_now
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.values import Document, ExploredPage, InterleavedPage, Page
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FRAMES = ("pages", "clicks", "dwells", "documents", "shadows")


async def record(log: EventLog, make_page: MakePage, number: int) -> None:
    page = make_page(
        f"p{number}",
        page_time=T0 + number * DAY / 2,
        user_id=f"u{number % 3}",
        interleaving=InterleavedPage("team_draft", ("a@1", "b@1"), (0, 1, 0), ((1, 2, 3),) * 2),
        exploration=ExploredPage("swap", (1, 2, 3), 0.5, (0.5, 0.5, 1.0)),
    )
    await log.record_page(page, [Document(f"d{number % 4}", "title", f"text {number % 5}")])
    await log.record_events(
        [
            PendingClick(f"c{number}", f"p{number}", "d2", T0 + 9 * DAY),
            PendingDwell(f"w{number}", f"c{number}", 1_000, censored=number % 2 == 0),
        ]
    )


@pytest.fixture
def home(tmp_path: Path, make_page: MakePage) -> Path:
    """Six pages on three days, half of them in files."""

    async def scenario() -> None:
        async with await EventLog.open(tmp_path / "home") as log:
            for number in range(6):
                await record(log, make_page, number)
                if number == 3:
                    await log.export()

    asyncio.run(scenario())
    return tmp_path / "home"


@pytest.fixture
def archive(home: Path, tmp_path: Path) -> Path:
    write(home, tmp_path / "archive")
    return tmp_path / "archive"


def write(home: Path, target: Path, **sides: datetime) -> dict[str, int]:
    folder = home / FOLDER_NAME
    return dict(write_archive(folder, LocalFiles(folder), LocalFiles(target), **sides))


def read(home: Path, source: Path) -> Imported:
    folder = home / FOLDER_NAME
    open_journal(folder, LocalFiles(folder)).close()
    return read_archive(folder, LocalFiles(folder), LocalFiles(source), utc_now)


def collected(home: Path) -> dict[str, pl.DataFrame]:
    frames = read_events(home)
    return {name: getattr(frames, name).collect().sort(pl.first(), pl.nth(1)) for name in FRAMES}


def test_the_whole_log_comes_back_as_it_was_and_only_once(
    home: Path, archive: Path, tmp_path: Path
) -> None:
    rows = {"pages": 6, "clicks": 6, "dwells": 6, "documents": 6, "shadows": 0, "quarantine": 0}
    assert json.loads((archive / MARK).read_text())["rows"] == rows
    first = read(tmp_path / "new", archive)
    assert first.recorded.total() == 24
    assert first.duplicates.total() == 0
    for name, frame in collected(home).items():
        assert_frame_equal(collected(tmp_path / "new")[name], frame)
    again = read(tmp_path / "new", archive)
    assert (again.recorded.total(), again.duplicates.total()) == (0, 24)
    assert read(home, archive).recorded.total() == 0
    assert collected(tmp_path / "new")["pages"].height == 6


def test_a_file_in_the_archive_is_plain_parquet_by_date(archive: Path) -> None:
    dates = pl.read_parquet(archive / "pages", hive_partitioning=True)
    assert dates.filter(pl.col("date") != pl.col("page_time").dt.date()).is_empty()
    assert dates.height == 6


def test_a_window_holds_its_pages_what_followed_and_what_they_show(
    home: Path, tmp_path: Path
) -> None:
    counts = write(home, tmp_path / "cut", start=T0 + DAY, end=T0 + 2 * DAY)
    assert counts == {
        "pages": 2,
        "clicks": 2,
        "dwells": 2,
        "documents": 4,
        "shadows": 0,
        "quarantine": 0,
    }
    assert read(tmp_path / "new", tmp_path / "cut").recorded.total() == 10
    new = collected(tmp_path / "new")
    assert new["pages"]["impression_id"].to_list() == ["p2", "p3"]
    assert set(new["documents"]["document_id"]) == {"d1", "d2", "d3"}
    write(home, tmp_path / "all")
    assert read(tmp_path / "new", tmp_path / "all").recorded["pages"] == 4


def test_a_place_where_something_is_is_refused(home: Path, archive: Path) -> None:
    with pytest.raises(AlreadyExists, match="empty place"):
        write(home, archive)
    (archive / MARK).unlink()
    with pytest.raises(AlreadyExists, match="empty place"):
        write(home, archive)


def test_half_an_archive_is_none(tmp_path: Path, archive: Path) -> None:
    (archive / MARK).unlink()
    with pytest.raises(NotFound, match="did not end"):
        read(tmp_path / "new", archive)
    (archive / MARK).write_text('{"format": 7}')
    with pytest.raises(InvalidRequest, match="format 1"):
        read(tmp_path / "new", archive)


FIRST = "date=2025-03-01/part-0.parquet"


@pytest.mark.parametrize(
    ("frame", "change", "told"),
    [
        ("pages", pl.lit("").alias("impression_id"), "has no impression_id"),
        ("pages", pl.lit(None, pl.String).alias("user_id"), "has a null"),
        ("pages", pl.col("page_time") + DAY, "outside the date of its folder, 2025-03-01"),
        ("pages", pl.col("scores").list.head(1), "other than one score for each document"),
        ("pages", pl.lit(float("nan")).alias("latency_ms"), "not finite"),
        ("clicks", pl.lit("px").alias("impression_id"), "names a page that is not among"),
        ("clicks", pl.lit("d1").alias("document_id"), "did not show there"),
        ("clicks", pl.lit(4, pl.Int32).alias("position"), "did not show there"),
        ("clicks", pl.lit(0, pl.Int32).alias("position"), "did not show there"),
        ("dwells", pl.lit(-1, pl.Int64).alias("dwell_ms"), "outside"),
        ("dwells", pl.lit("cx").alias("click_event_id"), "names a click that is not among"),
        ("documents", pl.lit("").alias("document_id"), "has no document_id"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_recorded(
    tmp_path: Path, archive: Path, frame: str, change: pl.Expr, told: str
) -> None:
    path = archive / frame / FIRST
    rows = pl.read_parquet(path)
    assert rows.height == 2
    bad = pl.concat([rows.head(1), rows.tail(1).with_columns(change)])
    bad.write_parquet(path)
    with pytest.raises(InvalidRequest) as refused:
        read(tmp_path / "new", archive)
    assert told in str(refused.value)
    assert f"{frame}/{FIRST} row 2" in str(refused.value)
    assert collected(tmp_path / "new")["pages"].is_empty()


@pytest.mark.parametrize("frame", ["pages", "clicks", "dwells", "documents"])
def test_files_of_another_kind_are_refused(tmp_path: Path, archive: Path, frame: str) -> None:
    path = archive / frame / FIRST
    rows = pl.read_parquet(path)
    for bad, told in (
        (rows.drop(rows.columns[0]), f'column "{rows.columns[0]}" is missing'),
        (rows.with_columns(extra=pl.lit(1)), "columns that no event has: extra"),
        (rows.with_columns(pl.lit(1).alias(rows.columns[0])), "is Int32; must be String"),
    ):
        bad.write_parquet(path)
        with pytest.raises(InvalidRequest, match=told):
            read(tmp_path / "new", archive)
    path.write_bytes(b"no Parquet at all")
    with pytest.raises(InvalidRequest, match="is no Parquet file"):
        read(tmp_path / "new", archive)


def test_an_archive_of_an_older_ranklift_lacks_later_columns(tmp_path: Path, archive: Path) -> None:
    path = archive / "pages" / FIRST
    pl.read_parquet(path).drop("forced", "exploration").write_parquet(path)
    read(tmp_path / "new", archive)
    assert collected(tmp_path / "new")["pages"]["exploration"].null_count() == 2


def test_who_was_forgotten_does_not_come_back_with_an_archive(home: Path, archive: Path) -> None:
    folder = home / FOLDER_NAME
    forget(folder, LocalFiles(folder), "u0", utc_now)
    path = archive / "clicks" / FIRST
    late = pl.read_parquet(path).head(1).with_columns(event_id=pl.lit("late"))
    pl.concat([pl.read_parquet(path), late]).write_parquet(path)
    done = read(home, archive)
    assert done.recorded.total() == 0
    assert done.orphans == {"clicks": 1}
    assert set(collected(home)["pages"]["user_id"]) == {"u1", "u2"}


def test_an_event_that_is_recorded_meanwhile_is_there_once(
    tmp_path: Path, archive: Path, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what was seen and the swap, the gateway records the same page."""
    new = tmp_path / "new"
    look = importing._page_ids
    met: list[str] = []

    async def gateway() -> None:
        async with await EventLog.open(new) as log:
            loop = asyncio.get_running_loop()

            def then_record(folder: Path, files: LocalFiles, date: str) -> pl.Series:
                if not met:
                    met.append(date)
                    call = record(log, make_page, 0)
                    asyncio.run_coroutine_threadsafe(call, loop).result(30)
                return look(folder, files, date)

            monkeypatch.setattr(importing, "_page_ids", then_record)
            folder = new / FOLDER_NAME
            files = LocalFiles(folder)
            done = await asyncio.to_thread(
                read_archive, folder, files, LocalFiles(archive), utc_now
            )
            assert done.duplicates["pages"] == 1
            assert done.recorded["pages"] == 5

    asyncio.run(gateway())
    assert met == ["2025-03-01"]
    assert collected(new)["pages"]["impression_id"].to_list() == [f"p{i}" for i in range(6)]
    assert collected(new)["clicks"]["event_id"].to_list() == [f"c{i}" for i in range(6)]
