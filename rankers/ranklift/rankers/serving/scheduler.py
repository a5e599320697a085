"""The asyncio face of scoring: requests in, batches through worker threads, scores out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ranklift.rankers.base import Ranker, SizedP, Values
from ranklift.rankers.serving.admission import check_room, check_time
from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.queue import Batch, Job, Part, Queue, key_of
from ranklift.rankers.serving.telemetry import BatchObserver
from ranklift.v1.errors import Expired, RequestError

Outcome: TypeAlias = Values | Exception

# A batch is not split for an idle worker into less: its fixed costs would be most of it.
LEAST_SHARE = 128


@dataclass(frozen=True, slots=True)
class Answered:
    """Scores in the order of the pairs, shape (pairs,), and where the time went.

    `inference_seconds` is what the batches took that held pairs of the request,
    `queue_seconds` the wait before and between them.
    """

    values: Values
    queue_seconds: float
    inference_seconds: float


@dataclass(slots=True, eq=False)
class _Call(Job):
    """A job with somebody who waits for it."""

    values: Values = field(default_factory=lambda: np.empty(0))
    missing: int = 0
    inference_seconds: float = 0.0
    done: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue, held while a request is being tokenised."""

    call: _Call


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    batch: Batch[_Call]
    ends: float  # as forecast, `time.perf_counter`


