"""EventService over a real socket: what is recorded, and what is refused naming which field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import polars as pl
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.events.log import EventLog
from ranklift.events.service import EventServicer, read_event
from ranklift.events.values import Page
from ranklift.v1 import events_pb2, events_pb2_grpc
from ranklift.v1.hosting import host
from ranklift.v1.status import violations_of

SERVICE = "ranklift.v1.EventService"
NOW = datetime(2025, 3, 1, 12, 31, tzinfo=UTC)
SECOND = Duration(seconds=1)
MakePage = Callable[..., Page]
ReadAll = Callable[[Path], dict[str, pl.DataFrame]]
Event = events_pb2.Event
Send = Callable[..., Awaitable[events_pb2.RecordEventsResponse]]


def click(
    event_id: str = "c1",
    impression_id: str = "p1",
    document_id: str = "d2",
    click_time: Timestamp | None = None,
) -> Event:
    kind = events_pb2.Click(
        impression_id=impression_id, document_id=document_id, click_time=click_time
    )
    return Event(event_id=event_id, click=kind)


def dwell(
    event_id: str = "w1", click_event_id: str = "c0", duration: Duration | None = SECOND
) -> Event:
    kind = events_pb2.Dwell(click_event_id=click_event_id, dwell_duration=duration)
    return Event(event_id=event_id, dwell=kind)


def served(home: Path, pages: list[Page], scenario: Callable[[Send], Awaitable[None]]) -> None:
    """Run `scenario` against a service on a socket that has recorded `pages`."""

    async def run() -> None:
        async with await EventLog.open(home) as log:
            for page in pages:
                await log.record_page(page, [])

            def register(server: aio.Server) -> None:
                events_pb2_grpc.add_EventServiceServicer_to_server(
                    EventServicer(log, lambda: NOW), server
                )

            hosted = await host("127.0.0.1:0", {SERVICE: register})
            try:
                async with aio.insecure_channel(hosted.address) as channel:
                    stub = events_pb2_grpc.EventServiceStub(channel)

                    async def send(*events: Event) -> events_pb2.RecordEventsResponse:
                        return await stub.RecordEvents(
                            events_pb2.RecordEventsRequest(events=events), timeout=20
                        )

                    await scenario(send)
            finally:
                await hosted.stop(0)

    asyncio.run(run())


def test_events_are_recorded_once(tmp_path: Path, make_page: MakePage, read_all: ReadAll) -> None:
    at = Timestamp(seconds=1_740_832_200, nanos=123_456_789)  # 2025-03-01 12:30

    async def scenario(send: Send) -> None:
        events = [
            click("c1", click_time=at),
            click("c2", document_id="d3"),
            dwell("w1", "c1", Duration(seconds=30, nanos=1_999_999)),
        ]
        for recorded, duplicates in ((3, 0), (0, 3)):
            reply = await send(*events)
            assert (reply.recorded_count, reply.duplicate_count) == (recorded, duplicates)

    served(tmp_path, [make_page("p1")], scenario)
    frames = read_all(tmp_path)
    microseconds = datetime(2025, 3, 1, 12, 30, 0, 123_456, tzinfo=UTC)
    assert frames["clicks"].sort("event_id").rows() == [
        ("c1", "p1", "d2", 2, microseconds),
        ("c2", "p1", "d3", 3, NOW),  # the server's clock
    ]
    assert frames["dwells"].rows() == [("w1", "c1", "p1", "d2", 30_001, False)]


def test_ids_may_be_any_text(tmp_path: Path, make_page: MakePage, read_all: ReadAll) -> None:
    ids = ["a\0b", "a", "a\0", "é", "e\u0301", "💡" * 128, '"\\\n', "' OR 1=1 --"]

    async def scenario(send: Send) -> None:
        for number, name in enumerate(ids):
            reply = await send(click(name, name, name), dwell(f"w{number}", name))
            assert reply.recorded_count == 2

    served(tmp_path, [make_page(i, documents=("d1", i), query=i) for i in ids], scenario)
    frames = read_all(tmp_path)
    assert sorted(frames["pages"]["query"]) == sorted(ids)
    assert sorted(frames["clicks"].select("event_id", "impression_id", "document_id").rows()) == (
        sorted((i, i, i) for i in ids)
    )
    assert sorted(frames["dwells"]["click_event_id"]) == sorted(ids)


BAD = {
    "no event id": (click(""), "INVALID_ARGUMENT", "event_id"),
    "long event id": (click("é" * 129), "INVALID_ARGUMENT", "event_id"),
    "nothing happened": (Event(event_id="e"), "INVALID_ARGUMENT", "kind"),
    "no page": (click(impression_id=""), "INVALID_ARGUMENT", "click.impression_id"),
    "no document": (click(document_id=""), "INVALID_ARGUMENT", "click.document_id"),
    "unknown page": (click(impression_id="p9"), "NOT_FOUND", "click.impression_id"),
    "document not shown": (click(document_id="d9"), "INVALID_ARGUMENT", "click.document_id"),
    "unknown click": (dwell(click_event_id="c9"), "NOT_FOUND", "dwell.click_event_id"),
    "no click": (dwell(click_event_id=""), "INVALID_ARGUMENT", "dwell.click_event_id"),
    "no duration": (dwell(duration=None), "INVALID_ARGUMENT", "dwell.dwell_duration"),
} | {
    f"dwell of {seconds} s {nanos} ns": (
        dwell(duration=Duration(seconds=seconds, nanos=nanos)),
        "INVALID_ARGUMENT",
        "dwell.dwell_duration",
    )
    for seconds, nanos in [
        (-1, 0),
        (0, -1),
        (1, -1),
        (-1, 1),
        (0, 1_000_000_000),
        (86_400, 1),
        (2**63 - 1, 0),
        (-(2**63), 0),
    ]
}
BAD |= {
    f"click at {seconds} s {nanos} ns": (
        click(click_time=Timestamp(seconds=seconds, nanos=nanos)),
        "INVALID_ARGUMENT",
        "click.click_time",
    )
    for seconds, nanos in [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (0, -1),
        (0, 1_000_000_000),
        (2**63 - 1, 0),
    ]
}


def test_a_bad_event_refuses_the_call_and_names_its_field(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario(send: Send) -> None:
        await send(click("c0"))
        for case, (event, code, field) in BAD.items():
            with pytest.raises(aio.AioRpcError) as refused:
                await send(click("good"), event)
            assert refused.value.code() == grpc.StatusCode[code], case
            assert [v.field for v in violations_of(refused.value)] == [f"events[1].{field}"], case
            assert all(v.description for v in violations_of(refused.value))
        with pytest.raises(aio.AioRpcError) as refused:
            await send(click("good"), *(event for event, _, _ in BAD.values()))
        assert [v.field for v in violations_of(refused.value)] == [
            f"events[{place}].{field}" for place, (_, _, field) in enumerate(BAD.values(), start=1)
        ]
        assert (await send(click("good"))).recorded_count == 1

    served(tmp_path, [make_page("p1")], scenario)
    assert sorted(read_all(tmp_path)["clicks"]["event_id"]) == ["c0", "good"]


def test_a_call_has_1_to_10000_events(tmp_path: Path, make_page: MakePage) -> None:
    async def scenario(send: Send) -> None:
        for number in (0, 10_001):
            with pytest.raises(aio.AioRpcError) as refused:
                await send(*(click(str(i)) for i in range(number)))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert [v.field for v in violations_of(refused.value)] == ["events"]
        assert (await send(*(click(str(i)) for i in range(10_000)))).recorded_count == 10_000

    served(tmp_path, [make_page("p1")], scenario)


@pytest.mark.parametrize(
    ("seconds", "nanos", "milliseconds"),
    [
        (0, 0, 0),
        (0, 999_999, 0),
        (0, 1_000_000, 1),
        (1, 999_999_999, 1_999),
        (86_400, 0, 86_400_000),
    ],
)
def test_a_dwell_is_rounded_down(seconds: int, nanos: int, milliseconds: int) -> None:
    pending = read_event(dwell(duration=Duration(seconds=seconds, nanos=nanos)), 0, NOW)
    assert getattr(pending, "dwell_ms", None) == milliseconds


def test_a_time_that_cannot_be_is_replaced_by_the_servers(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario(send: Send) -> None:
        await send(
            click("first", click_time=Timestamp(seconds=-62_135_596_800)),
            click("last", click_time=Timestamp(seconds=253_402_300_799, nanos=999_999_999)),
        )

    began = datetime.now(UTC)
    served(tmp_path, [make_page("p1")], scenario)
    times = dict(read_all(tmp_path)["clicks"].select("event_id", "click_time").rows())
    assert times.keys() == {"first", "last"}
    assert all(began <= time <= datetime.now(UTC) for time in times.values())


Stream = Callable[..., AsyncIterator[events_pb2.StreamEventsResponse]]


def streamed(home: Path, pages: list[Page], scenario: Callable[[Stream], Awaitable[None]]) -> None:
    """Run `scenario` with a way to stream batches to a service that has recorded `pages`."""

    async def run() -> None:
        async with await EventLog.open(home) as log:
            for page in pages:
                await log.record_page(page, [])

            def register(server: aio.Server) -> None:
                events_pb2_grpc.add_EventServiceServicer_to_server(
                    EventServicer(log, lambda: NOW), server
                )

            hosted = await host("127.0.0.1:0", {SERVICE: register})
            try:
                async with aio.insecure_channel(hosted.address) as channel:
                    stub = events_pb2_grpc.EventServiceStub(channel)

                    def stream(*batches: list[Event]) -> Any:
                        requests = [events_pb2.StreamEventsRequest(events=b) for b in batches]
                        return aiter(stub.StreamEvents(iter(requests), timeout=20))

                    await scenario(stream)
            finally:
                await hosted.stop(0)

    asyncio.run(run())


def test_batches_are_answered_in_their_order_and_on_disk_by_then(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario(stream: Stream) -> None:
        # More than may be in flight, each of another size; a dwell follows the click of the one
        # before, and every batch brings the first click again.
        batches = [
            [click(f"c{n}-{i}", f"p{n}") for i in range(n + 1)]
            + ([dwell(f"w{n}", f"c{n - 1}-0"), click("c0-0")] if n else [])
            for n in range(30)
        ]
        number = 0
        async for answer in stream(*batches):
            again = 1 if number else 0
            assert (answer.recorded_count, answer.duplicate_count) == (number + 1 + again, again)
            recorded = set(read_all(tmp_path)["clicks"]["event_id"])
            assert {f"c{number}-{i}" for i in range(number + 1)} <= recorded
            number += 1
        assert number == 30

    streamed(tmp_path, [make_page(f"p{n}") for n in range(30)], scenario)


def test_a_bad_event_of_a_batch_is_named_and_keeps_no_other_out(
    tmp_path: Path, make_page: MakePage, read_all: ReadAll
) -> None:
    async def scenario(stream: Stream) -> None:
        (first, second) = [
            answer
            async for answer in stream(
                [click("c0"), *(event for event, _, _ in BAD.values()), click("good")],
                [dwell("w0", "good")],
            )
        ]
        assert (first.recorded_count, first.duplicate_count) == (2, 0)
        assert [(r.index, r.field) for r in first.rejected] == [
            (place, field) for place, (_, _, field) in enumerate(BAD.values(), start=1)
        ]
        assert all(rejected.description for rejected in first.rejected)
        assert second.recorded_count == 1

    streamed(tmp_path, [make_page("p1")], scenario)
    assert sorted(read_all(tmp_path)["clicks"]["event_id"]) == ["c0", "good"]


def test_a_batch_of_a_wrong_size_ends_the_stream_after_the_answers_before_it(
    tmp_path: Path, make_page: MakePage
) -> None:
    async def scenario(stream: Stream) -> None:
        answers = stream([click("c0")], [], [click("c1")])
        assert (await anext(answers)).recorded_count == 1
        with pytest.raises(aio.AioRpcError) as refused:
            await anext(answers)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [v.field for v in violations_of(refused.value)] == ["events"]

    streamed(tmp_path, [make_page("p1")], scenario)
