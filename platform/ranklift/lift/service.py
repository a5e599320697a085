"""LiftService over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.lift.preference.values import ArmPreferences
from ranklift.lift.render.as_proto import preference_message, to_proto
from ranklift.lift.values import LiftReport
from ranklift.store.values import RegisteredExperiment
from ranklift.v1 import lift_pb2, lift_pb2_grpc
from ranklift.v1.errors import InvalidRequest, NotFound


class Experiments(Protocol):
    """Where experiments are looked up."""

    def get(self, name: str) -> RegisteredExperiment:
        """Return the experiment, or raise NotFound."""
        ...


# Makes the report of an experiment over the pages shown in [start, end), of the log as it is now.
MakeReport = Callable[[RegisteredExperiment, datetime | None, datetime | None], LiftReport]
# Likewise, the preferences of its arms that interleave.
MakePreferences = Callable[
    [RegisteredExperiment, datetime | None, datetime | None], Sequence[ArmPreferences]
]
Made = TypeVar("Made")


class LiftServicer(lift_pb2_grpc.LiftServiceServicer):
    """Makes a report per call, in a thread."""

    def __init__(
        self,
        experiments: Experiments,
        make_report: MakeReport,
        make_preferences: MakePreferences,
    ) -> None:
        self._experiments = experiments
        self._make_report = make_report
        self._make_preferences = make_preferences

    async def GetLiftReport(  # noqa: N802 - the protocol's name
        self,
        request: lift_pb2.GetLiftReportRequest,
        context: aio.ServicerContext[lift_pb2.GetLiftReportRequest, lift_pb2.GetLiftReportResponse],
    ) -> lift_pb2.GetLiftReportResponse:
        report = await asyncio.to_thread(self._made, self._make_report, _asked(request))
        return lift_pb2.GetLiftReportResponse(report=to_proto(report))

    async def GetPreferenceReport(  # noqa: N802 - the protocol's name
        self,
        request: lift_pb2.GetPreferenceReportRequest,
        context: aio.ServicerContext[
            lift_pb2.GetPreferenceReportRequest, lift_pb2.GetPreferenceReportResponse
        ],
    ) -> lift_pb2.GetPreferenceReportResponse:
        found = await asyncio.to_thread(self._made, self._make_preferences, _asked(request))
        return lift_pb2.GetPreferenceReportResponse(reports=[preference_message(a) for a in found])

    def _made(
        self,
        make: Callable[[RegisteredExperiment, datetime | None, datetime | None], Made],
        asked: tuple[str, datetime | None, datetime | None],
    ) -> Made:
        name, start, end = asked
        try:
            registered = self._experiments.get(name)
        except NotFound as error:
            raise NotFound.of(
                "experiment",
                f'there is no experiment "{name}"; "ranklift experiment list" names them',
            ) from error
        return make(registered, start, end)


def _asked(
    request: lift_pb2.GetLiftReportRequest | lift_pb2.GetPreferenceReportRequest,
) -> tuple[str, datetime | None, datetime | None]:
    if not request.experiment:
        raise InvalidRequest.of(
            "experiment", 'is empty; name an experiment, e.g. "student-vs-bm25"'
        )
    return (
        request.experiment,
        _instant("start_time", request.start_time, request.HasField("start_time")),
        _instant("end_time", request.end_time, request.HasField("end_time")),
    )


def _instant(field: str, message: Timestamp, given: bool) -> datetime | None:
    if not given:
        return None
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest.of(
            field, "is not an instant between the years 1 and 9999; send valid seconds and nanos"
        ) from error
