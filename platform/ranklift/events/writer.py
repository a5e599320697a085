"""The one thread of a process that writes the journal: many calls, one commit.

Calls that arrive while the disk is busy wait in a queue and go into the next transaction
together, so that the cost of reaching the disk is shared, and a lone call waits for nobody.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from ranklift.events.journal import Journal
from ranklift.events.known import Admitted, Known, Mentions, cutoff
from ranklift.events.pending import Recorded
from ranklift.v1.errors import Overloaded

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A transaction of this many rows takes about 0.2 s; nobody should wait much longer for it.
MAX_GROUP_WEIGHT = 10_000
MAX_WAITING_CALLS = 10_000

# No room, a failing disk, another process that holds the journal: all of it may pass.
_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
}


class Call(Protocol):
    """Something to record, all or none. `weight` is about how many rows it makes."""

    @property
    def weight(self) -> int: ...
    def mention(self, mentions: Mentions) -> None: ...
    def admit(self, known: Known) -> Admitted: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    call: Call
    mentions: Mentions
    future: Future[Recorded]


class Writer:
    """Owns a journal: records calls in groups, and runs jobs between them."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._queue: queue.SimpleQueue[_Waiting | Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = False
        # Nothing may be queued behind the None that ends the thread.
        self._lock = threading.Lock()
        # A daemon: a program that forgets `close` still ends, and what was acknowledged is on disk.
        self._thread = threading.Thread(target=self._run, name="events-writer", daemon=True)
        self._thread.start()

    def submit(self, call: Call) -> Future[Recorded]:
        """Queue `call`; the future is done when the call is on disk or refused.

        Raises:
            Overloaded: too many calls wait already.
        """
        if self._queue.qsize() >= MAX_WAITING_CALLS:
            raise Overloaded.of(
                "", f"{MAX_WAITING_CALLS} calls wait for the disk already; try again later"
            )
        # Here and not in the group: what cannot even be read fails its own caller only.
        mentions = Mentions()
        call.mention(mentions)
        future: Future[Recorded] = Future()
        self._put(_Waiting(call, mentions, future))
        return future

    def run(self, job: Callable[[Journal], T]) -> Future[T]:
        """Queue `job`, which is handed the journal between two groups."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(job(self._journal))
            except Exception as error:
                future.set_exception(error)

        self._put(do)
        return future

    def close(self) -> None:
        """Write what is queued, then close the journal."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join()

    def _put(self, item: _Waiting | Callable[[], None]) -> None:
        with self._lock:
            if self._closing:
                raise RuntimeError("the event log is closed")
            self._queue.put(item)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            # Nobody may wait for a thread that is gone.
            with self._lock:
                self._closing = True
            self._refuse_queued(error)
            raise
        finally:
            self._journal.close()

    def _refuse_queued(self, error: BaseException) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, _Waiting) and item.future.set_running_or_notify_cancel():
                    item.future.set_exception(_refusal(error))

    def _serve(self) -> None:
        closing = False
        while not closing:
            items = self._take()
            closing = items[-1] is None
            group = [
                item
                for item in items
                if isinstance(item, _Waiting) and item.future.set_running_or_notify_cancel()
            ]
            if group:
                self._answer(group)
            for item in items:
                if item is not None and not isinstance(item, _Waiting):
                    item()

    def _take(self) -> list[_Waiting | Callable[[], None] | None]:
        """Wait for an item, and take those that wait behind it too, up to the end or the limit."""
        item = self._queue.get()
        items = [item]
        weight = 0
        with contextlib.suppress(queue.Empty):
            while item is not None:
                weight += item.call.weight if isinstance(item, _Waiting) else 0
                if weight >= MAX_GROUP_WEIGHT:
                    break
                item = self._queue.get_nowait()
                items.append(item)
        return items

    def _answer(self, group: Sequence[_Waiting]) -> None:
        failure: BaseException | None = None
        try:
            outcomes = self._commit(group)
        except BaseException as error:
            failure = error
            outcomes = [_refusal(error) for _ in group]
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Recorded):
                waiting.future.set_result(outcome)
            else:
                waiting.future.set_exception(outcome)
        # Last: the callers have their answer even where the log line cannot be written.
        if failure is not None:
            log.warning("commit_failed", calls=len(group), error=str(failure))
        if failure is not None and not isinstance(failure, Exception):
            raise failure

    def _commit(self, group: Sequence[_Waiting]) -> list[Recorded | Exception]:
        """Judge and write calls in one transaction; a refused call leaves no trace in it."""
        outcomes: list[Recorded | Exception] = []
        mentions = Mentions()
        for waiting in group:
            mentions.add(waiting.mentions)
        now = self._now()
        with self._journal.transaction():
            known = self._journal.look_up(mentions, cutoff(now))
            for waiting in group:
                try:
                    admitted = waiting.call.admit(known)
                except Exception as error:
                    outcomes.append(error)
                else:
                    known.add(admitted.news)
                    self._journal.append(admitted, int(now.timestamp()))
                    outcomes.append(admitted.outcome)
        return outcomes


def _refusal(error: BaseException) -> Exception:
    """Return what the callers of a failed transaction are told."""
    if not isinstance(error, Exception):
        return RuntimeError(f"the event log broke: {error!r}")
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _PASSING:
        return Overloaded.of(
            "", f"nothing was recorded ({error}); make room on the disk, then send it again"
        )
    return error
