"""Gateway processes and their registry: a change reaches all of them, an outage stops none."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.platform.traffic.postgres_gate import Gate

from ranklift.cli.processes import Child, Start, children, free_address, wait_until_serving
from ranklift.store.registry import open_registry
from ranklift.store.values import ModelRef, ModelVersion
from ranklift.v1 import experiments_pb2, models_pb2, ranking_pb2
from ranklift.v1.experiments_pb2_grpc import ExperimentServiceStub
from ranklift.v1.models_pb2_grpc import ModelServiceStub
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

CHAMPION, CHALLENGER = ModelRef("bm25", "1"), ModelRef("student", "1")
STATES = health_pb2.HealthCheckResponse
EXPERIMENT = experiments_pb2.Experiment(
    name="title-boost",
    arms=[
        experiments_pb2.Arm(
            name=ref.model,
            share=0.5,
            model=ranking_pb2.ModelSelector(name=ref.model, version=ref.version),
        )
        for ref in (CHAMPION, CHALLENGER)
    ],
)


class Gateway:
    """A gateway process, and calls to it."""

    def __init__(self, child: Child, address: str) -> None:
        self.child = child
        self.channel = aio.insecure_channel(address)
        self.experiments: Any = ExperimentServiceStub(self.channel)
        self.models: Any = ModelServiceStub(self.channel)

    @classmethod
    async def start(cls, start: Start, name: str, home: Path, ranker: str) -> Gateway:
        address = free_address()
        at = ("--home", str(home), "--address", address, "--ranker", ranker)
        child = start(name, "serve", "gateway", *at)
        await asyncio.to_thread(wait_until_serving, child, address)
        return cls(child, address)

    async def rank(self, user_id: str) -> ranking_pb2.RankResponse:
        documents = [ranking_pb2.Document(id=name, text=f"text of {name}") for name in "abc"]
        request = ranking_pb2.RankRequest(query="shoes", documents=documents, user_id=user_id)
        ranking: Any = RankingServiceStub(self.channel)
        reply: ranking_pb2.RankResponse = await ranking.Rank(request, timeout=10)
        return reply

    async def health(self) -> dict[str, int]:
        health: Any = health_pb2_grpc.HealthStub(self.channel)
        messages: Any = health_pb2
        listed = (await health.List(messages.HealthListRequest())).statuses
        return {name: listed[name].status for name in ("", "ranklift.registry")}

    async def assigns(self) -> bool:
        request = experiments_pb2.LookupAssignmentsRequest(user_id="ann")
        return bool((await self.experiments.LookupAssignments(request)).assignments)


async def until(true: Callable[[], Any], *, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.02)


def test_a_change_through_one_gateway_serves_at_another_and_an_outage_stops_neither(
    gate: Gate,
    postgres_url: str,
    version: Callable[[ModelRef], ModelVersion],
    toy_ranker: Any,
    tmp_path: Path,
) -> None:
    registry = open_registry(postgres_url)
    for ref in (CHAMPION, CHALLENGER):
        registry.models.register(version(ref))
    registry.models.set_champion(CHAMPION, actor="ann", reason="")
    registry.close()
    url = re.sub(r"host=.*", f"host={gate.folder}", postgres_url)
    home = tmp_path / "home"

    async def scenario(start: Start) -> None:
        ranker = toy_ranker(CHAMPION, CHALLENGER)
        await ranker.start()
        first = await Gateway.start(start, "first", home, ranker.address)
        second = await Gateway.start(start, "second", home, ranker.address)

        # 1. The other process serves the change within 2 s.
        assert not await second.assigns()
        create = experiments_pb2.CreateExperimentRequest(experiment=EXPERIMENT, actor="ann")
        await first.experiments.CreateExperiment(create)
        begin = experiments_pb2.StartExperimentRequest(name=EXPERIMENT.name, actor="ann")
        await first.experiments.StartExperiment(begin)
        began = time.monotonic()
        await until(second.assigns)
        assert time.monotonic() - began < 2.0

        # 2. The registry goes away: both serve on, as before, and say so.
        users = [f"user-{number}" for number in range(20)]
        before = [list((await second.rank(user)).assignments) for user in users]
        assert len({one.arm for (one,) in before}) == 2
        gate.shut_down()
        stale = {"": STATES.SERVING, "ranklift.registry": STATES.NOT_SERVING}

        async def says_stale() -> bool:
            return await second.health() == stale

        await until(says_stale)
        assert [list((await second.rank(user)).assignments) for user in users] == before

        # 3. One that starts meanwhile serves the same.
        second.child.kill()
        await second.channel.close()
        third = await Gateway.start(start, "third", home, ranker.address)
        assert await third.health() == stale
        assert [list((await third.rank(user)).assignments) for user in users] == before

        # 4. The registry is back, and so are changes.
        gate.shut = False

        async def says_fresh() -> bool:
            return set((await third.health()).values()) == {STATES.SERVING}

        await until(says_fresh)
        champion = models_pb2.SetChampionRequest(
            model=CHALLENGER.model, version=CHALLENGER.version, actor="ann"
        )
        await first.models.SetChampion(champion)

        async def serves_it() -> bool:
            reply = await third.rank("")
            return reply.model.name == CHALLENGER.model

        await until(serves_it)
        for gateway in (first, third):
            await gateway.channel.close()
        await ranker.kill()

    with children(tmp_path / "logs", {"RANKLIFT_REGISTRY": url}) as start:
        asyncio.run(asyncio.wait_for(scenario(start), 240))
