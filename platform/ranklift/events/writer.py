"""The one thread of a process that writes the journal: many calls, one commit.

Calls that arrive while the disk is busy wait in a queue and go into the next transaction
together, so that the cost of reaching the disk is shared, and a lone call waits for nobody. Where
nobody waits for the call either, it waits for company.
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
from ranklift.events.ledger import Ledger
from ranklift.events.pending import Recorded
from ranklift.events.rows import Row
from ranklift.v1.errors import Overloaded

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A transaction of this many rows takes about 0.2 s; nobody should wait much longer for it.
MAX_GROUP_WEIGHT = 10_000
MAX_WAITING_CALLS = 10_000
# Nobody waits for most pages, so their callers do not bound them: at 500 pages of 30 KB a second
# this is a disk that hangs for 8 s.
MAX_WAITING_BYTES = 128 * 1024 * 1024
# How long a call that nobody waits for waits for others. A transaction costs as much as the page
# in it; pages are to be on disk within 100 ms, and a full group takes a part of that.
PATIENCE_SECONDS = 0.02

# No room, a failing disk, another process that holds the journal: all of it may pass.
_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
}


class Call(Protocol):
    """Something to record, all or none.

    `weight` is about how many rows it makes, `size` about how many bytes it holds meanwhile.
    """

    @property
    def weight(self) -> int: ...
    @property
    def size(self) -> int: ...
    def mention(self, mentions: Mentions) -> None: ...
    def admit(self, known: Known) -> Admitted: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    call: Call
    size: int
    future: Future[Recorded]


class Writer:
    """Owns a journal: records calls in groups, and runs jobs between them."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self.ledger = Ledger()
        self._queue: queue.SimpleQueue[_Waiting | Callable[[], None] | None] = queue.SimpleQueue()
        # Set while something is queued that somebody waits for.
        self._urgent = threading.Event()
        self._waiting_calls = 0
        self._waiting_bytes = 0
        self._closing = False
        # Nothing may be queued behind the None that ends the thread; also guards the two sums.
        self._lock = threading.Lock()
        # A daemon: a program that forgets `close` still ends, and what was acknowledged is on disk.
        self._thread = threading.Thread(target=self._run, name="events-writer", daemon=True)
        self._thread.start()

    def submit(self, call: Call, *, urgent: bool = True) -> Future[Recorded]:
        """Queue `call`; the future is done when the call is on disk or refused.

        A call that is not `urgent` may be kept for `PATIENCE_SECONDS` before it is looked at, but
        never longer than an urgent one behind it.

        Raises:
            Overloaded: too many calls wait already.
        """
        waiting = _Waiting(call, call.size, Future())
        with self._lock:
            calls, held = self._waiting_calls + 1, self._waiting_bytes + waiting.size
            # A lone call is taken whatever it holds.
            if calls > MAX_WAITING_CALLS or (calls > 1 and held > MAX_WAITING_BYTES):
                raise Overloaded.of(
                    "", f"{calls - 1} calls wait for the disk already; try again later"
                )
            self._put(waiting, urgent)
            self._waiting_calls, self._waiting_bytes = calls, held
        return waiting.future

    def run(self, job: Callable[[Journal], T]) -> Future[T]:
        """Queue `job`, which is handed the journal between two groups."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(job(self._journal))
            except Exception as error:
                future.set_exception(error)

        with self._lock:
            self._put(do)
        return future

    def close(self) -> None:
        """Write what is queued, then close the journal."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
                self._urgent.set()
        self._thread.join()

    def _put(self, item: _Waiting | Callable[[], None], urgent: bool = True) -> None:
        if self._closing:
            raise RuntimeError("the event log is closed")
        self._queue.put(item)
        if urgent:
            self._urgent.set()

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
            taken = [item for item in items if isinstance(item, _Waiting)]
            group = [one for one in taken if one.future.set_running_or_notify_cancel()]
            outcomes, failure = self._decide(group)
            # Before anybody is answered: who has an answer and calls again finds room.
            with self._lock:
                self._waiting_calls -= len(taken)
                self._waiting_bytes -= sum(waiting.size for waiting in taken)
            _answer(group, outcomes, failure)
            for item in items:
                if item is not None and not isinstance(item, _Waiting):
                    item()

    def _take(self) -> list[_Waiting | Callable[[], None] | None]:
        """Wait for an item, and take those that wait behind it too, up to the end or the limit."""
        item = self._queue.get()
        self._urgent.wait(PATIENCE_SECONDS)
        # Before the queue is emptied: what comes later sets it again.
        self._urgent.clear()
        items = [item]
        weight = 0
        with contextlib.suppress(queue.Empty):
            while item is not None:
                weight += item.call.weight if isinstance(item, _Waiting) else 0
                if weight >= MAX_GROUP_WEIGHT:
                    self._urgent.set()  # somebody may wait for what is left
                    break
                item = self._queue.get_nowait()
                items.append(item)
        return items

    def _decide(
        self, group: Sequence[_Waiting]
    ) -> tuple[Sequence[Recorded | Exception], BaseException | None]:
        """Return what each caller is told, and what kept the whole group off the disk, if any."""
        if not group:
            return (), None
        try:
            return self._commit(group), None
        except BaseException as error:
            return [_refusal(error) for _ in group], error

    def _commit(self, group: Sequence[_Waiting]) -> list[Recorded | Exception]:
        """Judge and write calls in one transaction; a refused call leaves no trace in it."""
        outcomes: list[Recorded | Exception] = []
        mentions = Mentions()
        unreadable: dict[int, Exception] = {}
        for i, waiting in enumerate(group):
            try:
                waiting.call.mention(mentions)
            except Exception as error:
                unreadable[i] = error
        now = self._now()
        news, rows = Known(), list[Row]()
        self.ledger.begin()
        with self._journal.transaction():
            known = self._journal.look_up(mentions, cutoff(now))
            for i, waiting in enumerate(group):
                if i in unreadable:
                    outcomes.append(unreadable[i])
                    continue
                try:
                    admitted = waiting.call.admit(known)
                except Exception as error:
                    outcomes.append(error)
                else:
                    known.add(admitted.news)
                    news.add(admitted.news)
                    rows += admitted.rows
                    outcomes.append(admitted.outcome)
            self._journal.append(news, rows, int(now.timestamp()))
            self.ledger.write(self._journal.connection, now)
        self.ledger.committed()
        return outcomes


def _answer(
    group: Sequence[_Waiting],
    outcomes: Sequence[Recorded | Exception],
    failure: BaseException | None,
) -> None:
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


def _refusal(error: BaseException) -> Exception:
    """Return what the callers of a failed transaction are told."""
    if not isinstance(error, Exception):
        return RuntimeError(f"the event log broke: {error!r}")
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _PASSING:
        return Overloaded.of(
            "", f"nothing was recorded ({error}); make room on the disk, then send it again"
        )
    return error
