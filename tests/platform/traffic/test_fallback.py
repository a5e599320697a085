"""When the arm's ranker fails the champion answers, the page says so, and keeps its assignment."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc import aio

from ranklift.store.values import ModelRef, RegisteredExperiment
from ranklift.traffic.routing import ServingConfig
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.errors import NotFound, Overloaded, Unreachable

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
CONTROLLED, TREATED = "user-6", "user-1"  # by docs/assignment.md
Running = Callable[..., RegisteredExperiment]


@pytest.fixture
def halves(running: Running) -> ServingConfig:
    """bm25@1 against student@1, half of the users each; bm25@1 is the champion."""
    return ServingConfig.of([running()], CHAMPION)


TROUBLES = [
    (Unreachable.of("", "warming up"), pb.FALLBACK_REASON_UNAVAILABLE, "unavailable"),
    (Overloaded.of("", "queue full"), pb.FALLBACK_REASON_OVERLOADED, "overloaded"),
    (NotFound.of("model", "not loaded"), pb.FALLBACK_REASON_NOT_LOADED, "not_loaded"),
    (grpc.StatusCode.DEADLINE_EXCEEDED, pb.FALLBACK_REASON_DEADLINE, "deadline"),
    (grpc.StatusCode.CANCELLED, pb.FALLBACK_REASON_UNAVAILABLE, "unavailable"),
    (grpc.StatusCode.INTERNAL, pb.FALLBACK_REASON_ERROR, "error"),
    (grpc.StatusCode.UNKNOWN, pb.FALLBACK_REASON_ERROR, "error"),
    (grpc.StatusCode.FAILED_PRECONDITION, pb.FALLBACK_REASON_ERROR, "error"),
]


@pytest.mark.parametrize(("trouble", "reason", "name"), TROUBLES)
def test_the_reason_is_on_the_reply_and_on_the_page(
    install: Any, toy_ranker: Any, halves: ServingConfig, trouble: Any, reason: int, name: str
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[1].trouble = trouble
            reply = await ranklift.rank(user_id=TREATED)
            assert reply.fallback_reason == reason
            assert reply.model.name == "bm25"
            assert [one.arm for one in reply.assignments] == ["treatment"]
            page = ranklift.pages.pages[reply.impression_id]
            assert page.fallback_reason == name
            assert (page.model, page.documents) == ("bm25", ("a", "b", "c"))
            assert [one.arm for one in page.assignments] == ["treatment"]
            assert ranklift.servicer.counts == {f"fallback_{name}": 1, "pages": 1}

    asyncio.run(scenario())


def repeat(reply: pb.RankResponse) -> None:
    reply.results[1].CopyFrom(reply.results[0])


def set_score(reply: pb.RankResponse) -> None:
    reply.results[0].relevance_score = float("nan")


def set_index(reply: pb.RankResponse) -> None:
    reply.results[0].index = 9


def set_id(reply: pb.RankResponse) -> None:
    reply.results[0].id = "z"


def set_version(reply: pb.RankResponse) -> None:
    reply.model.version = "2"


@pytest.mark.parametrize("spoil", [repeat, set_score, set_index, set_id, set_version])
def test_a_reply_that_is_no_ranking_counts_as_an_error(
    install: Any, toy_ranker: Any, halves: ServingConfig, spoil: Any
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[1].spoil = spoil
            reply = await ranklift.rank(user_id=TREATED)
            assert reply.fallback_reason == pb.FALLBACK_REASON_ERROR

    asyncio.run(scenario())


def test_a_version_that_no_ranker_has_is_not_loaded(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION), config=halves) as ranklift:
            reply = await ranklift.rank(user_id=TREATED)
            assert reply.fallback_reason == pb.FALLBACK_REASON_NOT_LOADED

    asyncio.run(scenario())


def test_a_dead_ranker_is_unavailable_not_unloaded(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            await rankers[1].kill()
            await ranklift.upstreams.discover()
            reply = await ranklift.rank(user_id=TREATED)
            assert reply.fallback_reason == pb.FALLBACK_REASON_UNAVAILABLE

    asyncio.run(scenario())


def test_a_slow_ranker_leaves_the_champion_time(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[1].delay_seconds = 30.0
            began = time.monotonic()
            reply = await ranklift.rank(user_id=TREATED, timeout_seconds=1.0)
            assert time.monotonic() - began < 1.0
            assert reply.fallback_reason == pb.FALLBACK_REASON_DEADLINE
            # 0.6 of what the margin leaves of 1 s, then the rest.
            assert 0.4 < rankers[1].remaining_seconds[0] <= 0.6
            assert 0.1 < rankers[0].remaining_seconds[0] <= 0.4

    asyncio.run(scenario())


def test_the_champions_own_failure_passes_on(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[0].trouble = grpc.StatusCode.RESOURCE_EXHAUSTED
            rankers[1].trouble = Unreachable.of("", "warming up")
            with pytest.raises(aio.AioRpcError) as caught:
                await ranklift.rank(user_id=TREATED)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == "trouble"
            assert len(rankers[0].asked) == 1
            # Whose arm is the champion's version has nobody else to ask.
            with pytest.raises(aio.AioRpcError) as caught:
                await ranklift.rank(user_id=CONTROLLED)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert len(rankers[0].asked) == 2
            assert not ranklift.pages.pages

    asyncio.run(scenario())


def test_a_champion_that_is_loaded_nowhere_is_unavailable(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(), config=halves) as ranklift:
            for user in (TREATED, CONTROLLED, ""):
                with pytest.raises(aio.AioRpcError) as caught:
                    await ranklift.rank(user_id=user)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert "bm25@1 is loaded in no ranker" in str(caught.value.details())

    asyncio.run(scenario())


def test_an_arm_that_fails_without_a_champion_is_unavailable(
    install: Any, toy_ranker: Any, running: Running
) -> None:
    async def scenario() -> None:
        config = ServingConfig.of([running()], None)
        async with install(toy_ranker(CHAMPION), config=config) as ranklift:
            with pytest.raises(aio.AioRpcError) as caught:
                await ranklift.rank(user_id=TREATED)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "(not_loaded) and there is no champion" in str(caught.value.details())
            assert (await ranklift.rank(user_id=CONTROLLED)).model.name == "bm25"

    asyncio.run(scenario())


def test_no_call_fails_while_a_ranker_dies(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    """200 calls, eight at a time; after the first 60 the arm's ranker is killed under load."""

    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[1].delay_seconds = 0.005
            numbers = iter(range(200))
            replies: list[pb.RankResponse] = []
            killed = asyncio.Event()

            async def client() -> None:
                for number in numbers:
                    replies.append(await ranklift.rank(user_id=f"user-{number}"))
                    if len(replies) >= 60 and not killed.is_set():
                        killed.set()
                        await rankers[1].kill()

            await asyncio.gather(*(client() for _ in range(8)))
            assert len(replies) == len(ranklift.pages.pages) == 200
            marked = Counter(reply.fallback_reason for reply in replies)
            unmarked = marked[pb.FALLBACK_REASON_UNSPECIFIED]
            assert unmarked >= 60
            assert marked[pb.FALLBACK_REASON_UNAVAILABLE] == 200 - unmarked > 0
            for reply in replies:
                page = ranklift.pages.pages[reply.impression_id]
                treated = page.assignments[0].arm == "treatment"
                assert page.fallback_reason == ("unavailable" if reply.fallback_reason else "")
                # Unmarked pages were ranked by their arm, marked ones are the treatment's.
                assert (page.model == "student") == (treated and not page.fallback_reason)

    asyncio.run(scenario())


