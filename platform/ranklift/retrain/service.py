"""RetrainingService over the registry; the scheduler sees what changes here within two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from grpc import aio

from ranklift.retrain.messages import from_run, from_schedule, to_schedule
from ranklift.store.database import utc_now
from ranklift.store.runs import Runs
from ranklift.store.schedules import Schedules
from ranklift.v1 import retraining_pb2 as pb
from ranklift.v1 import retraining_pb2_grpc as rpc
from ranklift.v1.errors import InvalidRequest, NotFound


class RetrainingServicer(rpc.RetrainingServiceServicer):
    """Keeps schedules and shows runs; calls to the registry are made off the event loop."""

    def __init__(
        self,
        schedules: Schedules,
        runs: Runs,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._schedules = schedules
        self._runs = runs
        self._clock = clock

    async def PutSchedule(  # noqa: N802
        self,
        request: pb.PutScheduleRequest,
        context: aio.ServicerContext[pb.PutScheduleRequest, pb.PutScheduleResponse],
    ) -> pb.PutScheduleResponse:
        schedule = to_schedule(request.schedule)
        try:
            kept = await asyncio.to_thread(self._schedules.put, schedule)
        except NotFound as error:
            raise error.under("schedule") from error
        return pb.PutScheduleResponse(schedule=from_schedule(kept, self._clock()))

    async def ListSchedules(  # noqa: N802
        self,
        request: pb.ListSchedulesRequest,
        context: aio.ServicerContext[pb.ListSchedulesRequest, pb.ListSchedulesResponse],
    ) -> pb.ListSchedulesResponse:
        kept = await asyncio.to_thread(self._schedules.list)
        now = self._clock()
        return pb.ListSchedulesResponse(schedules=[from_schedule(each, now) for each in kept])

    async def DeleteSchedule(  # noqa: N802
        self,
        request: pb.DeleteScheduleRequest,
        context: aio.ServicerContext[pb.DeleteScheduleRequest, pb.DeleteScheduleResponse],
    ) -> pb.DeleteScheduleResponse:
        await asyncio.to_thread(self._schedules.delete, _required("name", request.name))
        return pb.DeleteScheduleResponse()

    async def RunSchedule(  # noqa: N802
        self,
        request: pb.RunScheduleRequest,
        context: aio.ServicerContext[pb.RunScheduleRequest, pb.RunScheduleResponse],
    ) -> pb.RunScheduleResponse:
        run = await asyncio.to_thread(self._runs.create, _required("name", request.name))
        return pb.RunScheduleResponse(run=from_run(run))

    async def GetRun(  # noqa: N802
        self,
        request: pb.GetRunRequest,
        context: aio.ServicerContext[pb.GetRunRequest, pb.GetRunResponse],
    ) -> pb.GetRunResponse:
        run = await asyncio.to_thread(self._runs.get, _required("run_id", request.run_id))
        return pb.GetRunResponse(run=from_run(run))

    async def ListRuns(  # noqa: N802
        self,
        request: pb.ListRunsRequest,
        context: aio.ServicerContext[pb.ListRunsRequest, pb.ListRunsResponse],
    ) -> pb.ListRunsResponse:
        runs, token = await asyncio.to_thread(
            self._runs.list, request.schedule, request.page_size, request.page_token
        )
        return pb.ListRunsResponse(runs=[from_run(run) for run in runs], next_page_token=token)


def _required(field: str, value: str) -> str:
    if not value:
        raise InvalidRequest.of(field, "is empty, must be given")
    return value
