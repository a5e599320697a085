"""The users of a soak: they rank at a fixed rate, click, and judge every answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

from ranklift.traffic.pages import FALLBACK_REASONS, assignment_message
from ranklift.traffic.routing import ServingConfig
from ranklift.v1 import events_pb2, ranking_pb2
from ranklift.v1.events_pb2_grpc import EventServiceStub
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

USERS = 20_000
CLICKED = 0.2  # the part of pages with a click
TWICE = 0.05  # the part of acknowledged clicks that are sent again
CALL_SECONDS = 10.0
AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Failure:
    """A ranking call without an answer; seconds since the start, and since it was sent."""

    sent: float
    waited: float
    what: str


@dataclass
class Judged:
    """What came of all calls."""

    calls: int = 0
    failed: list[Failure] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    fallbacks: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    pages: set[str] = field(default_factory=set)  # answered with an id
    without_id: int = 0
    acknowledged: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)  # attempts, by status
    refused_at: list[float] = field(default_factory=list)  # RESOURCE_EXHAUSTED, seconds
    lost_pages_clicks: set[str] = field(default_factory=set)  # whose page the log does not have
    miscounted: list[str] = field(default_factory=list)


class Users:
    """Ranks, clicks, and compares each answer with what `config` says of the user."""

    def __init__(
        self,
        channel: aio.Channel,
        config: ServingConfig,
        requests: Sequence[ranking_pb2.RankRequest],
        rng: random.Random,
        began: float,
    ) -> None:
        self._rank: Any = RankingServiceStub(channel).Rank
        self._record: Any = EventServiceStub(channel).RecordEvents
        self._config = config
        self._requests = requests
        self._rng = rng
        self._began = began
        self._ended = asyncio.Event()
        self.judged = Judged()

    async def run(self, rate: float, seconds: float) -> None:
        """Send a request every 1 / `rate` seconds, whatever comes back; return when all is answered
        and every click is acknowledged or refused for good."""
        tasks: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(self._began + number / rate - time.monotonic())
            task = asyncio.create_task(self._visit(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _visit(self, number: int) -> None:
        user = self._rng.randrange(USERS)
        request = ranking_pb2.RankRequest()
        request.CopyFrom(self._requests[user % len(self._requests)])
        request.user_id, request.session_id = f"user-{user}", f"session-{number}"
        request.request_id = f"page-{number}"
        self.judged.calls += 1
        sent = time.monotonic()
        try:
            reply = await self._rank(request, timeout=CALL_SECONDS)
        except aio.AioRpcError as error:
            what = f"{error.code().name} ({str(error.details())[:60]})"
            waited = time.monotonic() - sent
            self.judged.failed.append(Failure(sent - self._began, waited, what))
            return
        self.judged.milliseconds.append((time.monotonic() - sent) * 1_000)
        self._judge(request, reply)
        if not reply.impression_id:
            self.judged.without_id += 1
            return
        self.judged.pages.add(reply.impression_id)
        if self._rng.random() < CLICKED:
            await self._click(number, reply)

    def _judge(self, request: ranking_pb2.RankRequest, reply: ranking_pb2.RankResponse) -> None:
        route = self._config.route(request.user_id, request.session_id)
        if list(reply.assignments) != [assignment_message(one) for one in route.assignments]:
            self.judged.wrong.append(f"{request.request_id}: {reply.assignments}")
        served = self._config.champion if reply.fallback_reason else route.model
        assert served is not None
        if (reply.model.name, reply.model.version) != (served.model, served.version):
            self.judged.wrong.append(f"{request.request_id}: ranked by {reply.model}")
        if reply.fallback_reason:
            self.judged.fallbacks[FALLBACK_REASONS[reply.fallback_reason]] += 1

    async def _click(self, number: int, reply: ranking_pb2.RankResponse) -> None:
        await asyncio.sleep(self._rng.uniform(0.05, 0.5))
        shown = self._rng.choice(reply.results)
        click = events_pb2.Click(impression_id=reply.impression_id, document_id=shown.id)
        event = events_pb2.Event(event_id=f"click-{number}", click=click)
        if not await self._send(event, new=1):
            return
        if self._rng.random() < TWICE:
            await self._send(event, new=0)

    async def _send(self, event: events_pb2.Event, *, new: int) -> bool:
        """Send until acknowledged, and return whether it was: a click on a page that the disk
        refused never is."""
        request = events_pb2.RecordEventsRequest(events=[event])
        unanswered = False
        while True:
            try:
                reply = await self._record(request, timeout=CALL_SECONDS)
            except aio.AioRpcError as error:
                code = error.code()
                self.judged.refused[code.name] += 1
                if code is grpc.StatusCode.NOT_FOUND:
                    self.judged.lost_pages_clicks.add(event.event_id)
                    return False
                if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    self.judged.refused_at.append(time.monotonic() - self._began)
                else:
                    unanswered = True  # it may be recorded or not
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            counts = (reply.recorded_count, reply.duplicate_count)
            if counts != (new, 1 - new) and not (unanswered and sum(counts) == 1):
                self.judged.miscounted.append(f"{event.event_id}: {counts}")
            self.judged.acknowledged.add(event.event_id)
            return True
