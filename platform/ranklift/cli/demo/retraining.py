"""The demo's retraining: a nightly schedule, asked over the protocol to run now."""

from __future__ import annotations

import time
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration

from ranklift.cli.demo.installation import Servers
from ranklift.cli.output import bar
from ranklift.v1 import retraining_pb2 as pb
from ranklift.v1 import retraining_pb2_grpc as rpc
from ranklift.v1.errors import Unreachable

WINDOW = timedelta(days=2)
EVERY_NIGHT = "0 3 * * *"
STEPS = 8  # of a run, see retrain/pipeline.py
TIMEOUT_SECONDS = 300.0
OVER = (
    pb.RUN_STATE_SUCCEEDED,
    pb.RUN_STATE_SKIPPED,
    pb.RUN_STATE_REJECTED,
    pb.RUN_STATE_FAILED,
)


def retrain(servers: Servers, *, student: str, teacher: str) -> pb.Run:
    """Schedule nightly retraining, have the scheduler run it now, and return the run as it ended.

    Raises:
        Unreachable: the scheduler does not take the run up, or does not end it.
    """
    with grpc.insecure_channel(servers.gateway) as channel:
        service = rpc.RetrainingServiceStub(channel)
        window = Duration()
        window.FromTimedelta(WINDOW)
        schedule = pb.Schedule(
            name="nightly", student=student, teacher=teacher, cron=EVERY_NIGHT, window=window
        )
        service.PutSchedule(pb.PutScheduleRequest(schedule=schedule))
        run = service.RunSchedule(pb.RunScheduleRequest(name=schedule.name)).run
        deadline = time.monotonic() + TIMEOUT_SECONDS
        with bar("retraining") as progress:
            while run.state not in OVER:
                if time.monotonic() > deadline:
                    words = servers.processes["scheduler"].last_words()
                    raise Unreachable.of("", f"the retraining run did not end: {words}")
                time.sleep(0.25)
                run = service.GetRun(pb.GetRunRequest(run_id=run.run_id)).run
                done = sum(step.state == pb.RUN_STATE_SUCCEEDED for step in run.steps)
                progress.update(done, STEPS)
    return run
