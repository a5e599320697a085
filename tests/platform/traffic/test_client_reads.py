"""What the client reads is one moment of the registry, and all of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import Decision, ExperimentState, ModelRef, ModelVersion
from ranklift.traffic.client import AssignmentClient
from ranklift.traffic.models_service import ModelServicer
from ranklift.traffic.registry import ExperimentRegistry
from ranklift.traffic.routing import ServingConfig
from ranklift.traffic.service import ExperimentServicer
from ranklift.traffic.upstreams import Upstreams
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1 import models_pb2
from ranklift.v1.experiments_pb2_grpc import add_ExperimentServiceServicer_to_server
from ranklift.v1.hosting import host
from ranklift.v1.models_pb2_grpc import add_ModelServiceServicer_to_server
from ranklift.v1.ranking_pb2 import ModelSelector

CHAMPION = ModelRef("bm25", "1")
UNITS = [f"user-{number}" for number in range(500)]


@pytest.fixture
def registry(sqlite_url: str, version: Callable[[ModelRef], ModelVersion]) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    opened.models.register(version(CHAMPION))
    opened.models.set_champion(CHAMPION, actor="ann", reason="first")
    yield opened
    opened.close()


def begin(registry: Registry, name: str, layer_share: float = 0.5) -> None:
    arms = [
        pb.Arm(name=arm, share=0.5, model=ModelSelector(name="bm25", version="1"))
        for arm in ("a", "b")
    ]
    experiments = ExperimentRegistry(registry.experiments)
    experiments.create(pb.Experiment(name=name, arms=arms, layer_share=layer_share), actor="ann")
    experiments.start(name, actor="ann", reason="")


async def unchanged() -> None: ...


class Restless(ExperimentServicer):
    """Serves the registry one experiment a page, and lets it change after each answer."""

    def __init__(self, registry: Registry, answered: Callable[[str, int], None]) -> None:
        super().__init__(
            ExperimentRegistry(registry.experiments), config=ServingConfig, changed=unchanged
        )
        self.answered = answered
        self.times: Counter[str] = Counter()

    async def ListLayers(  # noqa: N802
        self, request: pb.ListLayersRequest, context: Any
    ) -> pb.ListLayersResponse:
        reply = await super().ListLayers(request, context)
        await self._answer("layers")
        return reply

    async def ListExperiments(  # noqa: N802
        self, request: pb.ListExperimentsRequest, context: Any
    ) -> pb.ListExperimentsResponse:
        request.page_size = 1
        reply = await super().ListExperiments(request, context)
        await self._answer("experiments")
        return reply

    async def _answer(self, call: str) -> None:
        self.times[call] += 1
        await asyncio.to_thread(self.answered, call, self.times[call])


def read_by_client(registry: Registry, answered: Callable[[str, int], None]) -> list[Any]:
    """Return the routes of `UNITS` as a client finds them when it is opened."""

    async def scenario() -> list[Any]:
        servicer = Restless(registry, answered)
        models = ModelServicer(registry.models, Upstreams(()), changed=unchanged)
        hosted = await host(
            "127.0.0.1:0",
            {
                pb.DESCRIPTOR.services_by_name["ExperimentService"].full_name: (
                    lambda to: add_ExperimentServiceServicer_to_server(servicer, to)
                ),
                models_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name: (
                    lambda to: add_ModelServiceServicer_to_server(models, to)
                ),
            },
        )
        try:
            with await asyncio.to_thread(
                AssignmentClient, hosted.address, interval_seconds=3_600
            ) as client:
                return [client.assign(unit) for unit in UNITS]
        finally:
            await hosted.stop(0)

    return asyncio.run(scenario())


def as_registered(registry: Registry) -> list[Any]:
    running, _ = registry.experiments.list(state=ExperimentState.RUNNING)
    config = ServingConfig.of(running, CHAMPION, registry.experiments.layers())
    return [config.route(unit, "") for unit in UNITS]


def test_every_page_of_experiments_is_read(registry: Registry) -> None:
    for name in ("one", "two"):
        begin(registry, name)
    routes = read_by_client(registry, lambda call, times: None)
    assert routes == as_registered(registry)
    assert {one.experiment for route in routes for one in route.assignments} == {"one", "two"}


@pytest.mark.parametrize("after", ["layers", "experiments"])
def test_a_layer_that_changes_during_a_read_is_read_again(registry: Registry, after: str) -> None:
    """The last experiment of the layer ends, so its salt changes, and another one starts."""
    begin(registry, "one")

    def change(call: str, times: int) -> None:
        if (call, times) == (after, 1):
            ExperimentRegistry(registry.experiments).conclude(
                "one", Decision.NONE, actor="ann", reason=""
            )
            begin(registry, "two")

    routes = read_by_client(registry, change)
    assert routes == as_registered(registry)
    assert {one.experiment for route in routes for one in route.assignments} == {"two"}


def test_layers_that_never_keep_still_are_not_guessed_at(registry: Registry) -> None:
    def change(call: str, times: int) -> None:
        if call == "layers":
            registry.experiments.set_layer("other", times, actor="ann", reason="")

    with pytest.raises(RuntimeError, match="changed with every look"):
        read_by_client(registry, change)
