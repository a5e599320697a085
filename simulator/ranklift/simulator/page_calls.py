"""A page as a call to the RankingService, and what its user does with the answer as events."""

from __future__ import annotations

from collections import Counter

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.simulator.behaviour import Actions, behave, click_time_us
from ranklift.simulator.shown import Shown
from ranklift.simulator.turns import Turn
from ranklift.simulator.world import World, event_ids, shown
from ranklift.v1 import events_pb2, ranking_pb2, ranking_pb2_grpc
from ranklift.v1.errors import InvalidRequest

_FIRST = np.zeros(1, dtype=np.int64)


class PageCalls:
    """Asks for the pages of a world, and counts what came of it."""

    def __init__(self, world: World, channel: aio.Channel, deadline_seconds: float) -> None:
        self._world = world
        self._stub = ranking_pb2_grpc.RankingServiceStub(channel)
        self._deadline_seconds = deadline_seconds
        self._query_ids = world.query_ids
        self._requests = {query_id: self._request(query_id) for query_id in self._query_ids}
        self._shown: dict[tuple[str, ...], Shown] = {}  # by query and documents
        self.failures: Counter[str] = Counter()
        self.fallback_pages = self.unrecorded_pages = self.clicks = 0

    async def ask(self, turn: Turn) -> ranking_pb2.RankResponse | None:
        """Return the answer to a page; None if the call failed."""
        request = ranking_pb2.RankRequest()
        request.CopyFrom(self._requests[self._query_ids[turn.page.query[0]]])
        visit = int(turn.page.visit[0])
        request.user_id = self._world.user_id(turn.user)
        request.session_id = self._world.session_id(turn.user, visit)
        request.request_id = self._world.page_id(turn.user, visit, int(turn.page.step[0]))
        request.request_time.CopyFrom(_instant(turn.time_us))
        devices = self._world.population.devices
        if devices is not None:
            (device,) = devices.of(self._world.seed, turn.page.user)
            request.attributes["device"] = devices.segments[device].name
        try:
            response = await self._stub.Rank(request, timeout=self._deadline_seconds)
        except aio.AioRpcError as error:
            self.failures[error.code().name] += 1
            return None
        self.fallback_pages += response.fallback_reason != 0
        self.unrecorded_pages += not response.impression_id
        return response

    def actions(self, turn: Turn, response: ranking_pb2.RankResponse) -> Actions:
        """Return what the user does with an answer.

        Raises:
            InvalidRequest: it shows what was not sent.
        """
        query_id = self._query_ids[turn.page.query[0]]
        document_ids = [result.id for result in response.results]
        key = (query_id, *document_ids)
        table = self._shown.get(key)
        if table is None:
            unknown = set(document_ids).difference(self._world.candidates[query_id])
            if unknown:
                page = self._world.page_id(
                    turn.user, int(turn.page.visit[0]), int(turn.page.step[0])
                )
                raise InvalidRequest.of(
                    "results",
                    f'page {page} shows "{min(unknown)}", which is not among its candidates',
                )
            table = self._shown[key] = shown(self._world, [(query_id, document_ids)])
        users = self._world.users_at(turn.page)
        return behave(self._world.behaviour, turn.page.key, users, table, _FIRST)

    def events(
        self, turn: Turn, response: ranking_pb2.RankResponse, actions: Actions
    ) -> list[events_pb2.Event]:
        """Return the clicks on a page, each followed by its dwell; none on one that nobody
        recorded."""
        if not response.impression_id:
            return []
        times = click_time_us(turn.page.time_us, actions.rank + 1)
        page_id = self._world.page_id(turn.user, int(turn.page.visit[0]), int(turn.page.step[0]))
        events = []
        for rank, dwell_ms, click_us in zip(
            actions.rank.tolist(), actions.dwell_ms.tolist(), times.tolist(), strict=True
        ):
            click_id, dwell_id = event_ids(page_id, rank + 1)
            click = events_pb2.Click(
                impression_id=response.impression_id,
                document_id=response.results[rank].id,
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
        self.clicks += len(events) // 2
        return events

    def _request(self, query_id: str) -> ranking_pb2.RankRequest:
        """Return what every request for a query has in common."""
        documents = (
            self._world.collection.documents[document_id]
            for document_id in self._world.candidates[query_id]
        )
        return ranking_pb2.RankRequest(
            query=self._world.collection.queries[query_id],
            documents=[
                ranking_pb2.Document(id=d.id, title=d.title, text=d.text) for d in documents
            ],
            top_n=self._world.behaviour.page_size,
        )


def _instant(microseconds: int) -> Timestamp:
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1_000)
