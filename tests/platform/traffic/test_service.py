"""ExperimentService over a real socket and a real registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import aio

from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import ModelRef, ModelVersion
from ranklift.traffic.config import ConfigPoller
from ranklift.traffic.registry import ExperimentRegistry
from ranklift.traffic.service import ExperimentServicer
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import Violation
from ranklift.v1.experiments_pb2_grpc import (
    ExperimentServiceStub,
    add_ExperimentServiceServicer_to_server,
)
from ranklift.v1.hosting import host
from ranklift.v1.ranking_pb2 import ModelSelector
from ranklift.v1.status import violations_of

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
SERVICE = pb.DESCRIPTOR.services_by_name["ExperimentService"].full_name

Serve = Callable[[], AbstractAsyncContextManager[tuple[Any, ConfigPoller]]]


@pytest.fixture
def sqlite_registry(
    sqlite_url: str, version: Callable[[ModelRef], ModelVersion]
) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    for ref in (CHAMPION, CHALLENGER):
        opened.models.register(version(ref))
    opened.models.set_champion(CHAMPION, actor="ann", reason="first")
    yield opened
    opened.close()


@pytest.fixture
def serve(sqlite_registry: Registry) -> Serve:
    """Serves the registry; the configuration is only read at the start and on a change."""

    @asynccontextmanager
    async def served() -> AsyncIterator[tuple[Any, ConfigPoller]]:
        async with AsyncExitStack() as stack:
            experiments, models = sqlite_registry.experiments, sqlite_registry.models
            poller = ConfigPoller(experiments, models, interval_seconds=3_600)
            await poller.start()
            stack.push_async_callback(poller.close)
            servicer = ExperimentServicer(
                ExperimentRegistry(experiments),
                config=poller.current,
                changed=poller.refresh,
            )
            hosted = await host(
                "127.0.0.1:0",
                {SERVICE: lambda to: add_ExperimentServiceServicer_to_server(servicer, to)},
            )
            stack.push_async_callback(hosted.stop, 0)
            channel = await stack.enter_async_context(aio.insecure_channel(hosted.address))
            yield ExperimentServiceStub(channel), poller

    return served


def definition(name: str = "title-boost", share: float = 0.5) -> pb.Experiment:
    return pb.Experiment(
        name=name,
        arms=[
            pb.Arm(name="control", share=0.5, model=ModelSelector(name="bm25", version="1")),
            pb.Arm(name="treatment", share=share, model=ModelSelector(name="student", version="1")),
        ],
    )


async def refused(call: Any) -> tuple[grpc.StatusCode, list[Violation]]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), list(violations_of(caught.value))


def test_an_experiment_lives_over_the_wire(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, poller):
            created = (
                await client.CreateExperiment(
                    pb.CreateExperimentRequest(experiment=definition(), actor="ann")
                )
            ).experiment
            assert created.state == pb.EXPERIMENT_STATE_DRAFT
            assert (created.revision, created.salt) == (1, "default/title-boost")
            assert not poller.current().experiments

            started = (
                await client.StartExperiment(
                    pb.StartExperimentRequest(name="title-boost", etag=created.etag, actor="ann")
                )
            ).experiment
            assert started.state == pb.EXPERIMENT_STATE_RUNNING
            # Who was answered finds it serving.
            assert len(poller.current().experiments) == 1

            await client.PauseExperiment(pb.PauseExperimentRequest(name="title-boost"))
            assert not poller.current().experiments

            concluded = (
                await client.ConcludeExperiment(
                    pb.ConcludeExperimentRequest(
                        name="title-boost", decision=pb.DECISION_SHIP, arm="treatment", actor="bob"
                    )
                )
            ).experiment
            assert concluded.state == pb.EXPERIMENT_STATE_CONCLUDED
            assert concluded.decision == pb.DECISION_SHIP
            assert concluded.HasField("end_time")
            assert poller.current().champion == CHALLENGER

            got = await client.GetExperiment(pb.GetExperimentRequest(name="title-boost"))
            assert got.experiment == concluded
            assert [one.actor for one in concluded.revisions] == ["ann", "ann", "", "bob"]

    asyncio.run(scenario())


def test_an_experiment_comes_back_with_its_plan(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, _):
            plan = pb.AnalysisPlan(
                guardrails=[pb.Guardrail(metric="latency", margin=0.05)],
                metrics=[
                    pb.Metric(
                        name="deep_clicks",
                        title="Clicks per unit",
                        unit="clicks per unit",
                        definition="Clicks divided by units.",
                        numerator="clicks",
                        form=pb.METRIC_FORM_MEAN,
                        direction=pb.METRIC_DIRECTION_UP,
                        cap_quantile=0.99,
                        when_zero=pb.METRIC_ZERO_RULE_DROP,
                        parts_per_unit=1,
                    )
                ],
                planned_units=9_000,
                alpha=0.01,
                power=0.9,
                covariates=False,
                bot_pages_per_day=0,
            )
            of = definition()
            of.analysis.CopyFrom(plan)
            await client.CreateExperiment(pb.CreateExperimentRequest(experiment=of))
            got = await client.GetExperiment(pb.GetExperimentRequest(name="title-boost"))
            assert got.experiment.analysis == plan

            of.analysis.guardrails[0].metric = "speed"
            code, violations = await refused(
                client.CreateExperiment(pb.CreateExperimentRequest(experiment=of))
            )
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert [one.field for one in violations] == ["experiment.analysis.guardrails[0].metric"]

    asyncio.run(scenario())


def test_lookup_tells_the_arm_and_nothing_else(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, _):
            await client.CreateExperiment(pb.CreateExperimentRequest(experiment=definition()))
            asked = pb.LookupAssignmentsRequest(user_id="user-1")
            assert not (await client.LookupAssignments(asked)).assignments
            await client.StartExperiment(pb.StartExperimentRequest(name="title-boost"))
            (assignment,) = (await client.LookupAssignments(asked)).assignments
            assert (assignment.arm, assignment.bucket) == ("treatment", 5_949)
            assert (assignment.revision, assignment.unit_id) == (2, "user-1")
            of_session = pb.LookupAssignmentsRequest(session_id="user-1")
            assert not (await client.LookupAssignments(of_session)).assignments
            code, violations = await refused(
                client.LookupAssignments(pb.LookupAssignmentsRequest())
            )
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert [one.field for one in violations] == ["user_id"]

    asyncio.run(scenario())


def test_listing_goes_by_pages_and_state(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, _):
            for name in ("c", "a", "b"):
                await client.CreateExperiment(
                    pb.CreateExperimentRequest(experiment=definition(name))
                )
            await client.StartExperiment(pb.StartExperimentRequest(name="b"))
            names: list[str] = []
            asked = pb.ListExperimentsRequest(page_size=2)
            while True:
                page = await client.ListExperiments(asked)
                names += [one.name for one in page.experiments]
                if not page.next_page_token:
                    break
                asked.page_token = page.next_page_token
            assert names == ["a", "b", "c"]
            running = pb.ListExperimentsRequest(state=pb.EXPERIMENT_STATE_RUNNING)
            found = (await client.ListExperiments(running)).experiments
            assert [one.name for one in found] == ["b"]

    asyncio.run(scenario())


def test_an_experiment_is_updated_and_ramped_by_whoever_saw_it_last(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, poller):
            of = definition()
            of.ramp.steps.add(traffic_share=0.01)
            created = (
                await client.CreateExperiment(pb.CreateExperimentRequest(experiment=of))
            ).experiment
            assert created.traffic_share == 0.01

            new = pb.Experiment(name="title-boost", owner="search", hypothesis="ignored")
            asked = pb.UpdateExperimentRequest(experiment=new, etag=created.etag, actor="ann")
            asked.update_mask.paths.append("owner")
            updated = (await client.UpdateExperiment(asked)).experiment
            assert (updated.owner, updated.hypothesis, updated.revision) == ("search", "", 2)
            code, violations = await refused(client.UpdateExperiment(asked))
            assert code is grpc.StatusCode.ABORTED
            assert [one.field for one in violations] == ["etag"]

            await client.StartExperiment(pb.StartExperimentRequest(name="title-boost"))
            ramp = pb.RampExperimentRequest(name="title-boost", traffic_share=0.5, reason="no harm")
            ramped = (await client.RampExperiment(ramp)).experiment
            assert (ramped.traffic_share, ramped.revision) == (0.5, 4)
            assert (ramped.slots[0].start, ramped.slots[0].end) == (0, 10_000)
            shares = [revision.traffic_share for revision in ramped.revisions]
            assert shares == [0.01, 0.01, 0.01, 0.5]
            # Who was answered finds it serving.
            (serving,) = poller.current().experiments.values()
            assert serving.registered.revision == 4
            code, violations = await refused(client.RampExperiment(ramp))
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert [one.field for one in violations] == ["traffic_share"]

            asked.etag = ""
            asked.update_mask.paths.append("arms")
            code, violations = await refused(client.UpdateExperiment(asked))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert [one.field for one in violations] == ["experiment.arms"]

    asyncio.run(scenario())


def test_layers_are_listed_and_set(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, _):
            layer = pb.Layer(name="ranking", holdout_share=0.05, salt="ignored")
            asked = pb.UpdateLayerRequest(layer=layer, actor="ann", reason="long-term effects")
            made = (await client.UpdateLayer(asked)).layer
            assert made == pb.Layer(name="ranking", holdout_share=0.05, salt="ranking/slots/1")
            assert list((await client.ListLayers(pb.ListLayersRequest())).layers) == [made]
            of = definition()
            of.layer = "ranking"
            await client.CreateExperiment(pb.CreateExperimentRequest(experiment=of))
            await client.StartExperiment(pb.StartExperimentRequest(name="title-boost"))
            layer.holdout_share = 0.1
            asked = pb.UpdateLayerRequest(layer=layer)
            code, violations = await refused(client.UpdateLayer(asked))
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert [one.field for one in violations] == ["layer.holdout_share"]
            assert '"title-boost" is running' in violations[0].description

    asyncio.run(scenario())


def test_listing_goes_by_layer_and_owner(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as (client, _):
            for name, layer, owner in (("a", "x", "ann"), ("b", "x", "bob"), ("c", "y", "ann")):
                of = definition(name)
                of.layer, of.owner = layer, owner
                await client.CreateExperiment(pb.CreateExperimentRequest(experiment=of))
            asked = pb.ListExperimentsRequest(layer="x", owner="ann")
            found = (await client.ListExperiments(asked)).experiments
            assert [one.name for one in found] == ["a"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "request_message", "code", "field"),
    [
        ("CreateExperiment", pb.CreateExperimentRequest(), "INVALID_ARGUMENT", "experiment"),
        (
            "CreateExperiment",
            pb.CreateExperimentRequest(experiment=definition(share=0.4)),
            "INVALID_ARGUMENT",
            "experiment.arms",
        ),
        ("UpdateExperiment", pb.UpdateExperimentRequest(), "INVALID_ARGUMENT", "experiment"),
        (
            "UpdateExperiment",
            pb.UpdateExperimentRequest(
                experiment=pb.Experiment(name="nobody"), update_mask=FieldMask(paths=["owner"])
            ),
            "NOT_FOUND",
            "experiment.name",
        ),
        ("UpdateLayer", pb.UpdateLayerRequest(), "INVALID_ARGUMENT", "layer"),
        (
            "UpdateLayer",
            pb.UpdateLayerRequest(layer=pb.Layer(name="?")),
            "INVALID_ARGUMENT",
            "layer.name",
        ),
        (
            "RampExperiment",
            pb.RampExperimentRequest(name="nobody"),
            "INVALID_ARGUMENT",
            "traffic_share",
        ),
        (
            "RampExperiment",
            pb.RampExperimentRequest(name="nobody", traffic_share=0.5),
            "NOT_FOUND",
            "name",
        ),
        (
            "LookupAssignments",
            pb.LookupAssignmentsRequest(user_id="u", attributes={"country": "x" * 129}),
            "INVALID_ARGUMENT",
            "attributes[country]",
        ),
        ("GetExperiment", pb.GetExperimentRequest(), "INVALID_ARGUMENT", "name"),
        ("GetExperiment", pb.GetExperimentRequest(name="nobody"), "NOT_FOUND", "name"),
        ("StartExperiment", pb.StartExperimentRequest(name="nobody"), "NOT_FOUND", "name"),
        ("PauseExperiment", pb.PauseExperimentRequest(name="nobody"), "NOT_FOUND", "name"),
        (
            "ConcludeExperiment",
            pb.ConcludeExperimentRequest(name="nobody"),
            "INVALID_ARGUMENT",
            "decision",
        ),
        (
            "ConcludeExperiment",
            pb.ConcludeExperimentRequest(name="nobody", decision=pb.DECISION_NONE),
            "NOT_FOUND",
            "name",
        ),
        (
            "ListExperiments",
            pb.ListExperimentsRequest(page_size=-1),
            "INVALID_ARGUMENT",
            "page_size",
        ),
        (
            "ListExperiments",
            pb.ListExperimentsRequest(page_token="?"),
            "INVALID_ARGUMENT",
            "page_token",
        ),
        (
            "ListExperiments",
            pb.ListExperimentsRequest(state=9),  # type: ignore[arg-type]
            "INVALID_ARGUMENT",
            "state",
        ),
    ],
)
def test_a_bad_request_is_refused_with_its_field(
    serve: Serve, method: str, request_message: Any, code: str, field: str
) -> None:
    async def scenario() -> None:
        async with serve() as (client, _):
            given, violations = await refused(getattr(client, method)(request_message))
            assert given is grpc.StatusCode[code]
            assert [one.field for one in violations] == [field]

    asyncio.run(scenario())
