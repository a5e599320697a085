"""LiftService over a real socket, a real registry and a real event log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from tests.platform.recorded import NAME, define, pages_of, record, start

from ranklift.cli.reporting import preferences_of_home, report_of_home
from ranklift.events.values import InterleavedPage, PageAssignment
from ranklift.lift.render.as_proto import to_proto
from ranklift.lift.service import LiftServicer
from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import Arm, Interleaving, ModelRef, RegisteredExperiment
from ranklift.v1 import lift_pb2 as pb
from ranklift.v1.hosting import host
from ranklift.v1.lift_pb2_grpc import LiftServiceStub, add_LiftServiceServicer_to_server
from ranklift.v1.status import violations_of

SERVICE = pb.DESCRIPTOR.services_by_name["LiftService"].full_name
USERS = [f"u{number:03}" for number in range(120)]
Serve = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture
def registry(sqlite_url: str) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    define(opened)
    yield opened
    opened.close()


@pytest.fixture
def running(registry: Registry, tmp_path: Path) -> RegisteredExperiment:
    """The experiment, running, with two pages recorded of each of 120 users."""
    registered = start(registry)
    assert registered.started is not None
    asyncio.run(record(tmp_path, pages_of(registered, USERS, registered.started)))
    return registered


@pytest.fixture
def serve(registry: Registry, tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def served() -> AsyncIterator[Any]:
        servicer = LiftServicer(
            registry.experiments,
            partial(report_of_home, tmp_path),
            partial(preferences_of_home, tmp_path),
        )
        hosted = await host(
            "127.0.0.1:0", {SERVICE: lambda to: add_LiftServiceServicer_to_server(servicer, to)}
        )
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                yield LiftServiceStub(channel)
        finally:
            await hosted.stop(0)

    return served


def ask(serve: Serve, *requests: pb.GetLiftReportRequest) -> list[pb.LiftReport]:
    """Ask for reports one after the other."""

    async def scenario() -> list[pb.LiftReport]:
        async with serve() as client:
            return [(await client.GetLiftReport(one, timeout=60)).report for one in requests]

    return asyncio.run(scenario())


def at(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message


def test_the_report_comes_back_whole(
    running: RegisteredExperiment, serve: Serve, tmp_path: Path
) -> None:
    (report,) = ask(serve, pb.GetLiftReportRequest(experiment=NAME))
    assert report == to_proto(report_of_home(tmp_path, running))
    assert (report.experiment, report.revision, report.control) == (NAME, 2, "old")
    assert [arm.arm for arm in report.arms] == ["old", "new"]
    assert sum(arm.pages for arm in report.arms) == 240
    assert sum(arm.clicks for arm in report.arms) == 80
    assert all(arm.exposed_units > 30 for arm in report.arms)
    (guardrail,) = [one for one in report.lifts if one.role == pb.METRIC_ROLE_GUARDRAIL]
    assert (guardrail.metric, guardrail.margin) == ("latency", 0.05)
    assert guardrail.HasField("found")
    (declared,) = [one for one in report.lifts if one.metric == "deep_clicks"]
    assert declared.role == pb.METRIC_ROLE_SECONDARY
    assert declared.HasField("found")
    assert [one.title for one in report.metrics if one.name == "deep_clicks"] == ["Clicks per unit"]
    checks = {check.name: check.passed for check in report.checks}
    assert checks["recomputed_arms"]
    assert checks["page_times"]


@pytest.mark.usefixtures("running")
def test_two_calls_in_a_row_give_the_same_message(serve: Serve) -> None:
    request = pb.GetLiftReportRequest(experiment=NAME)
    first, second = ask(serve, request, request)
    assert first == second


@pytest.mark.usefixtures("running")
def test_calls_at_once_give_the_same_message(serve: Serve) -> None:
    async def scenario() -> list[pb.LiftReport]:
        async with serve() as client:
            request = pb.GetLiftReportRequest(experiment=NAME)
            calls = [client.GetLiftReport(request, timeout=60) for _ in range(4)]
            return [one.report for one in await asyncio.gather(*calls)]

    first, *others = asyncio.run(scenario())
    assert others == [first] * 3


def test_what_is_recorded_between_two_calls_shows_up(
    running: RegisteredExperiment, serve: Serve, tmp_path: Path
) -> None:
    assert running.started is not None
    later = pages_of(running, ["u007", "new-user"], running.started + timedelta(seconds=1))

    async def scenario() -> tuple[pb.LiftReport, pb.LiftReport]:
        async with serve() as client:
            request = pb.GetLiftReportRequest(experiment=NAME)
            first = (await client.GetLiftReport(request, timeout=60)).report
            await record(tmp_path, later, click_every=2)
            return first, (await client.GetLiftReport(request, timeout=60)).report

    first, second = asyncio.run(scenario())
    grown = [
        tuple(sum(getattr(arm, name) for arm in report.arms) for report in (first, second))
        for name in ("pages", "clicks", "assigned_units")
    ]
    assert grown == [(240, 244), (80, 82), (120, 121)]
    assert first.log_digest != second.log_digest


def test_the_window_reaches_the_report(running: RegisteredExperiment, serve: Serve) -> None:
    assert running.started is not None
    start_time, end_time = (at(running.started + timedelta(milliseconds=n)) for n in (40, 200))
    (report,) = ask(
        serve,
        pb.GetLiftReportRequest(experiment=NAME, start_time=start_time, end_time=end_time),
    )
    assert report.start_time == start_time
    assert report.end_time == at(running.started + timedelta(milliseconds=199))
    assert sum(arm.pages for arm in report.arms) == 160


def test_an_experiment_that_never_ran_says_so(serve: Serve) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        ask(serve, pb.GetLiftReportRequest(experiment=NAME))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "never ran" in str(caught.value.details())


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        pytest.param(pb.GetLiftReportRequest(), "INVALID_ARGUMENT", "experiment", id="no-name"),
        pytest.param(
            pb.GetLiftReportRequest(experiment="other"), "NOT_FOUND", "experiment", id="unknown"
        ),
        pytest.param(
            pb.GetLiftReportRequest(
                experiment=NAME,
                start_time=at(datetime(2025, 3, 1, tzinfo=UTC)),
                end_time=at(datetime(2025, 3, 2, tzinfo=UTC)),
            ),
            "FAILED_PRECONDITION",
            "experiment",
            id="no-pages",
        ),
        pytest.param(
            pb.GetLiftReportRequest(
                experiment=NAME,
                start_time=at(datetime(2025, 3, 1, tzinfo=UTC)),
                end_time=at(datetime(2025, 3, 1, tzinfo=UTC)),
            ),
            "INVALID_ARGUMENT",
            "end_time",
            id="empty-window",
        ),
        pytest.param(
            pb.GetLiftReportRequest(experiment=NAME, end_time=Timestamp(seconds=2**60)),
            "INVALID_ARGUMENT",
            "end_time",
            id="no-instant",
        ),
        pytest.param(
            pb.GetLiftReportRequest(experiment=NAME, start_time=Timestamp(nanos=-5)),
            "INVALID_ARGUMENT",
            "start_time",
            id="no-nanoseconds",
        ),
    ],
)
@pytest.mark.usefixtures("running")
def test_a_bad_request_names_the_field(
    request_: pb.GetLiftReportRequest, code: str, field: str, serve: Serve
) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        ask(serve, request_)
    assert caught.value.code() is grpc.StatusCode[code]
    assert [violation.field for violation in violations_of(caught.value)] == [field]


class OneArm:
    """Knows one experiment, whose only arm interleaves."""

    def __init__(self, like: RegisteredExperiment) -> None:
        both = Interleaving((ModelRef("bm25", "1"), ModelRef("student", "1")))
        arms = (Arm("both", 10_000, interleaving=both),)
        self.registered = replace(
            like, experiment=replace(like.experiment, arms=arms, control="both")
        )

    def get(self, name: str) -> RegisteredExperiment:
        return self.registered


def test_preferences_come_back_whole(running: RegisteredExperiment, tmp_path: Path) -> None:
    known = OneArm(running)
    home = tmp_path / "interleaved"
    logged = InterleavedPage(
        "team_draft", ("bm25@1", "student@1"), (-1, 1, 0), ((1, 3, 2), (1, 2, 3))
    )
    assert running.started is not None
    pages = [
        replace(page, interleaving=logged, assignments=())
        for page in pages_of(running, USERS[:30], running.started)
    ]
    pages = [
        replace(
            page, assignments=(PageAssignment(NAME, 2, "default", "both", page.user_id, number),)
        )
        for number, page in enumerate(pages)
    ]
    asyncio.run(record(home, pages))  # a click on the second document of every third page

    async def scenario() -> tuple[pb.PreferenceReport, str]:
        servicer = LiftServicer(
            known, partial(report_of_home, home), partial(preferences_of_home, home)
        )
        hosted = await host(
            "127.0.0.1:0", {SERVICE: lambda to: add_LiftServiceServicer_to_server(servicer, to)}
        )
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                client = LiftServiceStub(channel)
                request = pb.GetPreferenceReportRequest(experiment=NAME)
                (report,) = (await client.GetPreferenceReport(request, timeout=60)).reports
                with pytest.raises(aio.AioRpcError) as refused:
                    await client.GetLiftReport(pb.GetLiftReportRequest(experiment=NAME), timeout=60)
                assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
                return report, refused.value.details() or ""
        finally:
            await hosted.stop(0)

    report, why = asyncio.run(scenario())
    assert "preference report" in why
    (found,) = report.preferences
    assert (report.arm, report.pages, report.degraded_pages, report.units) == ("both", 60, 0, 30)
    assert (found.wins_a, found.wins_b, found.ties) == (0, 20, 40)
    assert found.preference == pytest.approx(-1 / 3)
    assert found.interval.upper < 0
    assert found.p_value < 0.001
    assert (found.confidence_level, found.overlap) == (0.95, 1)


@pytest.mark.usefixtures("running")
def test_an_experiment_that_does_not_interleave_has_no_preferences(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as client:
            for request, code in (
                (pb.GetPreferenceReportRequest(), grpc.StatusCode.INVALID_ARGUMENT),
                (pb.GetPreferenceReportRequest(experiment="nope"), grpc.StatusCode.NOT_FOUND),
                (
                    pb.GetPreferenceReportRequest(experiment=NAME),
                    grpc.StatusCode.FAILED_PRECONDITION,
                ),
            ):
                with pytest.raises(aio.AioRpcError) as refused:
                    await client.GetPreferenceReport(request, timeout=60)
                assert refused.value.code() is code

    asyncio.run(scenario())
