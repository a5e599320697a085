"""EventService: reads events off the wire, and hands them to the log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.events.admission import MAX_DWELL_MS
from ranklift.events.log import utc_now
from ranklift.events.pending import Malformed, Pending, PendingClick, PendingDwell, Recorded
from ranklift.v1 import events_pb2, events_pb2_grpc
from ranklift.v1.errors import InvalidRequest, Violation

MAX_EVENTS = 10_000
MAX_EVENT_ID = 128
# Of one stream: enough that the disk is never idle, and no more memory than a few messages.
MAX_BATCHES_IN_FLIGHT = 8

_NANOS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 0001-01-01 to 9999-12-31, as google/protobuf/timestamp.proto has it.
_MIN_SECONDS = -62_135_596_800
_MAX_SECONDS = 253_402_300_799


class Log(Protocol):
    """What the service needs of the event log."""

    async def record_events(self, events: Sequence[Pending], *, whole: bool = True) -> Recorded: ...


class EventServicer(events_pb2_grpc.EventServiceServicer):
    """Records events in `log`; `now` is the time of a click that brings none."""

    def __init__(self, log: Log, now: Callable[[], datetime] = utc_now) -> None:
        self._log = log
        self._now = now

    async def RecordEvents(  # noqa: N802 - the method's name in the protocol
        self,
        request: events_pb2.RecordEventsRequest,
        context: aio.ServicerContext[
            events_pb2.RecordEventsRequest, events_pb2.RecordEventsResponse
        ],
    ) -> events_pb2.RecordEventsResponse:
        outcome = await self._log.record_events(self._read(request.events))
        return events_pb2.RecordEventsResponse(
            recorded_count=outcome.recorded, duplicate_count=outcome.duplicates
        )

    async def StreamEvents(  # noqa: N802 - the method's name in the protocol
        self,
        request_iterator: AsyncIterator[events_pb2.StreamEventsRequest],
        context: aio.ServicerContext[
            events_pb2.StreamEventsRequest, events_pb2.StreamEventsResponse
        ],
    ) -> AsyncIterator[events_pb2.StreamEventsResponse]:
        # Without a place nothing is read, and then HTTP/2 stops the client.
        places = asyncio.Semaphore(MAX_BATCHES_IN_FLIGHT)
        taken: asyncio.Queue[asyncio.Task[Recorded] | None] = asyncio.Queue()

        async def take() -> None:
            try:
                async for request in request_iterator:
                    batch = self._read(request.events)
                    # A task runs up to the log's queue before the next one begins to: in order.
                    recording = self._log.record_events(batch, whole=False)
                    taken.put_nowait(asyncio.create_task(recording))
                    await places.acquire()
            finally:
                taken.put_nowait(None)

        taking = asyncio.create_task(take())
        try:
            while (recording := await taken.get()) is not None:
                yield _answer(await recording)
                places.release()
            await taking  # tells of a batch that could not be read
        finally:
            taking.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await taking
            while not taken.empty():
                if (recording := taken.get_nowait()) is not None:
                    recording.cancel()

    def _read(self, events: Sequence[events_pb2.Event]) -> list[Pending]:
        if not 1 <= len(events) <= MAX_EVENTS:
            raise InvalidRequest.of(
                "events", f"{len(events)} events given; send 1 to {MAX_EVENTS:,} at a time"
            )
        now = self._now()
        return [read_event(event, index, now) for index, event in enumerate(events)]


def _answer(outcome: Recorded) -> events_pb2.StreamEventsResponse:
    return events_pb2.StreamEventsResponse(
        recorded_count=outcome.recorded,
        duplicate_count=outcome.duplicates,
        rejected=_rejected(outcome.rejected),
    )


def _rejected(violations: Iterable[Violation]) -> Iterable[events_pb2.RejectedEvent]:
    for violation in violations:
        # "events[3].click.document_id"
        place, _, field = violation.field.removeprefix("events[").partition("]")
        yield events_pb2.RejectedEvent(
            index=int(place), field=field.removeprefix("."), description=violation.description
        )


def read_event(event: events_pb2.Event, index: int, now: datetime) -> Pending:
    """Return what the event at `index` of a request asks to record, or all that is wrong with it.

    `now` is the time of a click that brings none.
    """
    at = f"events[{index}]"
    found: list[Violation] = []
    if not 1 <= len(event.event_id) <= MAX_EVENT_ID:
        found.append(
            Violation(
                f"{at}.event_id",
                f"has {len(event.event_id)} characters; must have 1 to {MAX_EVENT_ID}",
            )
        )
    pending: Pending | None = None
    match event.WhichOneof("kind"):
        case "click":
            pending = _read_click(event, f"{at}.click", now, found)
        case "dwell":
            pending = _read_dwell(event, f"{at}.dwell", found)
        case None:
            found.append(Violation(f"{at}.kind", "is not set; set click or dwell"))
    return Malformed(tuple(found)) if found or pending is None else pending


def _read_click(
    event: events_pb2.Event, at: str, now: datetime, found: list[Violation]
) -> PendingClick:
    click = event.click
    if not click.impression_id:
        found.append(Violation(f"{at}.impression_id", "is empty; send the one of the reply"))
    if not click.document_id:
        found.append(Violation(f"{at}.document_id", "is empty; send the id of a shown document"))
    click_time = now
    if click.HasField("click_time"):
        click_time = _instant(click.click_time, f"{at}.click_time", found) or now
    return PendingClick(event.event_id, click.impression_id, click.document_id, click_time)


def _read_dwell(event: events_pb2.Event, at: str, found: list[Violation]) -> PendingDwell:
    dwell = event.dwell
    if not dwell.click_event_id:
        found.append(Violation(f"{at}.click_event_id", "is empty; send the event_id of a click"))
    milliseconds = 0
    if dwell.HasField("dwell_duration"):
        milliseconds = _milliseconds(dwell.dwell_duration, f"{at}.dwell_duration", found)
    else:
        found.append(Violation(f"{at}.dwell_duration", "is not set; send 0 s to 24 h"))
    return PendingDwell(event.event_id, dwell.click_event_id, milliseconds, dwell.censored)


def _instant(value: Timestamp, at: str, found: list[Violation]) -> datetime | None:
    """Return `value` in whole microseconds, rounded down; None and a violation for no instant."""
    if not (_MIN_SECONDS <= value.seconds <= _MAX_SECONDS and 0 <= value.nanos < _NANOS):
        found.append(
            Violation(
                at,
                f"{value.seconds} s and {value.nanos} ns since 1970 is no instant; must lie in the "
                "years 1 to 9999, with nanos in [0, 999999999]",
            )
        )
        return None
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1_000)


def _milliseconds(value: Duration, at: str, found: list[Violation]) -> int:
    """Return `value` in whole milliseconds, rounded down: a lower bound stays one.

    Adds a violation when it is not in [0 h, 24 h], or when seconds and nanos differ in sign,
    which google/protobuf/duration.proto does not allow.
    """
    well_formed = abs(value.nanos) < _NANOS and value.seconds * value.nanos >= 0
    nanoseconds = value.seconds * _NANOS + value.nanos
    if not (well_formed and 0 <= nanoseconds <= MAX_DWELL_MS * 1_000_000):
        found.append(
            Violation(at, f"{value.seconds} s and {value.nanos} ns given; must be 0 s to 24 h")
        )
    return nanoseconds // 1_000_000
