"""Ask an endpoint, at given times or as fast as a number of clients gets answers.

The clock is the event loop's. Everything is bounded: the time, the requests, and how many of them
are under way at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Protocol

from ranklift.rankers.bench.outcomes import NOT_SENT, Outcome, Reply, Window

MAX_UNDER_WAY = 512
MAX_REQUESTS = 1_000_000
TIMEOUT_SECONDS = 60.0  # of requests without a deadline: whatever happens, a window comes to an end
REFUSED_PAUSE_SECONDS = 0.01  # a refused client that asks again at once would be a flood


class Endpoint(Protocol):
    """A server that ranks, with the questions it is to be asked."""

    async def ask(self, number: int, timeout: float) -> Reply:
        """Ask question `number`, counted round; what goes wrong within `timeout` is a status."""

    def pairs(self, number: int) -> int:
        """How many documents that question has."""


async def open_loop(
    endpoint: Endpoint,
    times: Sequence[float],
    seconds: float,
    *,
    first: int = 0,
    deadline_seconds: float | None = None,
    under_way: int = MAX_UNDER_WAY,
) -> Window:
    """Ask at `times`, in order and within `seconds` from now, however long answers take.

    At `under_way` open requests the next ones are sent late; their latency counts from when they
    were due all the same, and so does their deadline.
    """
    clock = asyncio.get_running_loop().time
    room = asyncio.Semaphore(under_way)
    outcomes: list[Outcome] = []
    started = clock()

    async def one(number: int, intended: float) -> None:
        try:
            outcomes.append(await _ask(endpoint, number, intended, deadline_seconds))
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        for number, after in enumerate(times, start=first):
            intended = started + after
            if (wait := intended - clock()) > 0:
                await asyncio.sleep(wait)
            await room.acquire()
            group.create_task(one(number, intended))
    return Window(started, seconds, tuple(outcomes))


async def closed_loop(
    endpoint: Endpoint,
    clients: int,
    seconds: float,
    *,
    first: int = 0,
    deadline_seconds: float | None = None,
) -> Window:
    """Let `clients` ask for `seconds`, each one question after the other.

    A slow server is asked less often, so this measures throughput; latencies are those that these
    clients saw, and no others would.
    """
    clock = asyncio.get_running_loop().time
    numbers = itertools.islice(itertools.count(first), MAX_REQUESTS)
    outcomes: list[Outcome] = []
    started = clock()

    async def client() -> None:
        while (now := clock()) < started + seconds:
            number = next(numbers, None)
            if number is None:
                return
            outcome = await _ask(endpoint, number, now, deadline_seconds)
            outcomes.append(outcome)
            if not outcome.reply.answered:
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return Window(started, seconds, tuple(outcomes))


async def _ask(
    endpoint: Endpoint, number: int, intended: float, deadline_seconds: float | None
) -> Outcome:
    clock = asyncio.get_running_loop().time
    sent = clock()
    left = TIMEOUT_SECONDS if deadline_seconds is None else intended + deadline_seconds - sent
    reply = await endpoint.ask(number, left) if left > 0 else Reply(NOT_SENT)
    return Outcome(intended, sent, clock(), endpoint.pairs(number), reply)