def test_an_arm_that_is_left_alone_falls_back_at_once_and_is_marked(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[1].trouble = grpc.StatusCode.INTERNAL
            reasons = [(await ranklift.rank(user_id=TREATED)).fallback_reason for _ in range(8)]
            asked = len(rankers[1].asked)
            assert asked < 8
            assert reasons[:asked] == [pb.FALLBACK_REASON_ERROR] * asked
            assert set(reasons[asked:]) == {pb.FALLBACK_REASON_UNAVAILABLE}

    asyncio.run(scenario())


def test_a_champion_that_fails_is_tried_by_every_call(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    """There is nobody after it, so its breaker keeps nobody from asking."""

    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            rankers[0].trouble = grpc.StatusCode.INTERNAL
            for _ in range(12):
                with pytest.raises(aio.AioRpcError):
                    await ranklift.rank(user_id=CONTROLLED)
            assert len(rankers[0].asked) == 12
            rankers[0].trouble = None
            assert (await ranklift.rank(user_id=CONTROLLED)).model.name == "bm25"

    asyncio.run(scenario())


def test_an_arm_without_a_champion_behind_it_is_tried_by_every_call(
    install: Any, toy_ranker: Any, running: Running
) -> None:
    async def scenario() -> None:
        ranker = toy_ranker(CHALLENGER)
        async with install(ranker, config=ServingConfig.of([running()], None)) as ranklift:
            ranker.trouble = grpc.StatusCode.INTERNAL
            for _ in range(12):
                with pytest.raises(aio.AioRpcError):
                    await ranklift.rank(user_id=TREATED)
            assert len(ranker.asked) == 12

    asyncio.run(scenario())


def test_a_ranker_that_comes_back_serves_its_arm_again(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            await rankers[1].kill()
            for _ in range(20):
                assert (await ranklift.rank(user_id=TREATED)).fallback_reason
            await rankers[1].start()
            began = time.monotonic()
            while (await ranklift.rank(user_id=TREATED)).fallback_reason:
                assert time.monotonic() - began < 2.0
                await asyncio.sleep(0.02)

    asyncio.run(scenario())
