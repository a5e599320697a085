"""Served cascades: how many are ranked again, by when, and what a failure is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc import aio
from tests.rankers.serving.loopback import QUERY, loopback, request_of

from ranklift.rankers.artefacts import CascadePlan, digest_of, load_version
from ranklift.rankers.base import Encoded, Text, Values, score_texts
from ranklift.rankers.cascade import Cascade, build_cascade
from ranklift.rankers.loaded import Loaded, VersionToLoad
from ranklift.rankers.server import serve_ranker
from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.stages import Stage
from ranklift.v1 import ranking_pb2
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

TOKENS = 3  # of every pair
NEVER = 3_600_000.0  # a budget in ms that no test exhausts


@dataclass(frozen=True)
class Read:
    """A document's text, as a pair."""

    text: str
    tokens: int = TOKENS


@dataclass
class Numbers:
    """Scores a document by the word number `column` of its text, once it is let."""

    column: int
    opened: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    trouble: Exception | None = None
    kind: str = "bm25"
    numerics: str = "fp32"

    def encode(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Encoded[Read]:
        read = [document.text for document in documents]
        cut = tuple(i for i, text in enumerate(read) if f"cut{self.column}" in text)
        return Encoded(tuple(map(Read, read)), cut)

    def scores(self, pairs: Sequence[Read]) -> Values:
        self.entered.set()
        assert self.opened.wait(30)
        self.asked += [pair.text for pair in pairs]
        if self.trouble:
            raise self.trouble
        return np.array([float(pair.text.split()[self.column]) for pair in pairs])


def costing(seconds_per_pair: float) -> CostModel:
    cost = CostModel()
    if seconds_per_pair:
        cost.observe(600, 600 / TOKENS * seconds_per_pair)
    return cost


class Stages:
    """A cascade of two rankers that are open unless they are told to be shut."""

    def __init__(
        self, top_k: int, budget_ms: float, *, first: float = 0.0, second: float = 0.0
    ) -> None:
        self.cheap, self.dear = Numbers(0), Numbers(1)
        self.cheap.opened.set()
        self.dear.opened.set()
        cascade = Cascade(self.cheap, self.dear, CascadePlan(top_k, budget_ms))
        stages = Stage(self.cheap, costing(first)), Stage(self.dear, costing(second))
        self.loaded = Loaded("cascade", "1", "sha256:0", cascade, stages)


#     cheap  dear      the cheap order is b d a e c, and the dear one a c e d b
DOCUMENTS = [
    Text("a", "", "3 99"),
    Text("b", "", "9 -7"),
    Text("c", "", "1 98"),
    Text("d", "", "8 4"),
    Text("e", "", "2 97"),
]


def ranked(reply: ranking_pb2.RankResponse) -> list[tuple[str, float]]:
    return [(result.id, result.relevance_score) for result in reply.results]


async def rank(
    stages: Stages, *, timeout: float | None = None, **fields: object
) -> ranking_pb2.RankResponse:
    async with loopback(stages.loaded) as (client, _):
        return await client.Rank(request_of(DOCUMENTS, **fields), timeout=timeout)


def test_the_best_are_ranked_again_and_the_reply_says_how_many() -> None:
    stages = Stages(2, NEVER)
    reply = asyncio.run(rank(stages))
    assert ranked(reply) == [("d", 4), ("b", -7), ("a", -8), ("e", -9), ("c", -10)]
    assert reply.reranked_documents == 2
    assert reply.tokens == 5 * TOKENS + 2 * TOKENS
    assert stages.dear.asked == ["9 -7", "8 4"]
    assert reply.timing.inference.ToNanoseconds() > 0


def test_top_n_is_cut_from_the_whole_list() -> None:
    reply = asyncio.run(rank(Stages(2, NEVER), top_n=1))
    assert ranked(reply) == [("d", 4)]
    assert reply.reranked_documents == 2


def test_a_top_k_beyond_the_list_ranks_all_of_it_again() -> None:
    reply = asyncio.run(rank(Stages(1_000, NEVER)))
    assert ranked(reply) == [("a", 99), ("c", 98), ("e", 97), ("d", 4), ("b", -7)]
    assert reply.reranked_documents == 5


def test_without_a_budget_the_first_stage_answers_alone() -> None:
    stages = Stages(2, 0.0)
    reply = asyncio.run(rank(stages))
    assert ranked(reply) == [("b", 9), ("d", 8), ("a", 3), ("e", 2), ("c", 1)]
    assert (reply.reranked_documents, reply.tokens) == (0, 5 * TOKENS)
    assert stages.dear.asked == []


@pytest.mark.parametrize(
    ("budget_ms", "timeout", "expected"),
    [
        # 90 s are for ranking, a document takes 20 s, and forecasts get a tenth more: 22 s.
        (100_000.0, None, 4),
        (100_000.0, 1_000.0, 4),
        # The deadline is nearer than the budget: 45 s for documents of 22 s.
        (100_000.0, 50.0, 2),
        (NEVER, 26.0, 1),
        # 18 s, and a document was never quicker than 20 s.
        (20_000.0, None, 0),
        (NEVER, None, 5),
    ],
)
def test_as_many_are_ranked_again_as_time_allows(
    budget_ms: float, timeout: float | None, expected: int
) -> None:
    stages = Stages(5, budget_ms, second=20.0)
    reply = asyncio.run(rank(stages, timeout=timeout))
    assert reply.reranked_documents == expected
    # They are the best of the cheap order.
    assert stages.dear.asked == ["9 -7", "8 4", "3 99", "2 97", "1 98"][:expected]


def test_a_forecast_that_is_too_high_is_mended_by_a_single_document() -> None:
    stages = Stages(5, 20_000.0)
    cost = stages.loaded.stages[1].cost
    cost.observe(600, 0.001)  # it has been quick,
    cost.observe(600, 600 * 14.0)  # and then once slow: a document takes 21 s
    reranked: list[int] = []

    async def act() -> None:
        async with loopback(stages.loaded) as (client, _):
            while not reranked or (reranked[-1] < 5 and len(reranked) < 5_000):
                reranked.append((await client.Rank(request_of(DOCUMENTS))).reranked_documents)

    asyncio.run(act())
    assert reranked[0] == 1
    assert reranked[-1] == 5
    assert reranked == sorted(reranked)


def test_nobody_waits_for_a_second_stage_that_is_late() -> None:
    stages = Stages(2, 300.0)  # no costs are known, so that everything seems to fit
    stages.dear.opened.clear()

    async def act() -> ranking_pb2.RankResponse:
        async with loopback(stages.loaded) as (client, _):
            reply = await client.Rank(request_of(DOCUMENTS))
            assert stages.dear.entered.is_set()
            assert not stages.dear.opened.is_set()
            stages.dear.opened.set()
            return reply

    reply = asyncio.run(act())
    assert ranked(reply)[0] == ("b", 9)
    assert (reply.reranked_documents, reply.tokens) == (0, 5 * TOKENS)


@pytest.mark.parametrize(("seconds_per_pair", "expected"), [(1_000.0, 0), (10.0, 3)])
def test_what_is_ahead_in_the_queue_takes_of_the_budget(
    seconds_per_pair: float, expected: int
) -> None:
    # 90 s are for ranking. Another call takes 50 s, so there is time for three of 10 s each.
    stages, slow = Stages(5, 100_000.0, second=10.0), Numbers(0)
    stages.cheap.opened.clear()
    other = Loaded("slow", "1", "sha256:1", slow, (Stage(slow, costing(seconds_per_pair)),))

    async def act() -> ranking_pb2.RankResponse:
        scheduler = Scheduler()
        queued = partial(getattr, scheduler, "queued_tokens")
        async with loopback(stages.loaded, other, scheduler=scheduler) as (client, _):
            call = asyncio.ensure_future(client.Rank(request_of(DOCUMENTS)))
            assert await asyncio.to_thread(stages.cheap.entered.wait, 30)
            request = request_of(DOCUMENTS)
            request.model.name = "slow"
            blocking = asyncio.ensure_future(client.Rank(request))
            await until(queued)
            stages.cheap.opened.set()
            # The worker turns to the other call, and stays there until it is let.
            assert await asyncio.to_thread(slow.entered.wait, 30)
            await until(lambda: call.done() or queued())
            assert call.done() == (expected == 0)
            slow.opened.set()
            await blocking
            return await call

    assert asyncio.run(act()).reranked_documents == expected


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("trouble", [ArithmeticError("not finite"), RuntimeError("broken")])
def test_a_second_stage_that_fails_fails_the_call(trouble: Exception) -> None:
    stages = Stages(2, NEVER)
    stages.dear.trouble = trouble

    async def act() -> None:
        async with loopback(stages.loaded) as (client, _):
            with pytest.raises(aio.AioRpcError) as caught:
                await client.Rank(request_of(DOCUMENTS))
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            stages.dear.trouble = None
            assert (await client.Rank(request_of(DOCUMENTS))).reranked_documents == 2

    asyncio.run(act())


def test_what_either_stage_cut_is_reported() -> None:
    async def act() -> None:
        stages = Stages(1, NEVER)
        texts = {"x": "1 5 cut0", "y": "0 5 cut1", "best": "2 5 cut1"}
        async with loopback(stages.loaded) as (client, _):
            reply = await client.Rank(request_of([Text(i, "", t) for i, t in texts.items()]))
            # The second stage has not read y.
            assert list(reply.truncated_document_ids) == ["x", "best"]

    asyncio.run(act())


def test_a_cascade_never_answers_from_the_score_cache() -> None:
    stages = Stages(2, NEVER)

    async def act() -> None:
        options = ServingOptions(score_cache_pairs=100)
        async with loopback(stages.loaded, options=options) as (client, servicer):
            for _ in range(2):
                assert (await client.Rank(request_of(DOCUMENTS))).tokens == 7 * TOKENS
            assert servicer.score_cache_use.misses == 0

    asyncio.run(act())


def test_a_cascade_is_loaded_and_served_as_any_other_version(
    artefacts: dict[str, Path], documents: list[Text], tmp_path: Path
) -> None:
    folder = tmp_path / "cascade"
    build_cascade(artefacts["bm25"], artefacts["encoder"], folder, CascadePlan(3, NEVER))
    expected = score_texts(load_version(folder), QUERY, documents)

    async def act() -> None:
        hosted = await serve_ranker("127.0.0.1:0", [VersionToLoad("cascade", "1", folder)])
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                reply = await RankingServiceStub(channel).Rank(request_of(documents))
        finally:
            await hosted.stop(0)
        order = sorted(range(len(documents)), key=lambda i: (-expected.values[i], i))
        assert [result.index for result in reply.results] == order
        got = [result.relevance_score for result in reply.results]
        assert got == pytest.approx(expected.values[order].tolist(), abs=1e-6)
        assert reply.reranked_documents == 3
        assert reply.tokens == expected.tokens
        assert reply.model.digest == digest_of(folder)
        assert reply.model.numerics == "fp32"

    asyncio.run(act())
