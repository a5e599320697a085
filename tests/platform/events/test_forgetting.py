"""A unit that is forgotten is nowhere under the home any more, and stays away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ranklift.events.compaction import compact
from ranklift.events.export import exclusive
from ranklift.events.files import LocalFiles
from ranklift.events.forgetting import count, forget
from ranklift.events.frames import read_events
from ranklift.events.journal import FOLDER_NAME, Journal
from ranklift.events.known import Known
from ranklift.events.log import EventLog, utc_now
from ranklift.events.manifest import Manifest
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.rows import shadow_row
from ranklift.events.snapshot import read_snapshot
from ranklift.events.values import Document, Page, PageAssignment, ShadowScores
from ranklift.v1.errors import NotFound, Overloaded

HERE = Path(__file__).parent
MakePage = Callable[..., Page]
T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UNIT = "unit-3f9a17c2"
COUNTS = {"pages": 6, "clicks": 6, "dwells": 6, "shadows": 2, "quarantine": 0}


def page_of(make_page: MakePage, user: str, number: int) -> Page:
    """Pages name their unit by turns as user, as session, in an assignment, in a forced one."""
    arm = PageAssignment("x", 1, "default", "new", user, 1)
    page = make_page(
        f"{user}-p{number}",
        page_time=T0 + number % 2 * DAY,
        user_id="",
        session_id="",
        assignments=(),
    )
    return (
        replace(page, user_id=user),
        replace(page, session_id=user),
        replace(page, assignments=(arm,)),
        replace(page, forced=(arm,)),
    )[number % 4]


async def record(log: EventLog, make_page: MakePage, user: str, number: int) -> None:
    page = page_of(make_page, user, number)
    await log.record_page(page, [Document("d1", "a", "b")])
    name = f"{user}-{number}"
    await log.record_events(
        [
            PendingClick(f"c-{name}", page.impression_id, "d1", T0),
            PendingDwell(f"w-{name}", f"c-{name}", 1_000),
        ]
    )


def score_in_shadow(folder: Path, impression_id: str, shown_at: datetime) -> None:
    scores = ShadowScores(impression_id, "student", "2", "sha256:1", (1.0,), None, 3.0, "")
    with contextlib.closing(Journal.open(folder)) as journal, journal.transaction():
        journal.append(Known(), [shadow_row(scores, f"{shown_at:%Y-%m-%d}")], 0)


def fill(home: Path, make_page: MakePage) -> None:
    """The unit and another one, in merged files and replaced ones, in an export and the journal."""
    folder = home / FOLDER_NAME

    async def scenario() -> None:
        async with await EventLog.open(home) as log:
            for number in range(6):
                for user in (UNIT, "other"):
                    await record(log, make_page, user, number)
                if number in (3, 5):
                    score_in_shadow(folder, f"{UNIT}-p{number}", T0 + DAY)
                    score_in_shadow(folder, f"other-p{number}", T0 + DAY)
                if number in (1, 3, 4):
                    await log.export()
                if number == 3:
                    compact(folder, LocalFiles(folder), utc_now, fully=True)

    asyncio.run(scenario())


def traces(home: Path, text: str) -> set[str]:
    """Return the kinds of files under the home that hold a text, also behind a compression."""
    found = set()
    for path in home.rglob("*"):
        if not path.is_file():
            continue
        held = text.encode() in path.read_bytes()
        if path.suffix == ".parquet":
            held |= text in pl.read_parquet(path, glob=False).write_json()
        if held:
            found.add(path.suffix)
    return found


def leave_in_free_pages(connection: sqlite3.Connection, text: str) -> None:
    """Delete rows as a SQLite does that was built without SECURE_DELETE."""
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("CREATE TABLE gone (body TEXT)")
    connection.execute("INSERT INTO gone VALUES (?)", (text * 1_000,))
    connection.commit()
    connection.execute("DROP TABLE gone")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint").fetchone()


def test_nothing_of_the_unit_is_left_in_any_file(tmp_path: Path, make_page: MakePage) -> None:
    fill(tmp_path, make_page)
    folder, files = tmp_path / FOLDER_NAME, LocalFiles(tmp_path / FOLDER_NAME)
    for file in read_snapshot(folder).files:  # what a merge that died would leave
        orphan = folder / file.path.replace(".parquet", "-orphan.parquet")
        orphan.write_bytes((folder / file.path).read_bytes())
    reader = sqlite3.connect(folder / "journal.db")  # keeps the write-ahead log alive
    with contextlib.closing(reader):
        leave_in_free_pages(reader, UNIT)
        assert traces(tmp_path, UNIT) >= {".db", ".parquet"}
        assert count(folder, files, UNIT) == COUNTS
        assert forget(folder, files, UNIT, utc_now) == COUNTS
        assert traces(tmp_path, UNIT) == set()
    left = read_events(tmp_path)
    for frame in (left.pages, left.clicks, left.dwells):
        assert frame.collect()["impression_id"].sort().to_list() == [
            f"other-p{i}" for i in range(6)
        ]
    assert left.shadows.collect()["impression_id"].sort().to_list() == ["other-p3", "other-p5"]
    assert left.documents.collect().height == 1
    assert count(folder, files, UNIT) == dict.fromkeys(COUNTS, 0)


def test_it_does_not_come_back(tmp_path: Path, make_page: MakePage) -> None:
    async def scenario() -> None:
        folder = tmp_path / FOLDER_NAME
        async with await EventLog.open(tmp_path) as log:
            await record(log, make_page, UNIT, 0)
            await record(log, make_page, "other", 0)
            forget(folder, LocalFiles(folder), UNIT, utc_now)
            await log.record_page(page_of(make_page, UNIT, 0), [])
            again = [PendingClick(f"c-{UNIT}-0", f"{UNIT}-p0", "d1", T0)]
            assert (await log.record_events(again)).duplicates == 1
            with pytest.raises(NotFound):
                await log.record_events([PendingClick("late", f"{UNIT}-p0", "d2", T0)])
            with pytest.raises(NotFound):
                await log.record_events([PendingDwell("late", f"c-{UNIT}-0", 5)])
            await log.record_events([PendingClick("late", "other-p0", "d2", T0)])

    asyncio.run(scenario())
    assert read_events(tmp_path).pages.collect()["impression_id"].to_list() == ["other-p0"]
    assert traces(tmp_path, UNIT) == set()


def test_events_that_come_in_meanwhile_are_kept_or_forgotten(
    tmp_path: Path, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log goes on recording between the rewriting of files and the swap."""
    from ranklift.events import forgetting

    rewrite = forgetting._rewrite

    async def scenario() -> None:
        folder = tmp_path / FOLDER_NAME
        async with await EventLog.open(tmp_path) as log:
            loop = asyncio.get_running_loop()
            await record(log, make_page, UNIT, 0)

            def then_record(*arguments: object) -> object:
                rewritten = rewrite(*arguments)  # type: ignore[arg-type]
                for user in (UNIT, "other"):
                    recorded = asyncio.run_coroutine_threadsafe(
                        record(log, make_page, user, 1), loop
                    )
                    recorded.result(30)
                click = PendingClick("late", f"{UNIT}-p0", "d2", T0)
                asyncio.run_coroutine_threadsafe(log.record_events([click]), loop).result(30)
                return rewritten

            monkeypatch.setattr(forgetting, "_rewrite", then_record)
            files = LocalFiles(folder)
            removed = await asyncio.to_thread(forget, folder, files, UNIT, utc_now)
            assert removed == {"pages": 2, "clicks": 3, "dwells": 2, "shadows": 0, "quarantine": 0}

    asyncio.run(scenario())
    assert read_events(tmp_path).clicks.collect()["event_id"].to_list() == ["c-other-1"]
    assert traces(tmp_path, UNIT) == set()


