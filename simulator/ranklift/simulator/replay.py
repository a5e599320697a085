"""A whole world played through real services over gRPC.

Pages go out in the order of their times, many at once, but a user's next page
waits for the one before it. What users do with the ranking that came back is
`behave`, the same as in a vectorised run, and goes to the EventService in
batches. All ids are stable, so a repeated replay records nothing twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.simulator.behaviour import behave, click_time_us
from ranklift.simulator.event_sender import EventSender
from ranklift.simulator.world import World, event_ids, shown
from ranklift.v1 import events_pb2, ranking_pb2, ranking_pb2_grpc
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import InvalidRequest, RequestError

Progress = Callable[[int, int], None]  # pages done, pages in all


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a replay.

    `pages` came back with a ranking; `failed_calls` did not, by gRPC status in
    `failures`. `fallback_pages` were ranked by another ranker than the arm's.
    `unrecorded_pages` came back without an impression id, so that nothing done
    on them could be sent; their clicks are not in `clicks`. Latencies are of
    the calls that came back, NaN when none did.
    """

    pages: int
    failed_calls: int
    fallback_pages: int
    unrecorded_pages: int
    clicks: int
    dwells: int
    latency_p50_ms: float
    latency_p99_ms: float
    seconds: float
    failures: Mapping[str, int]


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

    A ranking call that fails is counted, and its user sees no page. Recording
    events is tried again while the service is away for a few seconds.
    `progress` is called after every page.

    Raises:
        Unreachable: the EventService stayed away.
        InvalidRequest: `concurrency` or `deadline_seconds` is not positive, the
            EventService refused events, or a ranking holds an unknown document.
    """
    if concurrency < 1:
        raise InvalidRequest.of("concurrency", f"{concurrency}, must be at least 1")
    if not deadline_seconds > 0:
        raise InvalidRequest.of("deadline_seconds", f"{deadline_seconds}, must be above 0")
    started = time.perf_counter()
    async with (
        credentials.aio_channel(ranking_address) as ranking_channel,
        credentials.aio_channel(event_address) as event_channel,
    ):
        run = _Run(world, ranking_channel, event_channel, deadline_seconds, progress)
        in_time_order = iter(np.argsort(run.pages.time_us, kind="stable").tolist())
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(run.work(in_time_order))
            await run.sender.flush()
        except ExceptionGroup as errors:
            refused = [error for error in errors.exceptions if isinstance(error, RequestError)]
            raise (refused or errors.exceptions)[0] from errors
    return run.result(time.perf_counter() - started)


class _Run:
    """The state that the workers of one replay share."""

    def __init__(
        self,
        world: World,
        ranking_channel: aio.Channel,
        event_channel: aio.Channel,
        deadline_seconds: float,
        progress: Progress | None,
    ) -> None:
        self.world = world
        self.pages = world.pages()
        self.sender = EventSender(event_channel)
        self._ranking = ranking_pb2_grpc.RankingServiceStub(ranking_channel)
        self._deadline_seconds = deadline_seconds
        self._progress = progress
        self._query_ids = world.query_ids
        self._requests = {query_id: self._request(query_id) for query_id in self._query_ids}
        self._last_page: dict[int, asyncio.Event] = {}  # by user
        self._failures: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._fallback_pages = self._unrecorded_pages = self._clicks = 0

    def result(self, seconds: float) -> ReplayResult:
        latencies = self._latencies_ms or [float("nan")]
        p50, p99 = np.percentile(latencies, [50, 99])
        return ReplayResult(
            pages=len(self._latencies_ms),
            failed_calls=self._failures.total(),
            fallback_pages=self._fallback_pages,
            unrecorded_pages=self._unrecorded_pages,
            clicks=self._clicks,
            dwells=self._clicks,
            latency_p50_ms=float(p50),
            latency_p99_ms=float(p99),
            seconds=seconds,
            failures=dict(self._failures),
        )

    async def work(self, rows: Iterator[int]) -> None:
        """Play one page after the other; `rows` is shared by all workers."""
        for row in rows:
            user = int(self.pages.user[row])
            before, done = self._last_page.get(user), asyncio.Event()
            self._last_page[user] = done
            if before is not None:
                # Some worker has it already: rows come in the order of their times.
                await before.wait()
            await self._play(row)
            done.set()
            if self._last_page[user] is done:
                del self._last_page[user]
            if self._progress is not None:
                played = len(self._latencies_ms) + self._failures.total()
                self._progress(played, len(self.pages))

    async def _play(self, row: int) -> None:
        query_id = self._query_ids[self.pages.query[row]]
        ids = (int(self.pages.user[row]), int(self.pages.visit[row]), int(self.pages.step[row]))
        request = ranking_pb2.RankRequest()
        request.CopyFrom(self._requests[query_id])
        request.user_id = self.world.user_id(ids[0])
        request.session_id = self.world.session_id(*ids[:2])
        request.request_id = self.world.page_id(*ids)
        request.request_time.CopyFrom(_instant(int(self.pages.time_us[row])))
        sent = time.perf_counter()
        try:
            response = await self._ranking.Rank(request, timeout=self._deadline_seconds)
        except aio.AioRpcError as error:
            self._failures[error.code().name] += 1
            return
        self._latencies_ms.append((time.perf_counter() - sent) * 1_000)
        self._fallback_pages += response.fallback_reason != 0
        if not response.impression_id:
            self._unrecorded_pages += 1
            return
        await self.sender.add(self._events(row, query_id, request.request_id, response))

    def _events(
        self, row: int, query_id: str, page_id: str, response: ranking_pb2.RankResponse
    ) -> list[events_pb2.Event]:
        """Return the clicks on a page, each followed by its dwell."""
        document_ids = [result.id for result in response.results]
        unknown = set(document_ids).difference(self.world.candidates[query_id])
        if unknown:
            raise InvalidRequest.of(
                "results",
                f'page {page_id} shows "{min(unknown)}", which is not among its candidates',
            )
        page = self.pages[row : row + 1]
        actions = behave(
            self.world.behaviour,
            page.key,
            self.world.users_at(page),
            shown(self.world, [(query_id, document_ids)]),
            np.zeros(1, dtype=np.int64),
        )
        times = click_time_us(page.time_us, actions.rank + 1)
        events = []
        for rank, dwell_ms, click_us in zip(
            actions.rank.tolist(), actions.dwell_ms.tolist(), times.tolist(), strict=True
        ):
            click_id, dwell_id = event_ids(page_id, rank + 1)
            click = events_pb2.Click(
                impression_id=response.impression_id,
                document_id=document_ids[rank],
                click_time=_instant(click_us),
            )
            dwell = events_pb2.Dwell(
                click_event_id=click_id,
                dwell_duration=Duration(
                    seconds=dwell_ms // 1_000, nanos=dwell_ms % 1_000 * 1_000_000
                ),
            )
            events.append(events_pb2.Event(event_id=click_id, click=click))
            events.append(events_pb2.Event(event_id=dwell_id, dwell=dwell))
        self._clicks += len(events) // 2
        return events

    def _request(self, query_id: str) -> ranking_pb2.RankRequest:
        """Return what every request for a query has in common."""
        documents = (
            self.world.collection.documents[document_id]
            for document_id in self.world.candidates[query_id]
        )
        return ranking_pb2.RankRequest(
            query=self.world.collection.queries[query_id],
            documents=[
                ranking_pb2.Document(id=d.id, title=d.title, text=d.text) for d in documents
            ],
            top_n=self.world.behaviour.page_size,
        )


def _instant(microseconds: int) -> Timestamp:
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1_000)
