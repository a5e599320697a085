"""Pages that nobody waits for: on disk soon, known at once, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
import pytest

from ranklift.events import writer
from ranklift.events.journal import FILE_NAME, FOLDER_NAME, Journal
from ranklift.events.log import EventLog, utc_now
from ranklift.events.pending import PendingClick, Recorded
from ranklift.events.recent import RecentDocuments
from ranklift.events.values import Document, Page
from ranklift.events.writer import MAX_WAITING_BYTES, Writer
from ranklift.v1.errors import Overloaded
from ranklift.v1.requests import Texts

T0 = datetime(2025, 3, 1, 12, 31, tzinfo=UTC)
WING: Texts = ("d1", "Wing", "flutter")
HEAT: Texts = ("d2", "Heat", "transfer")
MakePage = Callable[..., Page]
ReadAll = Callable[[Path], dict[str, pl.DataFrame]]


def submit(log: EventLog, page: Page, *documents: Texts, size: int = 0) -> Future[Recorded]:
    def make() -> tuple[Page, Sequence[Texts]]:
        return page, documents

    return log.submit_page(make, documents=len(documents), size=size, urgent=False)


async def on_disk(*recordings: Future[Recorded]) -> list[Recorded]:
    async with asyncio.timeout(30):
        return await asyncio.gather(*map(asyncio.wrap_future, recordings))


def open_journal(home: Path) -> Journal:
    (home / FOLDER_NAME).mkdir(parents=True)
    return Journal.open(home / FOLDER_NAME)


def log_with(home: Path, to: Writer) -> EventLog:
    hour = timedelta(hours=1)
    return EventLog(home / FOLDER_NAME, to, export_interval=hour, export_events=10**9, now=utc_now)


@contextmanager
def kept_busy(busy: Writer) -> Iterator[None]:
    """Keep the writer's thread from its queue, as a disk that hangs does."""
    release, taken = Event(), Event()

    def hang(_: Journal) -> None:
        taken.set()
        release.wait(30)

    busy.run(hang)
    taken.wait(30)
    yield
    release.set()