@pytest.mark.parametrize("point", ["rewriting", "swapping", "swapped", "deleting", "scrubbing"])
def test_it_may_die_at_any_point_and_a_second_call_completes_it(
    tmp_path: Path, make_page: MakePage, point: str
) -> None:
    fill(tmp_path, make_page)
    child = subprocess.run(
        [sys.executable, HERE / "forgetter.py", tmp_path, UNIT, point], check=False
    )
    assert child.returncode == -signal.SIGKILL
    frames = read_events(tmp_path)
    of_unit = pl.col("impression_id").str.starts_with(UNIT)
    left = {
        f.filter(of_unit).collect().height for f in (frames.pages, frames.clicks, frames.dwells)
    }
    assert left == ({6} if point in ("rewriting", "swapping") else {0})  # whole, or gone
    assert frames.pages.filter(~of_unit).collect().height == 6
    folder = tmp_path / FOLDER_NAME
    forget(folder, LocalFiles(folder), UNIT, utc_now)
    assert traces(tmp_path, UNIT) == set()
    assert read_events(tmp_path).pages.collect().height == 6


def test_a_reader_in_the_way_is_told_of_and_a_second_call_completes_it(
    tmp_path: Path, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranklift.events import journal as journals

    fill(tmp_path, make_page)
    folder = tmp_path / FOLDER_NAME
    monkeypatch.setattr(journals, "BUSY_SECONDS", 0.1)
    reader = sqlite3.connect(folder / "journal.db", isolation_level=None)
    with contextlib.closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rows").fetchone()
        with pytest.raises(Overloaded, match="run again"):
            forget(folder, LocalFiles(folder), UNIT, utc_now)
    forget(folder, LocalFiles(folder), UNIT, utc_now)
    assert traces(tmp_path, UNIT) == set()


def test_the_record_names_nobody_and_tells_two_units_apart(
    tmp_path: Path, make_page: MakePage
) -> None:
    fill(tmp_path / "a", make_page)
    fill(tmp_path / "b", make_page)
    hashes = []
    for home in (tmp_path / "a", tmp_path / "b"):
        folder = home / FOLDER_NAME
        for unit in (UNIT, "other", UNIT):
            forget(folder, LocalFiles(folder), unit, lambda: T0)
        with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
            removals = Manifest(journal).removals()
        assert [(one.time, one.kind) for one in removals] == [(int(T0.timestamp()), "forget")] * 3
        assert [one.counts["pages"] for one in removals] == [6, 6, 0]
        assert removals[0].subject == removals[2].subject != removals[1].subject
        hashes.append(removals[0].subject)
    assert hashes[0] != hashes[1]
