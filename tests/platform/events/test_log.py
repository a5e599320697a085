"""One log in one process: groups, refusals, room on the disk, time, and the end."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ranklift.events.admission import RecordEvents, RecordPage
from ranklift.events.journal import FILE_NAME, FOLDER_NAME, Journal
from ranklift.events.known import HORIZON
from ranklift.events.log import EventLog, utc_now
from ranklift.events.pending import PendingClick, PendingDwell, Recorded
from ranklift.events.snapshot import read_snapshot
from ranklift.events.values import Document, Page
from ranklift.events.writer import MAX_WAITING_CALLS, Writer
from ranklift.v1.errors import InvalidRequest, NotFound, Overloaded

T0 = datetime(2025, 3, 1, 12, 31, tzinfo=UTC)
MakePage = Callable[..., Page]
ReadAll = Callable[[Path], dict[str, pl.DataFrame]]

start = asyncio.ensure_future


def click(event_id: str, impression_id: str = "p1", document_id: str = "d2") -> PendingClick:
    return PendingClick(event_id, impression_id, document_id, T0)


@contextmanager
def journal_held(home: Path) -> Iterator[None]:
    """Hold the journal as another process does that writes."""
    other = sqlite3.connect(home / FOLDER_NAME / FILE_NAME, isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def log_with(home: Path, writer: Writer) -> EventLog:
    """A log whose writer, and so whose journal, the test keeps a hand on."""
    return EventLog(
        home / FOLDER_NAME,
        writer,
        export_interval=timedelta(hours=1),
        export_events=1_000_000,
        now=utc_now,
    )


@contextmanager
def kept_busy(writer: Writer) -> Iterator[None]:
    """Keep the writer's thread from its queue."""
    release = threading.Event()
    taken = threading.Event()

    def wait(_: Journal) -> None:
        taken.set()
        release.wait(30)

    writer.run(wait)
    taken.wait(30)
    yield
    release.set()


def open_journal(home: Path) -> Journal:
    (home / FOLDER_NAME).mkdir(parents=True)
    return Journal.open(home / FOLDER_NAME)


