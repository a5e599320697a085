"""The event log of one process: recorded means on disk, and once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from ranklift.events.admission import RecordEvents, RecordPage, RecordPageOf
from ranklift.events.compaction import compact, delete_obsolete
from ranklift.events.export import exclusive, move_rows
from ranklift.events.files import EventFiles, LocalFiles, sweep, sync_folder
from ranklift.events.journal import FOLDER_NAME, Chunk, Journal, ParquetFile
from ranklift.events.known import cutoff
from ranklift.events.manifest import Manifest
from ranklift.events.pending import Pending, Recorded
from ranklift.events.places import take_place, was_taken
from ranklift.events.recent import RecentDocuments
from ranklift.events.retention import retain_files
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


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days before today are kept.

    `dropped` is told the first of them (YYYY-MM-DD), again and again: nothing that was made of
    earlier events may stay either.
    """

    days: int
    dropped: Callable[[str], None]


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
        files: EventFiles | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._folder = folder
        self._retention = retention
        self._files = files or LocalFiles(folder)
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
        files: EventFiles | None = None,
        retention: Retention | None = None,
    ) -> Self:
        """Open the log under `home`, and make it when there is none.

        `now` says when something was recorded, which decides how long it takes events. `files` is
        where Parquet files go, if not under the home. Without `retention` all days are kept.

        Raises:
            NotReady: the journal is of another version of ranklift, or no journal.
        """
        folder = home / FOLDER_NAME
        place = files or LocalFiles(folder)
        writer = Writer(await asyncio.to_thread(open_journal, folder, place), now)
        return cls(
            folder,
            writer,
            export_interval=export_interval,
            export_events=export_events,
            now=now,
            files=place,
            retention=retention,
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

    async def record_events(self, events: Sequence[Pending], *, whole: bool = True) -> Recorded:
        """Record clicks and dwells, all or none; they are on disk on return.

        With `whole` false, bad events are `rejected` in the outcome and the others recorded.

        Raises:
            InvalidRequest: an event is malformed, names a document that its page did not show, or
                a dwell outside [0 h, 24 h]; the violations name every bad event.
            NotFound: likewise, and all that is wrong is pages or clicks that are not known.
            Overloaded: the disk is full, or does not keep up.
        """
        call = RecordEvents(tuple(events), whole, self._now(), self._writer.ledger)
        return await self._finish(self._writer.submit(call))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many events ended in which rule (`rules.Rule`) since the log was opened."""
        return self._writer.ledger.totals

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

    async def tidy(self) -> None:
        """Drop old days, merge small files, and delete those that no reader holds any more.

        Raises:
            OSError, sqlite3.OperationalError: no room. Nothing is lost or half done.
        """
        await asyncio.to_thread(self._tidy)

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
            try:
                await self.tidy()
            except Exception:
                # The files are as they were; so is the wish to merge them.
                log.exception("tidying_failed")

    def _export(self) -> None:
        with exclusive(self._folder), contextlib.closing(Journal.open(self._folder)) as journal:
            move_rows(journal, self._files, self._publish)

    def _tidy(self) -> None:
        if self._retention is not None:
            done = retain_files(self._folder, self._files, self._retention.days, self._now)
            self._retention.dropped(done.first)
        compact(
            self._folder,
            self._files,
            self._now,
            run=lambda job: self._writer.run(job).result(),
            stop=lambda: self._closing,
        )
        delete_obsolete(self._folder, self._files, self._now)

    def _publish(self, chunk: Chunk, files: Sequence[ParquetFile]) -> None:
        since = cutoff(self._now())
        # The writer's thread publishes: it never has to compete with itself for the lock.
        self._writer.run(lambda journal: journal.publish(chunk, files, since)).result()


def open_journal(folder: Path, files: EventFiles) -> Journal:
    """Open the journal of an events folder, made when there is none, and sweep its files.

    Raises:
        NotReady: the journal is of another version of ranklift, or no journal; or its files lie
            elsewhere, or those of another log there.
        OSError: no way to the place of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)
    with exclusive(folder):
        journal = Journal.open(folder)
        try:
            take_place(journal, files)
            sweep(files, Manifest(journal).named())
        except OSError as error:
            if not was_taken(journal):
                journal.close()
                raise
            # Events are recorded all the same; exports wait until the storage is back.
            log.warning("files_out_of_reach", url=files.url, error=str(error))
        except BaseException:
            journal.close()
            raise
    return journal