class Scheduler:
    """Scores the pairs of many requests on a few worker threads. It belongs to one event loop.

    The workers are for all models of a process. No worker waits for a batch to
    fill, and what there is is split among those that are idle. Forecasts are of
    all workers together. `observers` are told of each batch that ended.
    """

    def __init__(
        self, options: ServingOptions | None = None, observers: Sequence[BatchObserver] = ()
    ) -> None:
        self._options = options or ServingOptions()
        self._observers = tuple(observers)
        self._queue: Queue[_Call] = Queue()
        self._running: list[_Running] = []
        self._workers = ThreadPoolExecutor(self._options.workers, thread_name_prefix="scoring")

    @property
    def queued_tokens(self) -> int:
        """The tokens that wait, without the batches under way."""
        return sum(job.tokens for job in self._queue)

    def admit(self, cost: CostModel, tokens: int, expires: float | None) -> None:
        """Refuse a request of about `tokens` that cannot be answered by `expires`.

        `expires` is of `time.perf_counter`, None without a deadline.

        Raises:
            Overloaded: the predicted finish is past `expires`, or the queue is full.
            InvalidRequest: the request is larger than the whole queue.
        """
        self._check(self._new(cost, tokens, expires))

    @contextmanager
    def reserve(self, cost: CostModel, tokens: int, expires: float | None) -> Iterator[Place]:
        """`admit` a request and hold its place until it is scored or given up.

        Raises:
            Overloaded, InvalidRequest: as `admit`.
        """
        call = self._new(cost, tokens, expires)
        self._check(call)
        self._queue.add(call)
        try:
            yield Place(call)
        finally:
            self._queue.discard(call)

    async def score(
        self,
        ranker: Ranker[SizedP],
        cost: CostModel,
        pairs: Sequence[SizedP],
        expires: float | None,
        place: Place | None = None,
    ) -> Answered:
        """Return the scores of `pairs`.

        With a `place` that was reserved for them, its deadline holds.

        Raises:
            Overloaded, InvalidRequest: as `admit`, now that the tokens are known.
            Expired: `expires` passed.
            NotFinite: a score is not finite.
        """
        call = place.call if place else self._new(cost, 0, expires)
        self._queue.discard(call)
        call.model = ranker
        call.give(pairs)
        self._check(call, margin=place is None)
        return await self._scored(call)

    async def warm(self, ranker: Ranker[SizedP], cost: CostModel, pairs: Sequence[SizedP]) -> None:
        """Score `pairs` for the sake of `cost`, however full the queue is."""
        call = self._new(cost, 0, None)
        call.model = ranker
        call.give(pairs)
        await self._scored(call)

    def _new(self, cost: CostModel, tokens: int, expires: float | None) -> _Call:
        ends = math.inf if expires is None else expires
        key = key_of(time.perf_counter(), ends, self._options.patience_seconds)
        return _Call(model=None, cost=cost, key=key, expires=ends, tokens=tokens)

    def _check(self, call: _Call, margin: bool = True) -> None:
        now = time.perf_counter()
        if call.expires <= now:
            raise _expired()
        check_room(self._queue, call, self._options.queue_tokens)
        left = sum(max(running.ends - now, 0.0) for running in self._running)
        busy = left / self._options.workers
        check_time(self._queue, call, now=now, busy=busy, margin=margin)

    async def _scored(self, call: _Call) -> Answered:
        if not call.pairs:
            return Answered(np.empty(0), 0.0, 0.0)
        call.values = np.empty(len(call.pairs))
        call.missing = len(call.pairs)
        call.done = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._queue.add(call)
        self._next()
        try:
            await call.done
        finally:
            self._queue.discard(call)  # the caller may have gone
        ended = time.perf_counter()
        if ended >= call.expires:
            raise _expired()
        spent = call.inference_seconds
        return Answered(call.values, max(ended - began - spent, 0.0), spent)

    def _next(self) -> None:
        """Give each idle worker a batch, as long as there are any."""
        workers = self._options.workers
        while idle := workers - len(self._running):
            now = time.perf_counter()
            for late in self._queue.drop_late(now):
                _fail(late, _expired())
            share = max(-(-self._queue.ready // idle), LEAST_SHARE)
            batch = self._queue.take(now, min(self._options.batch_tokens, share), workers)
            if batch is None:
                return
            self._start(batch, now)

    def _start(self, batch: Batch[_Call], now: float) -> None:
        first = batch.parts[0].job
        ends = now + first.cost.seconds(batch.tokens) * self._options.workers
        running = _Running(batch, ends)
        self._running.append(running)
        ranker: Any = first.model
        parts = [[part.job.pairs[i] for i in part.positions] for part in batch.parts]
        loop = asyncio.get_running_loop()
        self._workers.submit(_timed_scores, ranker, parts).add_done_callback(
            lambda future: _call_soon(loop, self._ended, running, future)
        )

    def _ended(self, running: _Running, future: Future[tuple[list[Outcome], float]]) -> None:
        self._running.remove(running)
        batch = running.batch
        outcomes, seconds = future.result()
        if not any(isinstance(outcome, Exception) for outcome in outcomes):
            # The others scored as much meanwhile, or could have.
            share = seconds / self._options.workers
            batch.parts[0].job.cost.observe(batch.tokens, share)
        for observe in self._observers:
            observe(batch.tokens, seconds)
        for part, outcome in zip(batch.parts, outcomes, strict=True):
            self._deliver(part, outcome, seconds)
        self._next()

    def _deliver(self, part: Part[_Call], outcome: Outcome, seconds: float) -> None:
        call = part.job
        if isinstance(outcome, Exception):
            self._queue.discard(call)
            _fail(call, outcome)
            return
        call.values[list(part.positions)] = outcome
        call.inference_seconds += seconds
        call.missing -= len(part.positions)
        if not call.missing and call.done and not call.done.done():
            call.done.set_result(None)


def _timed_scores(
    ranker: Ranker[Any], parts: Sequence[Sequence[Any]]
) -> tuple[list[Outcome], float]:
    began = time.perf_counter()
    outcomes = _scores(ranker, parts)
    return outcomes, time.perf_counter() - began


def _scores(ranker: Ranker[Any], parts: Sequence[Sequence[Any]]) -> list[Outcome]:
    """Return the scores of each part. One that fails is told apart by scoring each by itself."""
    try:
        pairs = [pair for part in parts for pair in part]
        values = ranker.scores(pairs)
        if len(values) != len(pairs):
            raise ValueError(f"{len(values)} scores of {len(pairs)} pairs")
    except Exception as error:  # whatever it is, only the request at fault gets it
        if len(parts) == 1:
            return [error]
        return [outcome for part in parts for outcome in _scores(ranker, [part])]
    ends = np.cumsum([len(part) for part in parts])
    return list(np.split(values, ends[:-1]))


def _fail(call: _Call, error: Exception) -> None:
    if call.done and not call.done.done():
        call.done.set_exception(error)


def _expired() -> RequestError:
    return Expired.of("", "the deadline passed before the scores were there")


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Any, *arguments: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(callback, *arguments)
