"""Which ranker is asked: the ones that have the version, in turn, the dead ones last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.traffic.upstreams import NotLoaded, Upstreams
from ranklift.v1.errors import NotFound, Overloaded
from ranklift.v1.models_pb2 import ListLoadedModelVersionsRequest
from ranklift.v1.ranking_pb2 import Document, RankRequest

ONE = ModelRef("bm25", "1")
TWO = ModelRef("student", "1")
REQUEST = RankRequest(query="shoes", documents=[Document(id="a", text="red shoes")])


@asynccontextmanager
async def knowing(*rankers: Any, discovery_seconds: float = 3_600) -> AsyncIterator[Upstreams]:
    """Start the rankers, and the upstreams that know them."""
    async with AsyncExitStack() as stack:
        for ranker in rankers:
            await ranker.start()
            stack.push_async_callback(ranker.kill)
        addresses = [ranker.address for ranker in rankers]
        upstreams = Upstreams(addresses, discovery_seconds=discovery_seconds)
        stack.push_async_callback(upstreams.close)
        await upstreams.start()
        yield upstreams


def test_the_placement_says_who_has_what(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(ONE, TWO), toy_ranker(TWO), toy_ranker()
        async with knowing(*rankers) as upstreams:
            first, second, _ = upstreams.addresses
            assert upstreams.placement == {ONE: [first], TWO: [first, second]}
            assert [(one.model, one.address) for one in upstreams.loaded()] == [
                ("bm25", first),
                *(("student", address) for address in sorted([first, second])),
            ]

    asyncio.run(scenario())


def test_a_version_loaded_later_is_found(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker, discovery_seconds=0.05) as upstreams:
            with pytest.raises(NotLoaded, match="student@1 is loaded in no ranker"):
                await upstreams.rank(TWO, REQUEST, 1.0)
            ranker.versions.append(TWO)
            began = time.monotonic()
            while TWO not in upstreams.placement:
                assert time.monotonic() - began < 2.0
                await asyncio.sleep(0.01)
            assert (await upstreams.rank(TWO, REQUEST, 1.0)).model.name == "student"

    asyncio.run(scenario())


def test_replicas_take_turns(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(ONE), toy_ranker(TWO)]
        async with knowing(*rankers) as upstreams:
            for _ in range(10):
                await upstreams.rank(ONE, REQUEST, 1.0)
            assert [len(ranker.asked) for ranker in rankers] == [5, 5, 0]

    asyncio.run(scenario())


def test_the_version_is_named_and_the_callers_request_left_alone(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker) as upstreams:
            await upstreams.rank(ONE, REQUEST, 1.0)
            (asked,) = ranker.asked
            assert (asked.model.name, asked.model.version) == ("bm25", "1")
            assert not REQUEST.HasField("model")

    asyncio.run(scenario())


def test_a_dead_replica_is_passed_over(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(ONE)]
        async with knowing(*rankers) as upstreams:
            await rankers[0].kill()
            for _ in range(10):
                await upstreams.rank(ONE, REQUEST, 1.0)
            assert len(rankers[1].asked) == 10

    asyncio.run(scenario())


def test_a_dead_ranker_keeps_its_place_but_is_not_listed(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(TWO)]
        async with knowing(*rankers) as upstreams:
            await rankers[0].kill()
            await upstreams.discover()
            assert ONE in upstreams.placement
            assert [one.model for one in upstreams.loaded()] == ["student"]
            with pytest.raises(aio.AioRpcError) as caught:
                await upstreams.rank(ONE, REQUEST, 1.0)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())


def test_only_what_is_unavailable_is_tried_elsewhere(toy_ranker: Any) -> None:
    """An overloaded pool would only be loaded more by trying it all."""

    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(ONE)]
        async with knowing(*rankers) as upstreams:
            for ranker in rankers:
                ranker.trouble = Overloaded.of("", "queue full")
            with pytest.raises(aio.AioRpcError) as caught:
                await upstreams.rank(ONE, REQUEST, 1.0)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert sum(len(ranker.asked) for ranker in rankers) == 1

    asyncio.run(scenario())


def test_a_call_ends_at_its_deadline(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker) as upstreams:
            ranker.delay_seconds = 30.0
            began = time.monotonic()
            with pytest.raises(aio.AioRpcError) as caught:
                await upstreams.rank(ONE, REQUEST, 0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert time.monotonic() - began < 2.0

    asyncio.run(scenario())


def test_a_ranker_that_starts_later_is_found(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        await ranker.start()  # for its address
        await ranker.kill()
        upstreams = Upstreams([ranker.address], discovery_seconds=0.1)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(upstreams.close)
            await upstreams.start()
            with pytest.raises(NotLoaded):
                await upstreams.rank(ONE, REQUEST, 1.0)
            await ranker.start()
            stack.push_async_callback(ranker.kill)
            began = time.monotonic()
            while not upstreams.placement:
                assert time.monotonic() - began < 2.0
                await asyncio.sleep(0.02)
            await upstreams.rank(ONE, REQUEST, 1.0)

    asyncio.run(scenario())


def test_an_address_that_is_no_ranker_of_ours_is_refused(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker) as upstreams:
            with pytest.raises(NotFound, match=f'"localhost:1" is no .*: {ranker.address}'):
                await upstreams.at(
                    "localhost:1",
                    lambda models: models.ListLoadedModelVersions(ListLoadedModelVersionsRequest()),
                )

    asyncio.run(scenario())
