"""What the demo asks of the gateway, with nothing but the protocol."""

from __future__ import annotations

import time

import grpc

from ranklift.lift.plan_messages import plan_message
from ranklift.store.analysis import AnalysisPlan
from ranklift.store.values import ModelRef
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1 import experiments_pb2_grpc, models_pb2, models_pb2_grpc
from ranklift.v1.errors import Unreachable
from ranklift.v1.ranking_pb2 import ModelSelector

ACTOR = "demo"
SERVED_SECONDS = 20.0


def begin_experiment(
    address: str,
    name: str,
    *,
    control: ModelRef,
    challenger: ModelRef,
    plan: AnalysisPlan | None = None,
) -> None:
    """Register an experiment of two equal arms, start it, and wait until it is served."""
    experiment = pb.Experiment(
        name=name,
        hypothesis=f"{challenger} brings more pages with a click than {control}.",
        arms=[
            pb.Arm(name=arm, share=0.5, model=ModelSelector(name=ref.model, version=ref.version))
            for arm, ref in (("control", control), ("challenger", challenger))
        ],
        analysis=plan_message(plan or AnalysisPlan()),
    )
    with grpc.insecure_channel(address) as channel:
        service = experiments_pb2_grpc.ExperimentServiceStub(channel)
        service.CreateExperiment(pb.CreateExperimentRequest(experiment=experiment, actor=ACTOR))
        service.StartExperiment(pb.StartExperimentRequest(name=name, actor=ACTOR))
    wait_until_served(address, name)


def conclude_experiment(address: str, name: str, *, ship: str, reason: str) -> None:
    """Conclude an experiment: ship the arm `ship`, or roll back when it is ""."""
    with grpc.insecure_channel(address) as channel:
        experiments_pb2_grpc.ExperimentServiceStub(channel).ConcludeExperiment(
            pb.ConcludeExperimentRequest(
                name=name,
                decision=pb.DECISION_SHIP if ship else pb.DECISION_ROLL_BACK,
                arm=ship,
                actor=ACTOR,
                reason=reason,
            )
        )


def wait_until_served(address: str, name: str) -> None:
    """Return when the gateway assigns units to a running experiment and has found its rankers.

    Somebody else may have started it, and a gateway learns of that within two seconds.

    Raises:
        Unreachable: it did not.
    """
    deadline = time.monotonic() + SERVED_SECONDS
    with grpc.insecure_channel(address) as channel:
        experiments = experiments_pb2_grpc.ExperimentServiceStub(channel)
        models = models_pb2_grpc.ModelServiceStub(channel)
        found = experiments.GetExperiment(pb.GetExperimentRequest(name=name)).experiment
        wanted = {(arm.model.name, arm.model.version) for arm in found.arms}
        while time.monotonic() < deadline:
            assigned = experiments.LookupAssignments(
                pb.LookupAssignmentsRequest(user_id="anybody", session_id="any")
            ).assignments
            loaded = models.ListLoadedModelVersions(
                models_pb2.ListLoadedModelVersionsRequest()
            ).loaded
            present = {(each.model, each.version) for each in loaded}
            if any(one.experiment == name for one in assigned) and wanted <= present:
                return
            time.sleep(0.1)
    raise Unreachable.of("", f"the gateway at {address} does not serve {name}")
