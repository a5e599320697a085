"""A gateway process that is told to stop, or told to wait for the disk, keeps its pages."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from ranklift.cli.composition import registry_of
from ranklift.cli.processes import Child, children, free_address, wait_until_serving
from ranklift.events.frames import read_events
from ranklift.settings import load_settings
from ranklift.store.values import ModelRef, ModelVersion
from ranklift.v1 import models_pb2, ranking_pb2
from ranklift.v1.models_pb2_grpc import ModelServiceStub
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

CHAMPION = ModelRef("bm25", "1")
DOCUMENTS = [ranking_pb2.Document(id=name, text=f"text of {name}") for name in "abc"]

WHAT_IS_LOADED = models_pb2.ListLoadedModelVersionsRequest()

Rank = Callable[[int], Any]


@pytest.fixture
def home(tmp_path: Path, version: Callable[[ModelRef], ModelVersion]) -> Path:
    """An installation with a champion."""
    with registry_of(load_settings(home=tmp_path / "home")) as registry:
        registry.models.register(version(CHAMPION))
        registry.models.set_champion(CHAMPION, actor="ann", reason="")
    return tmp_path / "home"


@asynccontextmanager
async def gateway_process(
    home: Path, ranker: Any, durability: str
) -> AsyncIterator[tuple[Child, Rank]]:
    await ranker.start()
    address = free_address()
    with children(home / "logs", {"RANKLIFT_EVENTS__DURABILITY": durability}) as start:
        at = ("--home", str(home), "--address", address, "--ranker", ranker.address)
        child = start("gateway", "serve", "gateway", *at)
        await asyncio.to_thread(wait_until_serving, child, address)
        async with aio.insecure_channel(address) as channel:
            models: Any = ModelServiceStub(channel)
            # On a busy machine the ranker may have missed the gateway's first question.
            async with asyncio.timeout(60):
                while not (await models.ListLoadedModelVersions(WHAT_IS_LOADED)).loaded:
                    await asyncio.sleep(0.1)
            call: Any = RankingServiceStub(channel).Rank

            async def rank(number: int) -> str:
                reply = await call(
                    ranking_pb2.RankRequest(
                        query="shoes", documents=DOCUMENTS, request_id=f"r-{number}"
                    )
                )
                return str(reply.impression_id)

            yield child, rank
    await ranker.kill()


def recorded(home: Path) -> set[str]:
    return set(read_events(home).pages.collect()["impression_id"])


def test_what_was_answered_before_it_was_told_to_stop_is_on_disk(
    home: Path, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with gateway_process(home, toy_ranker(CHAMPION), "prompt") as (child, rank):
            answered = set(await asyncio.gather(*map(rank, range(100))))
            child.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(child.process.wait, 30) == 0
        assert answered == {f"r-{number}" for number in range(100)}
        assert recorded(home) == answered

    asyncio.run(scenario())


def test_a_strict_gateway_that_is_killed_has_every_page_that_it_answered(
    home: Path, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with gateway_process(home, toy_ranker(CHAMPION), "strict") as (child, rank):
            for first in (0, 20, 40):
                answered = set(await asyncio.gather(*map(rank, range(first, first + 20))))
            child.kill()
        assert answered == {f"r-{number}" for number in range(40, 60)}
        assert recorded(home) >= answered

    asyncio.run(scenario())
