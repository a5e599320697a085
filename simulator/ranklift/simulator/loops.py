"""Two ways to send pages: as fast as so many clients can, or on a schedule, come what may.

`closed` is for whoever wants a log: clients that wait for each answer. `open_` is a load: every
page goes out when it is due, however many are in flight. In both a user's next page waits for the
answer to the one before it, which may decide what it is.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ranklift.simulator.punctuality import Send, Why
from ranklift.simulator.turns import Turn


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a page: the user's next one, and what is left to do when that is known."""

    answered: bool
    following: Turn | None
    afterwards: Callable[[], Awaitable[None]]


Play = Callable[[Turn], Awaitable[Played]]


async def closed(first: list[Turn], play: Play, clients: int) -> list[float]:
    """Play all pages, always the earliest that may be asked for; return the seconds of the answers.

    Raises:
        ExceptionGroup: what `play` raised.
    """
    waiting = [(turn.time_us, turn.user, turn) for turn in first]
    heapq.heapify(waiting)
    unfinished = len(waiting)  # pages waiting or under way
    changed = asyncio.Condition()
    seconds: list[float] = []
    clock = asyncio.get_running_loop().time

    def ready() -> bool:
        return bool(waiting) or not unfinished

    async def client() -> None:
        nonlocal unfinished
        while True:
            async with changed:
                await changed.wait_for(ready)
                if not waiting:
                    return
                turn = heapq.heappop(waiting)[2]
            sent = clock()
            played = await play(turn)
            if played.answered:
                seconds.append(clock() - sent)
            async with changed:
                if played.following is None:
                    unfinished -= 1
                    if not unfinished:
                        changed.notify_all()
                else:
                    following = played.following
                    heapq.heappush(waiting, (following.time_us, following.user, following))
                    changed.notify()
            await played.afterwards()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return seconds


# Sends that are due at once would be late by whatever it takes to set them up.
_LEAD_SECONDS = 0.05


async def open_(
    first: list[Turn], play: Play, due_of: Callable[[list[int]], list[float]], in_flight: int
) -> list[Send]:
    """Play every page when it is due, with at most `in_flight` calls at a time.

    `due_of` says when pages at these times, in microseconds since 1970, are due, in seconds.

    A page that becomes due while its user, or a call, is awaited goes out as soon as that is over.

    Raises:
        ExceptionGroup: what `play` raised.
    """
    sends: list[Send] = []
    if not first:
        return sends
    loop = asyncio.get_running_loop()
    begin = loop.time() + _LEAD_SECONDS
    room = asyncio.Semaphore(in_flight)
    over = asyncio.Event()
    unfinished = len(first)  # pages waiting for their time or under way

    async with asyncio.TaskGroup() as group:

        async def send(turn: Turn, due: float, why: Why) -> None:
            nonlocal unfinished
            if room.locked():
                why = Why.ROOM
            async with room:
                sent = loop.time() - begin
                played = await play(turn)
                now = loop.time() - begin
            sends.append(Send(due, sent, now if played.answered else float("nan"), why))
            if played.following is None:
                unfinished -= 1
                if not unfinished:
                    over.set()
            else:
                (due,) = due_of([played.following.time_us])
                plan(played.following, due, Why.USER if due <= now else Why.NOTHING)
            await played.afterwards()

        def plan(turn: Turn, due: float, why: Why) -> None:
            loop.call_at(begin + due, start, turn, due, why)

        def start(turn: Turn, due: float, why: Why) -> None:
            if not over.is_set():
                group.create_task(send(turn, due, why))

        dues = due_of([turn.time_us for turn in first])
        for turn, due in zip(first, dues, strict=True):
            plan(turn, due, Why.NOTHING)
        try:
            await over.wait()
        finally:
            over.set()  # on an error timers are left; none may start a page any more
    return sends