def test_what_is_recorded_is_read_back(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        async with await EventLog.open(tmp_path) as log:
            await log.record_page(make_page("p1"), [Document("d1", "Wing", "flutter")])
            outcome = await log.record_events(
                [click("c1"), PendingDwell("w1", "c1", 45_000, censored=True)]
            )
            assert outcome == Recorded(2, 0)
            assert read_all(tmp_path)["clicks"].rows() == [("c1", "p1", "d2", 2, T0)]

    asyncio.run(scenario())
    frames = read_all(tmp_path)
    assert frames["pages"]["impression_id"].to_list() == ["p1"]
    assert frames["clicks"].rows() == [("c1", "p1", "d2", 2, T0)]
    assert frames["dwells"].rows() == [("w1", "c1", "p1", "d2", 45_000, True)]
    assert frames["documents"].drop("digest").rows() == [("d1", "Wing", "flutter")]


def test_calls_that_wait_together_are_committed_together_and_judged_apart(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        journal = open_journal(tmp_path)
        writer = Writer(journal, utc_now)
        async with log_with(tmp_path, writer) as log:
            await log.record_page(make_page("p1"), [])
            statements: list[str] = []
            journal.connection.set_trace_callback(statements.append)
            with kept_busy(writer):
                good = [start(log.record_events([click(f"c{i % 8}")])) for i in range(9)]
                bad = start(log.record_events([click("x"), click("y", "nowhere")]))
                worse = start(log.record_page(make_page("p2", scores=(math.nan,)), []))
                worst = start(log.record_page(make_page(None), []))  # the caller's own bug
                page = start(log.record_page(make_page("p3"), []))
                on_it = start(log.record_events([click("z", "p3")]))
                await asyncio.sleep(0)
            assert await asyncio.gather(*good) == [Recorded(1, 0)] * 8 + [Recorded(0, 1)]
            with pytest.raises(NotFound):
                await bad
            with pytest.raises(InvalidRequest):
                await worse
            with pytest.raises(AttributeError):
                await worst
            await page
            assert await on_it == Recorded(1, 0)
            assert statements.count("COMMIT") == 1

    asyncio.run(scenario())
    frames = read_all(tmp_path)
    assert sorted(frames["clicks"]["event_id"]) == [*(f"c{i}" for i in range(8)), "z"]
    assert sorted(frames["pages"]["impression_id"]) == ["p1", "p3"]


def test_pages_and_clicks_take_events_for_the_horizon_and_no_longer(
    tmp_path: Path, make_page: MakePage
) -> None:
    clock = [T0]

    async def scenario() -> None:
        async with await EventLog.open(tmp_path, now=lambda: clock[0]) as log:
            # The page's own time plays no part: a replay sets it as it likes.
            await log.record_page(make_page("p1", page_time=T0 - timedelta(days=400)), [])
            clock[0] = T0 + HORIZON
            assert await log.record_events([click("c1")]) == Recorded(1, 0)
            clock[0] = T0 + HORIZON + timedelta(seconds=1)
            for _ in range(2):
                with pytest.raises(NotFound, match="in the last 7 days"):
                    await log.record_events([click("c2")])
                assert await log.record_events([click("c1")]) == Recorded(0, 1)
                assert await log.record_events([PendingDwell("w1", "c1", 1)])
                await log.export()  # forgets the page, and remembers that it was there
            await log.record_page(make_page("p1"), [])
            with pytest.raises(NotFound):
                await log.record_events([click("c2")])
            clock[0] = T0 + 2 * HORIZON + timedelta(seconds=1)
            with pytest.raises(NotFound, match="no click"):
                await log.record_events([PendingDwell("w2", "c1", 1)])

    asyncio.run(scenario())


def test_a_full_disk_refuses_whole_calls_and_is_forgotten_when_there_is_room(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    recorded: list[str] = []

    async def fill(log: EventLog) -> None:
        for number in range(1_000):
            await log.record_page(make_page(f"p{number}", query="x" * 2_000), [])
            recorded.append(f"p{number}")

    async def scenario() -> None:
        journal = open_journal(tmp_path)
        journal.connection.execute("PRAGMA max_page_count = 200")
        writer = Writer(journal, utc_now)
        async with log_with(tmp_path, writer) as log:
            with pytest.raises(Overloaded, match="full"):
                await fill(log)
            batch = [click(f"c{i}", f"p{i % 40}") for i in range(2_000)]
            with pytest.raises(Overloaded):
                await log.record_events(batch)
            assert read_all(tmp_path)["clicks"].is_empty()
            writer.run(lambda j: j.connection.execute("PRAGMA max_page_count = 1000000")).result()
            assert await log.record_events(batch) == Recorded(2_000, 0)

    asyncio.run(scenario())
    assert len(recorded) > 50
    assert read_all(tmp_path)["pages"]["impression_id"].to_list() == recorded
    assert read_all(tmp_path)["clicks"].height == 2_000


def test_a_journal_that_another_process_holds_is_not_waited_for_without_end(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario() -> None:
        journal = open_journal(tmp_path)
        journal.connection.execute("PRAGMA busy_timeout = 20")
        async with log_with(tmp_path, Writer(journal, utc_now)) as log:
            with journal_held(tmp_path), pytest.raises(Overloaded, match="locked"):
                await log.record_page(make_page("p1"), [])
            await log.record_page(make_page("p1"), [])

    asyncio.run(scenario())


def test_calls_beyond_what_may_wait_are_refused(tmp_path: Path, make_page: MakePage) -> None:
    async def scenario() -> None:
        writer = Writer(open_journal(tmp_path), utc_now)
        async with log_with(tmp_path, writer) as log:
            with kept_busy(writer):
                calls = [
                    start(log.record_page(make_page("p1"), []))
                    for _ in range(MAX_WAITING_CALLS + 7)
                ]
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            refused = [outcome for outcome in outcomes if outcome is not None]
            assert [type(outcome) for outcome in refused] == [Overloaded] * 7
            assert await log.record_events([click("c2")]) == Recorded(1, 0)

    asyncio.run(scenario())


def test_who_was_answered_finds_room_to_call_again(tmp_path: Path, make_page: MakePage) -> None:
    """Also at the very moment of the answer, which the writer's thread gives."""

    async def scenario() -> None:
        writer = Writer(open_journal(tmp_path), utc_now)
        async with log_with(tmp_path, writer):
            again: list[object] = []

            def call_again(_: Future[Recorded]) -> None:
                again.append(writer.submit(RecordEvents((click("c2"),))))

            with kept_busy(writer):
                page = RecordPage(make_page("p1"), ())
                first = writer.submit(page)
                first.add_done_callback(call_again)
                for _ in range(MAX_WAITING_CALLS - 1):
                    writer.submit(page)
            await asyncio.wrap_future(first)
            await asyncio.to_thread(writer.run(lambda _: None).result)
            assert len(again) == 1  # the callback's own error would only be logged

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_writer_that_broke(tmp_path: Path, make_page: MakePage) -> None:
    def broken_clock() -> datetime:
        raise SystemExit("not even an Exception")

    async def scenario() -> None:
        log = log_with(tmp_path, Writer(open_journal(tmp_path), broken_clock))
        with pytest.raises(RuntimeError, match="broke"):
            async with asyncio.timeout(10):
                await log.record_page(make_page("p1"), [])
        with pytest.raises(RuntimeError, match=r"broke|closed"):  # whichever comes first
            await log.record_page(make_page("p2"), [])
        await log.close()

    asyncio.run(scenario())


def test_closing_writes_what_was_queued_and_ends_the_log(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        log = await EventLog.open(tmp_path)
        calls = [start(log.record_page(make_page(f"p{i}"), [])) for i in range(50)]
        await asyncio.sleep(0)
        await log.close()
        await asyncio.gather(*calls)
        await log.close()
        with pytest.raises(RuntimeError, match="closed"):
            await log.record_page(make_page("late"), [])

    asyncio.run(scenario())
    assert read_all(tmp_path)["pages"].height == 50


def test_a_caller_that_gave_up_disturbs_nobody(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario() -> None:
        writer = Writer(open_journal(tmp_path), utc_now)
        async with log_with(tmp_path, writer) as log:
            with kept_busy(writer):
                calls = [start(log.record_page(make_page(f"p{i}"), [])) for i in range(20)]
                await asyncio.sleep(0)
                for call in calls[::2]:
                    call.cancel()
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                await asyncio.gather(*calls[1::2])
                await log.record_page(make_page("after"), [])

    asyncio.run(scenario())
    pages = sorted(read_all(tmp_path)["pages"]["impression_id"])
    assert pages == sorted(["after", *(f"p{i}" for i in range(1, 20, 2))])


@pytest.mark.parametrize(
    ("interval", "events"),
    [
        pytest.param(timedelta(hours=1), 3, id="after so many events"),
        pytest.param(timedelta(milliseconds=10), 1_000_000, id="after so much time"),
    ],
)
def test_the_log_exports_by_itself(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll, interval: timedelta, events: int
) -> None:
    async def scenario() -> None:
        async with (
            await EventLog.open(tmp_path, export_interval=interval, export_events=events) as log,
            asyncio.timeout(10),
        ):
            await log.record_page(make_page("p1"), [])
            await log.record_events([click("c1"), click("c2")])
            while read_snapshot(tmp_path / FOLDER_NAME).rows:
                await asyncio.sleep(0.005)

    asyncio.run(scenario())
    assert read_all(tmp_path)["clicks"].height == 2
