"""A whole world played through real services over gRPC.

Closed, as fast as so many clients can, or open, on a schedule, whatever the services do. What users
do with the ranking that came back is `behave`, the same as in a vectorised run, and goes to the
EventService in batches. All ids are stable, so a repeated replay records nothing twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import numpy as np

from ranklift.simulator.event_sender import EventSender
from ranklift.simulator.loops import Played, closed, open_
from ranklift.simulator.page_calls import PageCalls
from ranklift.simulator.punctuality import (
    LATE_AFTER_MS,
    Punctuality,
    Spread,
    punctuality,
    spread,
)
from ranklift.simulator.schedule import Schedule, start_us
from ranklift.simulator.turns import Turn, turns_of
from ranklift.simulator.world import World
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import InvalidRequest, RequestError

Progress = Callable[[int, int], None]  # pages done, pages known
IN_FLIGHT = 1_000


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a replay.

    `pages` came back with a ranking; `failed_calls` did not, by gRPC status in
    `failures`. `fallback_pages` were ranked by another ranker than the arm's.
    `unrecorded_pages` came back without an impression id, so that nothing done
    on them could be sent; their clicks are not in `clicks`. `latency` is of
    the calls that came back, from when they were sent; `punctuality` is of a
    replay on a schedule.
    """

    pages: int
    failed_calls: int
    fallback_pages: int
    unrecorded_pages: int
    clicks: int
    dwells: int
    latency: Spread
    seconds: float
    failures: Mapping[str, int]
    punctuality: Punctuality | None = None


async def replay(
    world: World,
    *,
    ranking_address: str,
    event_address: str,
    concurrency: int = 32,
    deadline_seconds: float = 2.0,
    progress: Progress | None = None,
    credentials: Credentials = IN_THE_CLEAR,
) -> ReplayResult:
    """Play the world through the services at two addresses ("host:port"; may be the same).

    Pages go out in the order of their times, `concurrency` at once, but a
    user's next page waits for the one before it. A ranking call that fails is
    counted, and its user sees no page. Recording events is tried again while
    the service is away for a few seconds. `progress` is called after every page.

    Raises:
        Unreachable: the EventService stayed away.
        InvalidRequest: `concurrency` or `deadline_seconds` is not positive, the
            EventService refused events, or a ranking holds an unknown document.
    """
    _check_positive(concurrency=concurrency, deadline_seconds=deadline_seconds)
    started = time.perf_counter()
    async with _run(
        world, ranking_address, event_address, deadline_seconds, progress, credentials
    ) as run:
        seconds = await closed(run.turns.first(), run.play, concurrency)
    return run.result(spread([1_000 * each for each in seconds]), started)


async def replay_on_schedule(
    world: World,
    schedule: Schedule,
    *,
    ranking_address: str,
    event_address: str,
    in_flight: int = IN_FLIGHT,
    late_after_ms: float = LATE_AFTER_MS,
    deadline_seconds: float = 2.0,
    progress: Progress | None = None,
    credentials: Credentials = IN_THE_CLEAR,
) -> ReplayResult:
    """Play the world as `replay` does, every page when `schedule` says, whatever is in flight.

    A page that is due before its user has the answer to the one before, or while `in_flight` calls
    are under way, goes out as soon as that is over. Latency counts from when it was due.

    Raises:
        Unreachable, InvalidRequest: as `replay`; or the schedule is of another world.
    """
    _check_positive(
        in_flight=in_flight, late_after_ms=late_after_ms, deadline_seconds=deadline_seconds
    )
    started = time.perf_counter()
    async with _run(
        world, ranking_address, event_address, deadline_seconds, progress, credentials
    ) as run:
        first, start = run.turns.first(), start_us(world)
        if first:
            schedule.check_for(min(turn.time_us for turn in first) - start)

        def due_of(times_us: list[int]) -> list[float]:
            due: list[float] = schedule.due(np.array(times_us) - start).tolist()
            return due

        sends = await open_(first, run.play, due_of, in_flight)
    kept = punctuality(sends, late_after_ms)
    return run.result(kept.from_sent, started, kept)


def _check_positive(**options: float) -> None:
    for name, value in options.items():
        if not value > 0:
            raise InvalidRequest.of(name, f"{value}, must be above 0")


@asynccontextmanager
async def _run(
    world: World,
    ranking_address: str,
    event_address: str,
    deadline_seconds: float,
    progress: Progress | None,
    credentials: Credentials,
) -> AsyncIterator[_Run]:
    """Give a run on open channels; at its end all its events are recorded."""
    async with (
        credentials.aio_channel(ranking_address) as ranking_channel,
        credentials.aio_channel(event_address) as event_channel,
    ):
        # The first page would wait for the connection. Whoever is not there fails its calls.
        with suppress(TimeoutError):
            await asyncio.wait_for(ranking_channel.channel_ready(), min(deadline_seconds, 1.0))
        calls = PageCalls(world, ranking_channel, deadline_seconds)
        run = _Run(world, calls, EventSender(event_channel), progress)
        try:
            yield run
            await run.sender.flush()
        except ExceptionGroup as errors:
            refused = [error for error in errors.exceptions if isinstance(error, RequestError)]
            raise (refused or errors.exceptions)[0] from errors


class _Run:
    """What the pages of one replay share."""

    def __init__(
        self, world: World, calls: PageCalls, sender: EventSender, progress: Progress | None
    ) -> None:
        self.turns = turns_of(world)
        self.sender = sender
        self._calls = calls
        self._progress = progress
        self._pages = 0

    async def play(self, turn: Turn) -> Played:
        response = await self._calls.ask(turn)
        actions = None if response is None else self._calls.actions(turn, response)
        following = self.turns.after(turn, actions)
        self._pages += response is not None

        async def afterwards() -> None:
            if response is not None and actions is not None:
                await self.sender.add(self._calls.events(turn, response, actions))
            if self._progress is not None:
                self._progress(self._pages + self._calls.failures.total(), self.turns.known)

        return Played(response is not None, following, afterwards)

    def result(
        self, latency: Spread, started: float, kept: Punctuality | None = None
    ) -> ReplayResult:
        calls = self._calls
        return ReplayResult(
            pages=self._pages,
            failed_calls=calls.failures.total(),
            fallback_pages=calls.fallback_pages,
            unrecorded_pages=calls.unrecorded_pages,
            clicks=calls.clicks,
            dwells=calls.clicks,
            latency=latency,
            seconds=time.perf_counter() - started,
            failures=dict(calls.failures),
            punctuality=kept,
        )
