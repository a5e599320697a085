"""RetrainingService over a real socket and a real registry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc import aio

from ranklift.retrain.service import RetrainingServicer
from ranklift.store.registry import Registry
from ranklift.store.values import BUCKETS, Comparison, ModelRef, RunState
from ranklift.v1 import retraining_pb2 as pb
from ranklift.v1 import retraining_pb2_grpc as rpc
from ranklift.v1.hosting import host
from ranklift.v1.status import violations_of

NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
GOOD = {"name": "hourly", "student": "student", "teacher": "teacher", "interval": "3600s"}

Talk: TypeAlias = "Callable[[rpc.RetrainingServiceAsyncStub], Awaitable[None]]"


def talk(registry: Registry, conversation: Talk) -> None:
    """Serve the registry and hold a conversation with it."""

    async def serve() -> None:
        servicer = RetrainingServicer(registry.schedules, registry.runs, clock=lambda: NOW)
        hosted = await host(
            "127.0.0.1:0",
            {
                "ranklift.v1.RetrainingService": lambda server: (
                    rpc.add_RetrainingServiceServicer_to_server(servicer, server)
                )
            },
        )
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                await conversation(rpc.RetrainingServiceStub(channel))
        finally:
            await hosted.stop(0)

    asyncio.run(serve())


def schedule(**changes: object) -> pb.Schedule:
    given = {**GOOD, **changes}
    return ParseDict({k: v for k, v in given.items() if v is not None}, pb.Schedule())


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, dict[str, str]]:
    """Return the status of a call that fails, and what it says of which field."""
    try:
        await call
    except aio.AioRpcError as error:
        return error.code(), {v.field: v.description for v in violations_of(error)}
    raise AssertionError("was not refused")


def test_schedules_are_put_listed_and_deleted(filled: Registry) -> None:
    async def conversation(stub: rpc.RetrainingServiceAsyncStub) -> None:
        put = await stub.PutSchedule(pb.PutScheduleRequest(schedule=schedule()))
        assert MessageToDict(put.schedule, preserving_proto_field_name=True) == {
            **GOOD,
            "window": "604800s",
            "min_clicked_pages": 100,
            "layer": "default",
            "challenger_share": 0.5,
            "next_run_time": "2026-05-01T13:00:00Z",
        }
        again = await stub.PutSchedule(
            pb.PutScheduleRequest(schedule=schedule(paused=True, challengerShare=0.0001))
        )
        assert not again.schedule.HasField("next_run_time")
        assert again.schedule.challenger_share == 0.0001
        listed = await stub.ListSchedules(pb.ListSchedulesRequest())
        assert [s.name for s in listed.schedules] == ["hourly", "nightly"]
        assert listed.schedules[1].next_run_time.ToDatetime(UTC) == datetime(
            2026, 5, 2, 3, tzinfo=UTC
        )
        await stub.DeleteSchedule(pb.DeleteScheduleRequest(name="hourly"))
        listed = await stub.ListSchedules(pb.ListSchedulesRequest())
        assert [s.name for s in listed.schedules] == ["nightly"]

    talk(filled, conversation)
    assert filled.schedules.get("nightly").challenger_share == BUCKETS // 2


INVALID: list[tuple[dict[str, object], dict[str, str]]] = [
    ({"name": ""}, {"schedule.name": "is empty"}),
    ({"name": "Ünïcode"}, {"schedule.name": "must be 1 to 64 lower-case"}),
    ({"name": "x" * 65}, {"schedule.name": "must be 1 to 64"}),
    ({"student": ""}, {"schedule.student": "is empty"}),
    ({"teacher": ""}, {"schedule.teacher": "is empty"}),
    ({"teacher": "student"}, {"schedule.teacher": "is the student itself"}),
    ({"layer": "a b"}, {"schedule.layer": "must be 1 to 64"}),
    ({"interval": None}, {"schedule.cron": "neither is set"}),
    ({"cron": "* * * * *"}, {"schedule.cron": "both are set"}),
    ({"interval": None, "cron": "0 25 * * *"}, {"schedule.cron": '"0 25 * * *" is no cron line'}),
    ({"interval": None, "cron": "daily"}, {"schedule.cron": "has 1 fields, must have 5"}),
    ({"interval": "59.5s"}, {"schedule.interval": "59.5 s is not between 60 s and 3650 days"}),
    ({"interval": "-3600s"}, {"schedule.interval": "-3600 s is not between"}),
    ({"interval": "315360001s"}, {"schedule.interval": "3650 days"}),
    ({"window": "0s"}, {"schedule.window": "0 s is not between"}),
    ({"minClickedPages": -1}, {"schedule.min_clicked_pages": "-1, must be 0 or more"}),
    ({"challengerShare": 0.51}, {"schedule.challenger_share": "0.51 is not in (0, 0.5]"}),
    ({"challengerShare": -0.1}, {"schedule.challenger_share": "-0.1 is not in"}),
    ({"challengerShare": 0.00005}, {"schedule.challenger_share": "in steps of 0.0001"}),
    ({"challengerShare": "NaN"}, {"schedule.challenger_share": "nan is not in"}),
    ({"challengerShare": "Infinity"}, {"schedule.challenger_share": "inf is not in"}),
    (
        {"name": "", "window": "-1s", "challengerShare": 2},
        {"schedule.name": "", "schedule.window": "", "schedule.challenger_share": ""},
    ),
]


def test_every_wrong_field_is_named(filled: Registry) -> None:
    async def conversation(stub: rpc.RetrainingServiceAsyncStub) -> None:
        for changes, expected in INVALID:
            request = pb.PutScheduleRequest(schedule=schedule(**changes))
            code, said = await refusal(stub.PutSchedule(request))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, changes
            assert said.keys() == expected.keys(), changes
            for field, part in expected.items():
                assert part in said[field], changes

    talk(filled, conversation)
    assert [s.name for s in filled.schedules.list()] == ["nightly"]


def test_a_duration_that_makes_no_sense_is_refused(filled: Registry) -> None:
    async def conversation(stub: rpc.RetrainingServiceAsyncStub) -> None:
        for nonsense in (
            Duration(seconds=2**62),
            Duration(seconds=7200, nanos=-1),
            Duration(nanos=2_000_000_000),
        ):
            wrong = schedule()
            wrong.interval.CopyFrom(nonsense)
            code, said = await refusal(stub.PutSchedule(pb.PutScheduleRequest(schedule=wrong)))
            assert (code, [*said]) == (grpc.StatusCode.INVALID_ARGUMENT, ["schedule.interval"])

    talk(filled, conversation)


def test_what_does_not_exist_is_named(filled: Registry) -> None:
    async def conversation(stub: rpc.RetrainingServiceAsyncStub) -> None:
        unknown = schedule(student="absent", teacher="gone")
        for call, fields in (
            (
                stub.PutSchedule(pb.PutScheduleRequest(schedule=unknown)),
                ["schedule.student", "schedule.teacher"],
            ),
            (stub.DeleteSchedule(pb.DeleteScheduleRequest(name="absent")), ["name"]),
            (stub.RunSchedule(pb.RunScheduleRequest(name="absent")), ["name"]),
            (stub.GetRun(pb.GetRunRequest(run_id="absent-1")), ["run_id"]),
        ):
            code, said = await refusal(call)
            assert (code, [*said]) == (grpc.StatusCode.NOT_FOUND, fields)

    talk(filled, conversation)


def test_what_is_missing_is_named(filled: Registry) -> None:
    async def conversation(stub: rpc.RetrainingServiceAsyncStub) -> None:
        for call, field in (
            (stub.DeleteSchedule(pb.DeleteScheduleRequest()), "name"),
            (stub.RunSchedule(pb.RunScheduleRequest()), "name"),
            (stub.GetRun(pb.GetRunRequest()), "run_id"),
            (stub.ListRuns(pb.ListRunsRequest(page_size=1_001)), "page_size"),
            (stub.ListRuns(pb.ListRunsRequest(page_token="nonsense")), "page_token"),
        ):
            code, said = await refusal(call)
            assert (code, [*said]) == (grpc.StatusCode.INVALID_ARGUMENT, [field])

    talk(filled, conversation)


def test_a_run_is_asked_for_and_followed(filled: Registry) -> None:
    compared = Comparison("pair_accuracy", 0.5, 0.75, 0.25, 0.125, 0.5, 20, "clicks")

    async def conversation(stub: rpc.RetrainingServiceAsyncStub) -> None:
        asked = (await stub.RunSchedule(pb.RunScheduleRequest(name="nightly"))).run
        assert (asked.schedule, asked.state) == ("nightly", pb.RUN_STATE_QUEUED)
        assert filled.runs.queued()[0].run_id == asked.run_id

        runs = filled.runs
        runs.claim(asked.run_id)
        runs.step_started(asked.run_id, "distil")
        runs.step_ended(asked.run_id, "distil", RunState.SUCCEEDED, "done")
        runs.compared(asked.run_id, [compared])
        runs.registered(asked.run_id, ModelRef("student", "1"))
        runs.finish(asked.run_id, RunState.REJECTED, "worse")
        run = (await stub.GetRun(pb.GetRunRequest(run_id=asked.run_id))).run
        assert (run.state, run.reason) == (pb.RUN_STATE_REJECTED, "worse")
        assert run.model_version == "student@1"
        assert [(s.name, s.state, s.detail) for s in run.steps] == [
            ("distil", pb.RUN_STATE_SUCCEEDED, "done")
        ]
        assert run.end_time.ToDatetime(UTC) - run.create_time.ToDatetime(UTC) >= timedelta(0)
        kept = run.comparisons[0]
        assert (kept.difference_lower, kept.difference, kept.difference_upper) == (0.125, 0.25, 0.5)

        second = (await stub.RunSchedule(pb.RunScheduleRequest(name="nightly"))).run
        page = await stub.ListRuns(pb.ListRunsRequest(schedule="nightly", page_size=1))
        rest = await stub.ListRuns(
            pb.ListRunsRequest(schedule="nightly", page_token=page.next_page_token)
        )
        assert [r.run_id for r in (*page.runs, *rest.runs)] == [second.run_id, asked.run_id]
        assert rest.next_page_token == ""

    talk(filled, conversation)
