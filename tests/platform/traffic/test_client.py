"""The client in a service's own process says what the gateway says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from grpc import aio

from ranklift.cli.composition import registry_of
from ranklift.cli.processes import free_address
from ranklift.cli.servers import gateway
from ranklift.settings import Settings, load_settings
from ranklift.store.values import ModelRef, ModelVersion
from ranklift.traffic.client import AssignmentClient
from ranklift.v1 import experiments_pb2, models_pb2, ranking_pb2
from ranklift.v1.errors import Unreachable
from ranklift.v1.experiments_pb2_grpc import ExperimentServiceStub
from ranklift.v1.models_pb2_grpc import ModelServiceStub
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
USERS = [f"user-{number}" for number in range(1_000)]
DOCUMENT = ranking_pb2.Document(id="a", text="wing flutter")
WHAT_IS_LOADED = models_pb2.ListLoadedModelVersionsRequest()

# What decides about a user: version, experiment, revision, arm, bucket.
Said = tuple[str, str, int, str, int]


@pytest.fixture
def settings(tmp_path: Path, version: Callable[[ModelRef], ModelVersion]) -> Settings:
    """An installation with two versions, the first of them the champion."""
    made = load_settings(home=tmp_path / "home")
    with registry_of(made) as registry:
        for ref in (CHAMPION, CHALLENGER):
            registry.models.register(version(ref))
        registry.models.set_champion(CHAMPION, actor="ann", reason="")
    return made


@asynccontextmanager
async def serving(settings: Settings, ranker: Any, address: str) -> AsyncIterator[aio.Channel]:
    """The gateway of `ranklift serve`, in front of one ranker."""
    async with AsyncExitStack() as stack:
        await ranker.start()
        stack.push_async_callback(ranker.kill)
        at = settings.gateway.model_copy(update={"address": address, "rankers": (ranker.address,)})
        await stack.enter_async_context(gateway(settings.model_copy(update={"gateway": at})))
        channel = await stack.enter_async_context(aio.insecure_channel(address))
        models: Any = ModelServiceStub(channel)
        # On a busy machine the ranker may have missed the gateway's first question.
        async with asyncio.timeout(60):
            while not (await models.ListLoadedModelVersions(WHAT_IS_LOADED)).loaded:
                await asyncio.sleep(0.1)
        yield channel


async def gateway_says(channel: aio.Channel) -> list[Said]:
    rank: Any = RankingServiceStub(channel).Rank

    async def one(user: str) -> Said:
        reply = await rank(
            ranking_pb2.RankRequest(
                query="shoes", documents=[DOCUMENT], user_id=user, session_id=f"session of {user}"
            )
        )
        assert not reply.fallback_reason
        (assigned,) = reply.assignments or (ranking_pb2.Assignment(),)
        version = f"{reply.model.name}@{reply.model.version}"
        return version, assigned.experiment, assigned.revision, assigned.arm, assigned.bucket

    said: list[Said] = []
    for first in range(0, len(USERS), 50):
        said += await asyncio.gather(*(one(user) for user in USERS[first : first + 50]))
    return said


def client_says(client: AssignmentClient) -> list[Said]:
    said = []
    for user in USERS:
        route = client.assign(user, f"session of {user}")
        if not route.assignments:
            said.append((str(route.model), "", 0, "", 0))
        else:
            (assigned,) = route.assignments
            of = (assigned.experiment, assigned.revision, assigned.arm, assigned.bucket)
            said.append((str(route.model), *of))
    return said


def experiment(name: str, **fields: Any) -> experiments_pb2.Experiment:
    arms = [
        experiments_pb2.Arm(
            name=arm,
            share=share,
            model=ranking_pb2.ModelSelector(name=ref.model, version=ref.version),
        )
        for arm, share, ref in (("control", 0.3, CHAMPION), ("treatment", 0.7, CHALLENGER))
    ]
    return experiments_pb2.Experiment(name=name, arms=arms, **fields)


def test_the_client_assigns_as_the_gateway_does_through_a_ramp_and_a_conclusion(
    settings: Settings, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        address = free_address()
        ranker = toy_ranker(CHAMPION, CHALLENGER)
        async with serving(settings, ranker, address) as channel:
            experiments: Any = ExperimentServiceStub(channel)

            async def begin(definition: experiments_pb2.Experiment) -> None:
                await experiments.CreateExperiment(
                    experiments_pb2.CreateExperimentRequest(experiment=definition)
                )
                await experiments.StartExperiment(
                    experiments_pb2.StartExperimentRequest(name=definition.name)
                )

            async def end(
                name: str, decision: experiments_pb2.Decision.ValueType, arm: str = ""
            ) -> None:
                await experiments.ConcludeExperiment(
                    experiments_pb2.ConcludeExperimentRequest(name=name, decision=decision, arm=arm)
                )

            with await asyncio.to_thread(AssignmentClient, address) as client:

                async def both_say() -> list[Said]:
                    await asyncio.to_thread(client.refresh)
                    said = await gateway_says(channel)
                    assert client_says(client) == said
                    return said

                before = await both_say()
                assert set(before) == {("bm25@1", "", 0, "", 0)}

                await begin(experiment("tenth", salt="s", traffic_share=0.1))
                tenth = await both_say()
                await end("tenth", experiments_pb2.DECISION_NONE)
                await begin(experiment("half", salt="s", traffic_share=0.5))
                half = await both_say()
                taking_part = [one[1] for one in half].count("half")
                assert 0.4 < taking_part / len(USERS) < 0.6
                # The ramp moved nobody who took part already.
                for early, late in zip(tenth, half, strict=True):
                    assert not early[1] or (early[3:] == late[3:])

                await end("half", experiments_pb2.DECISION_SHIP, "treatment")
                after = await both_say()
                assert set(after) == {("student@1", "", 0, "", 0)}

                unit = experiments_pb2.UNIT_SESSION
                await begin(experiment("sessions", unit=unit))
                assert {one[3] for one in await both_say()} == {"control", "treatment"}

    asyncio.run(scenario())


def test_the_client_knows_slots_and_holdouts(settings: Settings, toy_ranker: Any) -> None:
    async def scenario() -> None:
        address = free_address()
        async with serving(settings, toy_ranker(CHAMPION, CHALLENGER), address) as channel:
            experiments: Any = ExperimentServiceStub(channel)
            layer = experiments_pb2.Layer(name="default", holdout_share=0.2)
            await experiments.UpdateLayer(experiments_pb2.UpdateLayerRequest(layer=layer))
            for name in ("one", "two"):
                await experiments.CreateExperiment(
                    experiments_pb2.CreateExperimentRequest(
                        experiment=experiment(name, layer_share=0.5)
                    )
                )
                await experiments.StartExperiment(experiments_pb2.StartExperimentRequest(name=name))
            with await asyncio.to_thread(AssignmentClient, address) as client:
                said = await gateway_says(channel)
                assert client_says(client) == said
        met = Counter(one[1] for one in said)
        assert 0.14 < met[""] / len(USERS) < 0.26
        assert min(met["one"], met["two"]) / len(USERS) > 0.33

    asyncio.run(scenario())


def test_the_client_keeps_up_by_itself(settings: Settings, toy_ranker: Any) -> None:
    async def scenario() -> None:
        address = free_address()
        async with serving(settings, toy_ranker(CHAMPION), address):
            with await asyncio.to_thread(
                AssignmentClient, address, interval_seconds=0.01
            ) as client:
                with registry_of(settings) as registry:
                    registry.models.set_champion(CHALLENGER, actor="ann", reason="")
                async with asyncio.timeout(30):
                    while client.assign("u").model != CHALLENGER:
                        await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_the_client_outlives_the_platform_and_says_so(settings: Settings, toy_ranker: Any) -> None:
    async def scenario() -> None:
        address = free_address()
        async with serving(settings, toy_ranker(CHAMPION), address):
            client = await asyncio.to_thread(
                AssignmentClient, address, interval_seconds=3_600, timeout_seconds=2
            )
            fresh = client.age_seconds
        with client, structlog.testing.capture_logs() as lines:
            for _ in range(2):
                await asyncio.to_thread(client.refresh)
            assert client.assign("u").model == CHAMPION
            assert client.age_seconds > fresh
            async with serving(settings, toy_ranker(CHAMPION), address), asyncio.timeout(30):
                while lines[-1]["event"] != "platform_readable_again":
                    await asyncio.to_thread(client.refresh)
        said = [line["event"] for line in lines if line["event"].startswith("platform")]
        assert said == ["platform_unreadable", "platform_readable_again"]
        assert client.assign("u").model == CHAMPION  # also after it is closed

    asyncio.run(scenario())


def test_a_client_of_nobody_is_refused() -> None:
    address = free_address()
    with pytest.raises(Unreachable, match=f"no platform answers at {address}"):
        AssignmentClient(address, timeout_seconds=1)
