"""Events on their way to an EventService: in batches, and again when it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from grpc import aio

from ranklift.v1 import events_pb2, events_pb2_grpc
from ranklift.v1.errors import InvalidRequest, Unreachable

BATCH_EVENTS = 500
DEADLINE_SECONDS = 10.0
# Waits of 0.1, 0.2, ... 6.4 s between eight attempts: a restart of the service is sat out.
ATTEMPTS = 8
FIRST_WAIT_SECONDS = 0.1
_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class EventSender:
    """Collects events and sends them once there are enough for a batch.

    The events of one `add` go out in one request, in order. Whoever fills a
    batch waits until it is acknowledged, so events never pile up.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = events_pb2_grpc.EventServiceStub(channel)
        self._events: list[events_pb2.Event] = []
        self.recorded = 0
        self.duplicates = 0

    async def add(self, events: Sequence[events_pb2.Event]) -> None:
        """Take events; raises as `flush` when they fill a batch."""
        self._events += events
        if len(self._events) >= BATCH_EVENTS:
            await self.flush()

    async def flush(self) -> None:
        """Send what was collected.

        Raises:
            Unreachable: the service stayed away through all attempts.
            InvalidRequest: the service refused the events.
        """
        batch, self._events = self._events, []
        if not batch:
            return
        reply = await self._send(events_pb2.RecordEventsRequest(events=batch))
        self.recorded += reply.recorded_count
        self.duplicates += reply.duplicate_count

    async def _send(
        self, request: events_pb2.RecordEventsRequest
    ) -> events_pb2.RecordEventsResponse:
        for attempt in range(ATTEMPTS):
            try:
                # Sending again is safe: the service counts an event id once.
                return await self._stub.RecordEvents(request, timeout=DEADLINE_SECONDS)
            except aio.AioRpcError as error:
                if error.code() not in _TRANSIENT:
                    raise InvalidRequest.of(
                        "events",
                        f"the EventService refused {len(request.events)} events with "
                        f"{error.code().name}: {error.details()}",
                    ) from error
                last = error
            if attempt < ATTEMPTS - 1:
                await asyncio.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        raise Unreachable.of(
            "event_address",
            f"the EventService did not answer {ATTEMPTS} times ({last.details()}); is it running?",
        )
