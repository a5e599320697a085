"""The event log of one process: recorded means on disk, and once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from ranklift.events.admission import RecordEvents, RecordPage, RecordPageOf
from ranklift.events.export import CHUNK_CHARACTERS, CHUNK_ROWS, exclusive, sweep, write_files
from ranklift.events.journal import FOLDER_NAME, Chunk, Journal, ParquetFile, sync_folder
from ranklift.events.known import cutoff
from ranklift.events.pending import Pending, Recorded
from ranklift.events.recent import RecentDocuments
from ranklift.events.shadow_calls import RecordShadow
from ranklift.events.values import Document, Page, ShadowScores
from ranklift.events.writer import Writer
from ranklift.v1.requests import Texts

log = structlog.get_logger(__name__)

EXPORT_INTERVAL = timedelta(seconds=60)
EXPORT_EVENTS = 50_000


def utc_now() -> datetime:
    """Return the server's clock."""
    return datetime.now(UTC)


class EventLog:
    """Records pages and events of one home; any number of processes may have it open.

    Recording goes to the journal. Every `export_interval`, or after `export_events` pages and
    events, the journal's rows move to Parquet, which changes nothing of what readers see.
    """

    def __init__(
        self,
        folder: Path,
        writer: Writer,
        *,
        export_interval: timedelta,
        export_events: int,
        now: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._writer = writer
        self._export_interval = export_interval
        self._export_events = export_events
        self._now = now
        self._recent = RecentDocuments()
        self._recorded_since_export = 0
        self._export_due = asyncio.Event()
        self._closing = False
        self._exporter = asyncio.create_task(self._export_when_due())

    @classmethod
    async def open(
        cls,
        home: Path,
        *,
        export_interval: timedelta = EXPORT_INTERVAL,
        export_events: int = EXPORT_EVENTS,
        now: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Open the log under `home`, and make it when there is none.

        `now` says when something was recorded, which decides how long it takes events.

        Raises:
            NotReady: the journal is of another version of ranklift, or no journal.
        """
        folder = home / FOLDER_NAME
        writer = Writer(await asyncio.to_thread(_open_journal, folder), now)
        return cls(
            folder,
            writer,
            export_interval=export_interval,
            export_events=export_events,
            now=now,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def record_page(self, page: Page, documents: Sequence[Document]) -> None:
        """Record a page and the documents offered for it; they are on disk on return.

        A page whose `impression_id` was recorded before changes nothing.

        Raises:
            InvalidRequest: a number that is not finite, or text that is not Unicode.
            Overloaded: the disk is full, or does not keep up.
        """
        await self._finish(self._writer.submit(RecordPage(page, tuple(documents))))

    def submit_page(
        self,
        make: Callable[[], tuple[Page, Sequence[Texts]]],
        *,
        documents: int,
        size: int,
        urgent: bool,
    ) -> Future[Recorded]:
        """Queue the page that `make` returns, and its `documents` documents, about `size` bytes.

        `make` is called when the event loop gets to it, or by the writer's thread. Events that are
        recorded after this call find the page. The future is done when the page is on disk, which
        takes some 20 ms longer when it is not `urgent`; it raises as `record_page`.

        Raises:
            Overloaded: the disk does not keep up; nothing is queued.
            RuntimeError: the log is closed, or its writer broke.
        """
        call = RecordPageOf(make, 1 + documents, size, self._recent)
        future = self._writer.submit(call, urgent=urgent)
        future.add_done_callback(call.settle)
        if not urgent:
            # Piecemeal, and before the writer needs it: while its thread computes for a whole
            # group, this one waits for the interpreter.
            asyncio.get_running_loop().call_soon(call.prepare)
        self._count(1)
        return future

    def submit_shadow(self, shadow: ShadowScores) -> Future[Recorded]:
        """Queue what a shadow scored on a page that was submitted before; done when on disk.

        The future raises NotFound when the page was not recorded; otherwise as `record_page`.

        Raises:
            Overloaded: the disk does not keep up; nothing is queued.
            RuntimeError: the log is closed, or its writer broke.
        """
        future = self._writer.submit(RecordShadow(shadow), urgent=False)
        self._count(1)
        return future

    async def record_events(self, events: Sequence[Pending]) -> Recorded:
        """Record clicks and dwells, all or none; they are on disk on return.

        Raises:
            InvalidRequest: an event is malformed, names a document that its page did not show, or
                a dwell outside [0 h, 24 h]; the violations name every bad event.
            NotFound: likewise, and all that is wrong is pages or clicks that are not known.
            Overloaded: the disk is full, or does not keep up.
        """
        return await self._finish(self._writer.submit(RecordEvents(tuple(events))))

    def flush(self) -> None:
        """Wait until what was taken before the call is on disk. Blocks: not for the event loop."""
        self._writer.run(lambda _: None).result()

    async def export(self) -> None:
        """Move what was recorded before the call from the journal to Parquet.

        Raises:
            OSError, sqlite3.OperationalError: no room. Nothing is lost, it stays in the journal.
        """
        self._recorded_since_export = 0
        await asyncio.to_thread(self._export)

    async def close(self) -> None:
        """Wait until everything is on disk, then release the files. Safe to call twice."""
        self._closing = True
        self._export_due.set()
        await self._exporter
        await asyncio.to_thread(self._writer.close)

    async def _finish(self, future: Future[Recorded]) -> Recorded:
        outcome = await asyncio.wrap_future(future)
        self._count(outcome.recorded)
        return outcome

    def _count(self, recorded: int) -> None:
        self._recorded_since_export += recorded
        if self._recorded_since_export >= self._export_events:
            self._export_due.set()

    async def _export_when_due(self) -> None:
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._export_interval.total_seconds()):
                    await self._export_due.wait()
            if self._closing:
                return
            self._export_due.clear()
            try:
                await self.export()
            except Exception:
                # The rows are safe in the journal; the next export takes them along.
                log.exception("export_failed")

    def _export(self) -> None:
        with exclusive(self._folder), contextlib.closing(Journal.open(self._folder)) as journal:
            last = journal.last_seq()
            while chunk := journal.oldest(last, CHUNK_ROWS, CHUNK_CHARACTERS):
                files = write_files(self._folder, chunk)
                # The writer's thread publishes: it never has to compete with itself for the lock.
                self._writer.run(self._publication(chunk, files)).result()

    def _publication(self, chunk: Chunk, files: Sequence[ParquetFile]) -> Callable[[Journal], None]:
        return lambda journal: journal.publish(chunk, files, cutoff(self._now()))


def _open_journal(folder: Path) -> Journal:
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)
    with exclusive(folder):
        journal = Journal.open(folder)
        sweep(folder, journal.files())
    return journal
