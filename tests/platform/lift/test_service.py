"""LiftService over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.lift.render.as_proto import to_proto
from ranklift.lift.report import lift_report
from ranklift.lift.service import LiftServicer
from ranklift.lift.sums import EventTables
from ranklift.store.values import RegisteredExperiment
from ranklift.v1 import lift_pb2, lift_pb2_grpc
from ranklift.v1.errors import NotFound
from ranklift.v1.hosting import host
from ranklift.v1.status import violations_of

T0 = datetime(2025, 3, 1, tzinfo=UTC)
Log = Callable[..., EventTables]
Ask = Callable[[lift_pb2.GetLiftReportRequest], lift_pb2.LiftReport]


class OneExperiment:
    """An experiment look-up that holds one."""

    def __init__(self, registered: RegisteredExperiment) -> None:
        self._registered = registered

    def get(self, name: str) -> RegisteredExperiment:
        if name != self._registered.experiment.name:
            raise NotFound.of("name", f'there is no "{name}"')
        return self._registered


@pytest.fixture
def ask(experiment: RegisteredExperiment) -> Callable[[EventTables], Ask]:
    """Start a server over some events; ask it once per call."""

    def over(events: EventTables) -> Ask:
        servicer = LiftServicer(OneExperiment(experiment), lambda: events)

        async def call(request: lift_pb2.GetLiftReportRequest) -> lift_pb2.LiftReport:
            hosted = await host(
                "127.0.0.1:0",
                {
                    "ranklift.v1.LiftService": lambda server: (
                        lift_pb2_grpc.add_LiftServiceServicer_to_server(servicer, server)
                    )
                },
            )
            try:
                async with aio.insecure_channel(hosted.address) as channel:
                    stub = lift_pb2_grpc.LiftServiceStub(channel)
                    return (await stub.GetLiftReport(request, timeout=20)).report
            finally:
                await hosted.stop(0)

        return lambda request: run(call(request))

    return over


def run(coroutine: Coroutine[Any, Any, lift_pb2.LiftReport]) -> lift_pb2.LiftReport:
    return asyncio.run(coroutine)


def at(minutes: float) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(T0 + timedelta(minutes=minutes))
    return message


def test_the_report_comes_back_whole(
    experiment: RegisteredExperiment, random_log: Log, ask: Callable[[EventTables], Ask]
) -> None:
    events = random_log(11)
    request = lift_pb2.GetLiftReportRequest(experiment="student-vs-bm25")
    assert ask(events)(request) == to_proto(lift_report(experiment, events))


def test_the_window_reaches_the_report(random_log: Log, ask: Callable[[EventTables], Ask]) -> None:
    request = lift_pb2.GetLiftReportRequest(
        experiment="student-vs-bm25", start_time=at(10), end_time=at(20)
    )
    report = ask(random_log(11))(request)
    assert (report.start_time, report.end_time) == (at(10), at(19))


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        pytest.param(
            lift_pb2.GetLiftReportRequest(),
            grpc.StatusCode.INVALID_ARGUMENT,
            "experiment",
            id="no-name",
        ),
        pytest.param(
            lift_pb2.GetLiftReportRequest(experiment="other"),
            grpc.StatusCode.NOT_FOUND,
            "experiment",
            id="unknown",
        ),
        pytest.param(
            lift_pb2.GetLiftReportRequest(experiment="student-vs-bm25"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "experiment",
            id="no-pages",
        ),
        pytest.param(
            lift_pb2.GetLiftReportRequest(
                experiment="student-vs-bm25", start_time=at(5), end_time=at(5)
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "end_time",
            id="empty-window",
        ),
        pytest.param(
            lift_pb2.GetLiftReportRequest(
                experiment="student-vs-bm25", end_time=Timestamp(seconds=2**60)
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "end_time",
            id="no-instant",
        ),
    ],
)
def test_a_bad_request_names_the_field(
    request_: lift_pb2.GetLiftReportRequest,
    code: grpc.StatusCode,
    field: str,
    write_log: Log,
    ask: Callable[[EventTables], Ask],
) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        ask(write_log())(request_)
    assert caught.value.code() == code
    assert [violation.field for violation in violations_of(caught.value)] == [field]