def test_it_reaches_the_disk_though_nobody_waits(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log, asyncio.timeout(30):
            submit(log, make_page("p1"), WING)
            while read_all(tmp_path)["pages"].is_empty():
                await asyncio.sleep(0.005)
            assert read_all(tmp_path)["documents"].drop("digest").rows() == [WING]

    asyncio.run(scenario())


def test_a_click_on_a_page_that_was_just_taken_is_never_refused(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            for number in range(200):
                submit(log, make_page(f"p{number}"), WING)
                if number % 3:  # before and after the loop got to make the page
                    await asyncio.sleep(0)
                click = PendingClick(f"c{number}", f"p{number}", "d2", T0)
                assert await log.record_events([click]) == Recorded(1, 0)

    asyncio.run(scenario())


def test_pages_share_transactions(tmp_path: Path, make_page: MakePage) -> None:
    async def scenario() -> None:
        journal = open_journal(tmp_path)
        statements: list[str] = []
        journal.connection.set_trace_callback(statements.append)
        async with log_with(tmp_path, Writer(journal, utc_now)) as log:
            await on_disk(*(submit(log, make_page(f"p{i}"), WING) for i in range(20)))
            assert statements.count("COMMIT") == 1

    asyncio.run(scenario())


def test_whoever_waits_is_not_kept_for_company(
    tmp_path: Path, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 1_000)

    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log, asyncio.timeout(30):
            submit(log, make_page("p1"))
            # Three calls, of which two fill a group.
            calls = [
                [PendingClick(f"c{call}-{i}", "p1", "d2", T0) for i in range(6_000)]
                for call in range(3)
            ]
            outcomes = await asyncio.gather(*map(log.record_events, calls))
            assert outcomes == [Recorded(6_000, 0)] * 3
            submit(log, make_page("p2"))  # and the end of the log waits for nobody either

    asyncio.run(scenario())


def test_closing_writes_every_page_that_was_taken(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            for number in range(50):
                submit(log, make_page(f"p{number}"), WING)

    asyncio.run(scenario())
    assert read_all(tmp_path)["pages"].height == 50
    assert read_all(tmp_path)["documents"].height == 1


def test_a_flush_waits_for_what_was_taken_before(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            for number in range(50):
                submit(log, make_page(f"p{number}"), WING)
            await asyncio.to_thread(log.flush)
            assert read_all(tmp_path)["pages"].height == 50

    asyncio.run(scenario())


def test_a_disk_that_hangs_costs_a_bounded_amount_of_memory(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario() -> None:
        hanging = Writer(open_journal(tmp_path), utc_now)
        async with log_with(tmp_path, hanging) as log:
            with kept_busy(hanging):
                quarter = MAX_WAITING_BYTES // 4
                taken = [submit(log, make_page(f"p{i}"), size=quarter) for i in range(4)]
                for _ in range(3):
                    with pytest.raises(Overloaded, match="4 calls wait for the disk"):
                        submit(log, make_page("p9"), size=1)
            assert await on_disk(*taken) == [Recorded(1, 0)] * 4
            # Nothing waits now; even what is larger than all that may wait finds its place.
            await asyncio.to_thread(log.flush)
            huge = submit(log, make_page("p9"), size=2 * MAX_WAITING_BYTES)
            assert await on_disk(huge) == [Recorded(1, 0)]

    asyncio.run(scenario())


def test_a_page_that_cannot_be_made_fails_alone(tmp_path: Path, make_page: MakePage) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            good = submit(log, make_page("p1"), WING)

            def make() -> tuple[Page, Sequence[Texts]]:
                raise LookupError("no such page")

            bad = log.submit_page(make, documents=1, size=0, urgent=False)
            unicode = submit(log, make_page("p2"), ("d1", "\ud800", ""))
            assert await on_disk(good) == [Recorded(1, 0)]
            assert isinstance(await asyncio.to_thread(bad.exception, 30), LookupError)
            assert "Unicode" in str(await asyncio.to_thread(unicode.exception, 30))

    asyncio.run(scenario())


def test_documents_are_remembered_when_they_are_on_disk_and_not_before(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        journal = open_journal(tmp_path)
        journal.connection.execute("PRAGMA busy_timeout = 20")
        async with log_with(tmp_path, Writer(journal, utc_now)) as log:
            other = sqlite3.connect(tmp_path / FOLDER_NAME / FILE_NAME, isolation_level=None)
            with closing(other):
                other.execute("BEGIN IMMEDIATE")  # as another process that writes
                lost = submit(log, make_page("p1"), WING)
                assert isinstance(await asyncio.to_thread(lost.exception, 30), Overloaded)
                other.execute("ROLLBACK")
            assert read_all(tmp_path)["documents"].is_empty()
            await on_disk(submit(log, make_page("p1"), WING))
            assert read_all(tmp_path)["documents"].height == 1
            # The same page again changes nothing, so what it brings now is not on disk.
            assert await on_disk(submit(log, make_page("p1"), HEAT)) == [Recorded(0, 1)]
            await on_disk(submit(log, make_page("p2"), WING, HEAT))

    asyncio.run(scenario())
    assert sorted(read_all(tmp_path)["documents"].drop("digest").rows()) == [WING, HEAT]


def test_a_text_that_changed_is_another_document(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            for number, text in enumerate(("flutter", "flutters", "flutter")):
                await on_disk(submit(log, make_page(f"p{number}"), ("d1", "Wing", text)))

    asyncio.run(scenario())
    assert sorted(read_all(tmp_path)["documents"]["text"]) == ["flutter", "flutters"]


def test_recent_documents_forget_what_was_not_met_for_long() -> None:
    def document(number: int) -> Texts:
        return (f"{number:02}", "", "x" * 8)

    recent = RecentDocuments(max_characters=100)  # ten of them
    for number in range(60):
        assert recent.others([document(0)]) == ([document(0)] if number == 0 else [])
        recent.add([document(0), document(number)])
    # Met all the time, or among the last ten.
    assert not recent.others([document(n) for n in (0, *range(51, 60))])
    forgotten = [document(n) for n in range(1, 40)]
    assert recent.others(forgotten) == forgotten


def test_a_page_and_its_documents_are_what_record_page_records(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario(home: Path, record: Callable[[EventLog], Any]) -> dict[str, pl.DataFrame]:
        async with await EventLog.open(home) as log:
            await record(log)
        return read_all(home)

    page = make_page("p1")
    soon = asyncio.run(scenario(tmp_path / "a", lambda log: on_disk(submit(log, page, WING, HEAT))))
    documents = [Document(*WING), Document(*HEAT)]
    now = asyncio.run(scenario(tmp_path / "b", lambda log: log.record_page(page, documents)))
    assert all(soon[frame].equals(now[frame]) for frame in soon)
    assert soon["documents"].height == 2
