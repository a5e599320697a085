"""Good messages to begin with: one of every method, so that changed ones go deep."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from ranklift.inference import open_inference_pb2 as inference
from ranklift.store.values import ModelRef
from ranklift.v1 import events_pb2 as events
from ranklift.v1 import experiments_pb2 as experiments
from ranklift.v1 import lift_pb2 as lift
from ranklift.v1 import models_pb2 as models
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1 import retraining_pb2 as retraining

CHAMPION, OTHER, TEACHER = ModelRef("bm25", "1"), ModelRef("bm25", "2"), ModelRef("teacher", "1")
EVER = "always-there"  # an experiment that interleaves, and a schedule
SPLIT = "always-split"
# Experiments that messages still name: few enough to meet each of them in every state.
RECENT = 12
V1 = "ranklift.v1."
INFERENCE = "inference.GRPCInferenceService."

Seed = Callable[[], Message]


class Names:
    """The names of the experiments that all workers make and name."""

    def __init__(self) -> None:
        self._made = 0

    def new(self) -> str:
        self._made += 1
        return f"e-{self._made}"

    def recent(self, rng: random.Random) -> str:
        return f"e-{max(1, self._made - rng.randrange(RECENT))}"


def rank_request(user_id: str = "ann") -> ranking.RankRequest:
    """Return what asks for a page of two documents."""
    documents = [ranking.Document(id=f"d{i}", title="shoe", text="a red shoe") for i in range(2)]
    return ranking.RankRequest(
        query="red shoe",
        documents=documents,
        user_id=user_id,
        request_id="i1",
        attributes={"country": "de"},
    )


def lasting() -> list[experiments.Experiment]:
    """Return the experiments that run all the time, so that there is something to report."""
    interleaving = experiments.Interleaving(
        models=[_selector(CHAMPION), _selector(OTHER)],
        method=experiments.INTERLEAVING_METHOD_TEAM_DRAFT,
    )
    mixed = experiments.Arm(name="mixed", share=1.0, interleaving=interleaving)
    return [_experiment(EVER, [mixed], 0.2), _experiment(SPLIT, _two_arms(), 0.4)]


def seeds(names: Names, rng: random.Random, run_id: str, uri: str) -> Mapping[str, Seed]:
    """Return what makes a good message of each method, by full name.

    `run_id` is a run of retraining, `uri` an artefact of BM25.
    """

    def name() -> str:
        return names.recent(rng)

    def create() -> Message:
        experiment = _small(names.new(), rng)
        return experiments.CreateExperimentRequest(experiment=experiment, actor="fuzz")

    def update() -> Message:
        request = experiments.UpdateExperimentRequest(
            experiment=experiments.Experiment(name=name(), hypothesis="better", owner="ann"),
            actor="fuzz",
            reason="fuzz",
        )
        request.update_mask.paths.extend(rng.choice((["hypothesis"], ["owner", "hypothesis"])))
        return request

    def register() -> Message:
        version = models.ModelVersion(
            model="bm25", version=f"r{rng.randrange(10**9)}", kind="bm25", uri=uri,
            digest=f"sha256:{rng.getrandbits(256):064x}", numerics="fp32",
            lineage=models.Lineage(stage="index", metrics={"ndcg": 0.5}),
        )  # fmt: skip
        return models.RegisterModelVersionRequest(model_version=version)

    def schedule() -> Message:
        value = retraining.Schedule(
            name=f"s-{rng.randrange(5)}", student="bm25", teacher="teacher", cron="0 3 * * *"
        )
        value.window.FromSeconds(7 * 86_400)
        return retraining.PutScheduleRequest(schedule=value)

    def event(event_id: str) -> events.Event:
        if rng.random() < 0.2:
            dwell = events.Dwell(click_event_id="e1")
            dwell.dwell_duration.FromSeconds(12)
            return events.Event(event_id=event_id + "d", dwell=dwell)
        click = events.Click(impression_id="i1", document_id="d0")
        click.click_time.GetCurrentTime()
        return events.Event(event_id=event_id, click=click)

    def named() -> dict[str, str]:
        return {"name": name(), "actor": "fuzz", "reason": "fuzz"}

    def version() -> dict[str, str]:
        ref = rng.choice((CHAMPION, OTHER))
        return {"model": ref.model, "version": ref.version}

    served = {"model": CHAMPION.model, "version": CHAMPION.version}
    unloaded = {"model": OTHER.model, "version": OTHER.version}
    ready = {"name": CHAMPION.model, "version": CHAMPION.version}
    of_experiments, of_models = V1 + "ExperimentService.", V1 + "ModelService."
    of_retraining = V1 + "RetrainingService."
    return {
        V1 + "RankingService.Rank": lambda: rank_request(f"u{rng.randrange(1_000)}"),
        V1 + "EventService.RecordEvents": lambda: events.RecordEventsRequest(events=[event("e1")]),
        V1 + "EventService.StreamEvents": lambda: events.StreamEventsRequest(events=[event("e2")]),
        V1 + "LiftService.GetLiftReport": lambda: lift.GetLiftReportRequest(
            experiment=rng.choice((SPLIT, name()))
        ),
        V1 + "LiftService.GetPreferenceReport": lambda: lift.GetPreferenceReportRequest(
            experiment=EVER
        ),
        of_experiments + "CreateExperiment": create,
        of_experiments + "UpdateExperiment": update,
        of_experiments + "GetExperiment": lambda: experiments.GetExperimentRequest(name=name()),
        of_experiments + "ListExperiments": lambda: experiments.ListExperimentsRequest(page_size=5),
        of_experiments + "StartExperiment": lambda: experiments.StartExperimentRequest(**named()),
        of_experiments + "PauseExperiment": lambda: experiments.PauseExperimentRequest(**named()),
        of_experiments + "RampExperiment": lambda: experiments.RampExperimentRequest(
            traffic_share=rng.choice((0.2, 0.5, 1.0)), **named()
        ),
        of_experiments + "ConcludeExperiment": lambda: experiments.ConcludeExperimentRequest(
            decision=rng.choice((experiments.DECISION_ROLL_BACK, experiments.DECISION_NONE)),
            **named(),
        ),
        of_experiments + "LookupAssignments": lambda: experiments.LookupAssignmentsRequest(
            user_id="ann", session_id="s1", attributes={"country": "de"}
        ),
        of_experiments + "ListLayers": experiments.ListLayersRequest,
        of_experiments + "UpdateLayer": lambda: experiments.UpdateLayerRequest(
            layer=experiments.Layer(name=f"idle-{rng.randrange(5)}", holdout_share=0.05),
            actor="fuzz",
        ),
        of_models + "RegisterModelVersion": register,
        of_models + "GetModelVersion": lambda: models.GetModelVersionRequest(**version()),
        of_models + "ListModelVersions": lambda: models.ListModelVersionsRequest(model="bm25"),
        of_models + "SetChampion": lambda: models.SetChampionRequest(actor="fuzz", **served),
        of_models + "GetChampion": models.GetChampionRequest,
        of_models + "LoadModelVersion": lambda: models.LoadModelVersionRequest(
            uri=uri, **version()
        ),
        of_models + "UnloadModelVersion": lambda: models.UnloadModelVersionRequest(**unloaded),
        of_models + "ListLoadedModelVersions": models.ListLoadedModelVersionsRequest,
        of_retraining + "PutSchedule": schedule,
        of_retraining + "ListSchedules": retraining.ListSchedulesRequest,
        of_retraining + "DeleteSchedule": lambda: retraining.DeleteScheduleRequest(
            name=f"s-{rng.randrange(5)}"
        ),
        of_retraining + "RunSchedule": lambda: retraining.RunScheduleRequest(
            name=f"s-{rng.randrange(5)}"
        ),
        of_retraining + "GetRun": lambda: retraining.GetRunRequest(run_id=run_id),
        of_retraining + "ListRuns": lambda: retraining.ListRunsRequest(page_size=3),
        INFERENCE + "ServerLive": inference.ServerLiveRequest,
        INFERENCE + "ServerReady": inference.ServerReadyRequest,
        INFERENCE + "ServerMetadata": inference.ServerMetadataRequest,
        INFERENCE + "ModelReady": lambda: inference.ModelReadyRequest(**ready),
        INFERENCE + "ModelMetadata": lambda: inference.ModelMetadataRequest(**ready),
        INFERENCE + "ModelInfer": _infer_request,
    }


def _small(name: str, rng: random.Random) -> experiments.Experiment:
    """Return an experiment that takes so little of the layer that hundreds run beside it."""
    arms = _two_arms()
    if rng.random() < 0.5:
        control = experiments.Arm(name="control", share=0.5)
        shadowing = experiments.Arm(name="treatment", share=0.5, shadows=[_selector(OTHER)])
        arms = [control, shadowing]
    return _experiment(name, arms, 0.001, traffic_share=0.1)


def _two_arms() -> list[experiments.Arm]:
    return [
        experiments.Arm(name="control", share=0.5, model=_selector(CHAMPION)),
        experiments.Arm(name="treatment", share=0.5, model=_selector(OTHER)),
    ]


def _experiment(
    name: str, arms: list[experiments.Arm], layer_share: float, traffic_share: float = 1.0
) -> experiments.Experiment:
    return experiments.Experiment(
        name=name,
        arms=arms,
        control=arms[0].name,
        unit=experiments.UNIT_USER,
        traffic_share=traffic_share,
        layer="fuzz",
        layer_share=layer_share,
        owner="fuzz",
        primary_metric="user_ctr",
    )


def _selector(ref: ModelRef) -> ranking.ModelSelector:
    return ranking.ModelSelector(name=ref.model, version=ref.version)


def _infer_request() -> inference.ModelInferRequest:
    request = inference.ModelInferRequest(model_name=CHAMPION.model)
    for name, texts in (("query", [b"red shoe"]), ("documents", [b"a red shoe", b"a boot"])):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[len(texts)])
        tensor.contents.bytes_contents.extend(texts)
    return request
