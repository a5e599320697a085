"""A gateway in a nutshell, over real sockets, and what it was sent beside what it should be."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from ranklift.simulator.frames import EventFrames
from ranklift.simulator.world import Rankings, World
from ranklift.v1 import events_pb2, events_pb2_grpc, ranking_pb2, ranking_pb2_grpc


class Services(ranking_pb2_grpc.RankingServiceServicer, events_pb2_grpc.EventServiceServicer):
    """A gateway in a nutshell: ranks by a given order, keeps what it is sent."""

    def __init__(self, world: World, rankings: Rankings) -> None:
        self.rankings = {world.collection.queries[q]: list(d) for q, d in rankings.items()}
        self.requests: list[ranking_pb2.RankRequest] = []
        self.under_way: dict[str, int] = defaultdict(int)
        self.events: dict[str, events_pb2.Event] = {}
        self.batches: list[int] = []
        self.away = 0  # calls of RecordEvents to turn away
        self.response: dict[str, Any] = {}  # fields that override the response's

    async def Rank(  # noqa: N802
        self,
        request: ranking_pb2.RankRequest,
        context: aio.ServicerContext[ranking_pb2.RankRequest, ranking_pb2.RankResponse],
    ) -> ranking_pb2.RankResponse:
        self.requests.append(request)
        self.under_way[request.user_id] += 1
        assert self.under_way[request.user_id] == 1
        await asyncio.sleep(0)
        self.under_way[request.user_id] -= 1
        index = {document.id: n for n, document in enumerate(request.documents)}
        ids = self.rankings[request.query][: request.top_n]
        fields: dict[str, Any] = {
            "results": [ranking_pb2.RankedDocument(index=index[d], id=d) for d in ids],
            "impression_id": request.request_id,
        }
        return ranking_pb2.RankResponse(**(fields | self.response))

    async def RecordEvents(  # noqa: N802
        self,
        request: events_pb2.RecordEventsRequest,
        context: aio.ServicerContext[
            events_pb2.RecordEventsRequest, events_pb2.RecordEventsResponse
        ],
    ) -> events_pb2.RecordEventsResponse:
        new = {e.event_id: e for e in request.events if e.event_id not in self.events}
        self.events |= new
        self.batches.append(len(request.events))
        if self.away:  # the worst case: recorded, but the answer is lost
            self.away -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return events_pb2.RecordEventsResponse(
            recorded_count=len(new), duplicate_count=len(request.events) - len(new)
        )

    async def StreamEvents(  # noqa: N802
        self,
        request_iterator: AsyncIterator[events_pb2.StreamEventsRequest],
        context: aio.ServicerContext[
            events_pb2.StreamEventsRequest, events_pb2.StreamEventsResponse
        ],
    ) -> AsyncIterator[events_pb2.StreamEventsResponse]:
        raise AssertionError("a replay sends calls")
        yield


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    server = aio.server()
    ranking_pb2_grpc.add_RankingServiceServicer_to_server(services, server)
    events_pb2_grpc.add_EventServiceServicer_to_server(services, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def clicks_of(services: Services) -> dict[str, tuple[str, str, int]]:
    """Page, document and nanosecond of every click that was sent."""
    return {
        event_id: (e.click.impression_id, e.click.document_id, e.click.click_time.ToNanoseconds())
        for event_id, e in services.events.items()
        if e.HasField("click")
    }


def dwells_of(services: Services) -> dict[str, tuple[str, int]]:
    """Click and milliseconds of every dwell that was sent."""
    return {
        event_id: (e.dwell.click_event_id, e.dwell.dwell_duration.ToMilliseconds())
        for event_id, e in services.events.items()
        if e.HasField("dwell")
    }


def expected_of(
    log: EventFrames,
) -> tuple[dict[str, tuple[str, str, int]], dict[str, tuple[str, int]]]:
    """The clicks and dwells of a vectorised run, in the same form."""
    clicks = log.clicks.with_columns(nanoseconds=log.clicks["click_time"].dt.epoch("ns"))
    return {
        row["event_id"]: (row["impression_id"], row["document_id"], row["nanoseconds"])
        for row in clicks.iter_rows(named=True)
    }, {
        row["event_id"]: (row["click_event_id"], row["dwell_ms"])
        for row in log.dwells.iter_rows(named=True)
    }
