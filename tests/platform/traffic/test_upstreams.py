"""Which ranker is asked: the ones that have the version, in turn, the dead ones last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
import structlog
from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.traffic.breaker import BreakerPolicy, BreakerState
from ranklift.traffic.pools import PoolOpen, PoolPolicy
from ranklift.traffic.retry_budget import RetryPolicy
from ranklift.traffic.upstreams import LOOK_SECONDS, NotLoaded, Upstreams
from ranklift.v1.errors import Expired, InvalidRequest, NotFound, Overloaded, Unreachable
from ranklift.v1.models_pb2 import ListLoadedModelVersionsRequest
from ranklift.v1.ranking_pb2 import Document, RankRequest

ONE = ModelRef("bm25", "1")
TWO = ModelRef("student", "1")
REQUEST = RankRequest(query="shoes", documents=[Document(id="a", text="red shoes")])


@asynccontextmanager
async def knowing(
    *rankers: Any, discovery_seconds: float = 3_600, policy: PoolPolicy | None = None
) -> AsyncIterator[Upstreams]:
    """Start the rankers, and the upstreams that know them."""
    async with AsyncExitStack() as stack:
        for ranker in rankers:
            await ranker.start()
            stack.push_async_callback(ranker.kill)
        addresses = [ranker.address for ranker in rankers]
        upstreams = Upstreams(addresses, discovery_seconds=discovery_seconds, policy=policy)
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


def test_a_ranker_that_unloaded_the_version_a_moment_ago_is_passed_over(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(ONE)]
        async with knowing(*rankers) as upstreams:
            rankers[0].versions.clear()
            for _ in range(4):
                await upstreams.rank(ONE, REQUEST, 1.0)

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


def strict(**changes: Any) -> PoolPolicy:
    """Breakers that open at the second failure for good, and no retries beyond those saved."""
    breaker = BreakerPolicy(failures_in_a_row=2, open_seconds=3_600, most_open_seconds=3_600)
    retries = RetryPolicy(ratio=0.0, per_second=0.0, saved=changes.pop("saved", 10.0))
    return PoolPolicy(replace(breaker, **changes), retries)


async def outcome(upstreams: Upstreams, model: ModelRef = ONE, **options: Any) -> str:
    """Make a call and return how it ended."""
    try:
        await upstreams.rank(model, REQUEST, options.pop("seconds", 5.0), **options)
    except aio.AioRpcError as error:
        return error.code().name
    except PoolOpen:
        return "open"
    return "answered"


@pytest.mark.parametrize(
    "trouble", [Unreachable.of("", "warming up"), grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN]
)
def test_an_arm_whose_rankers_all_fail_is_left_alone_until_one_is_back(
    toy_ranker: Any, trouble: Any
) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker, policy=strict()) as upstreams:
            ranker.trouble = trouble
            with structlog.testing.capture_logs() as logged:
                for _ in range(2):
                    assert await outcome(upstreams) not in ("answered", "open")
                for _ in range(5):
                    assert await outcome(upstreams) == "open"
            assert len(ranker.asked) == 2
            assert [line["event"] for line in logged] == ["breaker_opened"]
            pool = upstreams.pools[ONE]
            assert pool.breakers() == {ranker.address: BreakerState.OPEN}
            assert pool.counts["opened"] == 1
            await ranker.kill()
            await upstreams.discover()
            ranker.trouble = None
            await ranker.start()
            async with asyncio.timeout(5):
                while await outcome(upstreams) != "answered":
                    await upstreams.discover()
                    await asyncio.sleep(0.02)
            assert pool.breakers() == {ranker.address: BreakerState.CLOSED}

    asyncio.run(scenario())


def test_the_last_resort_is_tried_whatever_its_breakers_say(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(ONE)]
        async with knowing(*rankers, policy=strict(saved=1.0)) as upstreams:
            for ranker in rankers:
                ranker.trouble = Unreachable.of("", "warming up")
            while await outcome(upstreams) != "open":
                pass
            assert await outcome(upstreams, last_resort=True) == "UNAVAILABLE"
            # Whichever comes first, the one that is well is found; no budget is left.
            rankers[1].trouble = None
            assert await outcome(upstreams, last_resort=True) == "answered"

    asyncio.run(scenario())


def test_the_last_resort_waits_a_moment_for_a_ranker_to_come_back(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker) as upstreams:
            await ranker.kill()
            assert await outcome(upstreams) == "UNAVAILABLE"
            call = asyncio.create_task(outcome(upstreams, last_resort=True))
            await asyncio.sleep(0.1)
            assert not call.done()
            await ranker.start()
            assert await call == "answered"
            await ranker.kill()
            began = time.monotonic()
            assert await outcome(upstreams, last_resort=True, seconds=0.2) in (
                "UNAVAILABLE",
                "DEADLINE_EXCEEDED",
            )
            assert time.monotonic() - began < LOOK_SECONDS

    asyncio.run(scenario())


def test_the_last_resort_finds_what_was_loaded_a_moment_ago(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker()]
        async with knowing(*rankers) as upstreams:
            rankers[1].versions.append(TWO)
            calls = [outcome(upstreams, TWO, last_resort=True) for _ in range(20)]
            assert set(await asyncio.gather(*calls)) == {"answered"}
            # A ranker that is back, and is not known to be.
            await rankers[1].kill()
            rankers[1].versions.append(ONE)
            await rankers[1].start()
            await rankers[0].kill()
            assert await outcome(upstreams, ONE, last_resort=True) == "answered"

    asyncio.run(scenario())


def test_retries_end_with_their_budget(toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = [toy_ranker(ONE), toy_ranker(ONE)]
        policy = strict(saved=3.0, failures_in_a_row=1_000, calls=1_000)
        async with knowing(*rankers, policy=policy) as upstreams:
            for ranker in rankers:
                ranker.trouble = Unreachable.of("", "warming up")
            for _ in range(10):
                assert await outcome(upstreams) == "UNAVAILABLE"
            assert sum(len(ranker.asked) for ranker in rankers) == 10 + 3
            counts = upstreams.pools[ONE].counts
            assert (counts["retries"], counts["retries_denied"]) == (3, 7)

    asyncio.run(scenario())


def test_an_arm_that_fails_opens_no_breaker_of_another_version(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE, TWO)
        async with knowing(ranker, policy=strict()) as upstreams:

            def fail_as_student(reply: Any) -> None:
                if reply.model.name == TWO.model:
                    raise RuntimeError("a fault of this model's")

            ranker.spoil = fail_as_student
            with structlog.testing.capture_logs():
                outcomes = [await outcome(upstreams, TWO) for _ in range(3)]
            assert outcomes == ["INTERNAL", "INTERNAL", "open"]
            assert await outcome(upstreams, ONE) == "answered"

    asyncio.run(scenario())


def test_timeouts_open_the_breaker_unless_the_caller_left_no_time(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker, policy=strict()) as upstreams:
            ranker.delay_seconds = 30.0
            for _ in range(5):
                assert await outcome(upstreams, seconds=0.01) == "DEADLINE_EXCEEDED"
            for _ in range(2):
                assert await outcome(upstreams, seconds=0.5) == "DEADLINE_EXCEEDED"
            assert await outcome(upstreams, seconds=0.5) == "open"

    asyncio.run(scenario())


def test_a_refusal_is_no_failure(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker, policy=strict()) as upstreams:
            refusals = (
                Overloaded.of("", "queue full"),
                Expired.of("", "would be late"),
                InvalidRequest.of("query", "is blank"),
            )
            for trouble in refusals:
                ranker.trouble = trouble
                for _ in range(4):
                    assert await outcome(upstreams) == trouble.code
            ranker.trouble = None
            assert await outcome(upstreams) == "answered"

    asyncio.run(scenario())


def test_a_ranker_that_asks_for_rest_gets_it_while_another_has_the_version(
    toy_ranker: Any,
) -> None:
    async def scenario() -> None:
        tired, other = toy_ranker(ONE), toy_ranker(ONE)
        async with knowing(tired, other) as upstreams:
            tired.trouble = Overloaded((), retry_seconds=60.0)
            outcomes = [await outcome(upstreams) for _ in range(10)]
            assert outcomes.count("RESOURCE_EXHAUSTED") == 1
            assert (len(tired.asked), len(other.asked)) == (1, 9)
            # Nor is a call that failed elsewhere tried again there.
            other.trouble = Unreachable.of("", "draining")
            assert await outcome(upstreams) == "UNAVAILABLE"
            assert len(tired.asked) == 1

    asyncio.run(scenario())


def test_a_client_that_goes_away_says_nothing_of_the_ranker(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE)
        async with knowing(ranker, policy=strict()) as upstreams:
            ranker.delay_seconds = 30.0
            for number in range(4):
                call = asyncio.create_task(outcome(upstreams))
                async with asyncio.timeout(5):
                    while len(ranker.asked) == number:
                        await asyncio.sleep(0.01)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            ranker.delay_seconds = 0.0
            assert await outcome(upstreams) == "answered"

    asyncio.run(scenario())


def test_a_version_that_is_unloaded_everywhere_has_no_pool(toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(ONE, TWO)
        async with knowing(ranker) as upstreams:
            ranker.versions.remove(TWO)
            await upstreams.discover()
            assert set(upstreams.pools) == {ONE}
            with pytest.raises(NotLoaded):
                await upstreams.rank(TWO, REQUEST, 1.0)

    asyncio.run(scenario())
