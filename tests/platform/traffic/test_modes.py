"""Interleaving, exploration and shadows through a real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc import aio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranklift.store.values import (
    Arm,
    Exploration,
    ExplorationMethod,
    Interleaving,
    InterleavingMethod,
    ModelRef,
    RegisteredExperiment,
)
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.interleaving import interleave
from ranklift.traffic.routing import ServingConfig
from ranklift.traffic.shadows import ShadowPolicy, kendall_tau_b
from ranklift.v1.ranking_pb2 import (
    FALLBACK_REASON_NOT_LOADED,
    FALLBACK_REASON_UNAVAILABLE,
    RankResponse,
)

CHAMPION, CHALLENGER, THIRD = ModelRef("bm25", "1"), ModelRef("student", "1"), ModelRef("s", "2")
BOTH = Interleaving((CHAMPION, CHALLENGER))
Running = Callable[..., RegisteredExperiment]


def ids(reply: RankResponse) -> list[str]:
    return [result.id for result in reply.results]


@pytest.fixture
def serving(running: Running) -> Callable[..., ServingConfig]:
    """What serves when one arm does what is given to everybody's pages."""

    def config(champion: ModelRef | None = CHAMPION, **arm: Any) -> ServingConfig:
        return ServingConfig.of(
            [running(arms=(Arm("all", 10_000, **arm),), control="all")], champion
        )

    return config


def test_an_interleaved_page_shows_both_rankings_and_logs_who_put_what(
    install: Any, toy_ranker: Any, serving: Any
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=serving(interleaving=BOTH)) as ranklift:
            reply = await ranklift.rank(request_id="r-1", top_n=2, return_documents=True)
        page = ranklift.pages.pages["r-1"]
        order, expected = interleave(
            InterleavingMethod.TEAM_DRAFT,
            {0: [0, 1, 2], 1: [2, 1, 0]},
            ("bm25@1", "student@1"),
            2,
            KeyedDraws("title-boost/interleaving:r-1"),
        )
        assert page.interleaving == expected
        assert ids(reply) == ["abc"[i] for i in order] == list(page.documents)
        assert reply.results[0].document.id == reply.results[0].id
        # Both were asked for everything, at once and as a part of the experiment.
        assert [ranker.asked[0].top_n for ranker in rankers] == [0, 0]
        assert [ranker.experiments for ranker in rankers] == [["title-boost"]] * 2
        # Nothing of it is told to the client: scores go by place.
        assert [result.relevance_score for result in reply.results] == [1, 0.5]
        assert (reply.model.name, page.model, page.fallback_reason) == ("bm25", "bm25", "")

    asyncio.run(scenario())


def test_every_method_serves(install: Any, toy_ranker: Any, serving: Any) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION, CHALLENGER)) as ranklift:
            for method in InterleavingMethod:
                ranklift.config = serving(interleaving=Interleaving((CHAMPION, CHALLENGER), method))
                reply = await ranklift.rank()
                page = ranklift.pages.pages[reply.impression_id]
                assert page.interleaving.method == method
                assert sorted(ids(reply)) == ["a", "b", "c"]

    asyncio.run(scenario())


def test_the_others_are_served_when_one_ranker_is_down(
    install: Any, toy_ranker: Any, serving: Any
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER), toy_ranker(THIRD)
        three = Interleaving((CHAMPION, CHALLENGER, THIRD))
        async with install(*rankers, config=serving(interleaving=three)) as ranklift:
            await rankers[0].kill()
            two = await ranklift.rank(request_id="two")
            await rankers[1].kill()
            one = await ranklift.rank(request_id="one")
            assert (ids(two), ids(one)) == (["c", "b", "a"], ["c", "b", "a"])
            assert not one.fallback_reason
            missing = {name: page.interleaving for name, page in ranklift.pages.pages.items()}
            assert missing["two"].missing == ("bm25@1",)
            assert missing["two"].ranks == ((), (1, 2, 3), (1, 2, 3))
            assert missing["one"].missing == ("bm25@1", "student@1")

    asyncio.run(scenario())


def test_the_champion_is_served_when_all_of_them_are_down(
    install: Any, toy_ranker: Any, serving: Any
) -> None:
    async def scenario() -> None:
        both = Interleaving((CHALLENGER, THIRD))
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=serving(interleaving=both)) as ranklift:
            await rankers[1].kill()
            reply = await ranklift.rank(request_id="r-1")
            assert ids(reply) == ["a", "b", "c"]
            assert reply.fallback_reason in (
                FALLBACK_REASON_UNAVAILABLE,
                FALLBACK_REASON_NOT_LOADED,
            )
            page = ranklift.pages.pages["r-1"]
            assert page.interleaving.missing == ("student@1", "s@2")
            assert page.fallback_reason == "unavailable"
            ranklift.config = serving(champion=None, interleaving=both)
            with pytest.raises(aio.AioRpcError) as refused:
                await ranklift.rank()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())


def test_an_explored_page_logs_what_was_done_to_it(
    install: Any, toy_ranker: Any, serving: Any
) -> None:
    async def scenario() -> None:
        swap = Exploration(ExplorationMethod.SWAP, top_k=3, probability=0.9)
        async with install(
            toy_ranker(CHAMPION), config=serving(model=CHAMPION, exploration=swap)
        ) as ranklift:
            orders = set()
            for _ in range(30):
                reply = await ranklift.rank()
                page = ranklift.pages.pages[reply.impression_id]
                explored = page.exploration
                assert ids(reply) == list(page.documents) == ["abc"[r - 1] for r in explored.ranks]
                assert list(page.scores) == [0, -1, -2]  # they stay with the places
                left_alone = explored.ranks == (1, 2, 3)
                assert explored.list_propensity == pytest.approx(0.1 if left_alone else 0.3)
                orders.add(explored.ranks)
            assert len(orders) > 2

    asyncio.run(scenario())


def test_teams_move_with_their_documents(install: Any, toy_ranker: Any, serving: Any) -> None:
    async def scenario() -> None:
        swap = Exploration(ExplorationMethod.SWAP, top_k=2, probability=1)
        config = serving(interleaving=BOTH, exploration=swap)
        async with install(toy_ranker(CHAMPION, CHALLENGER), config=config) as ranklift:
            reply = await ranklift.rank()
            page = ranklift.pages.pages[reply.impression_id]
            assert page.exploration.ranks == (2, 1, 3)
            at_first = page.interleaving.teams.index(0)
            assert page.documents[at_first] == "a"
            for place, document in enumerate(page.documents):
                assert page.interleaving.ranks[0][place] == "abc".index(document) + 1
                assert page.interleaving.ranks[1][place] == "cba".index(document) + 1

    asyncio.run(scenario())


def test_a_shadow_scores_the_page_and_changes_nothing_of_it(
    install: Any, toy_ranker: Any, serving: Any
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        config = serving(model=CHAMPION, shadows=(CHALLENGER, THIRD))
        async with install(*rankers, config=config) as ranklift:
            reply = await ranklift.rank(top_n=2)
            assert ids(reply) == ["a", "b"]
            assert reply.model.name == "bm25"
            # The client may be quicker than the callback that starts them.
            while ranklift.servicer.counts["shadows"] < 2:
                await asyncio.sleep(0)
            await ranklift.servicer.close()
            shadow, absent = sorted(ranklift.pages.shadows, key=lambda one: one.model, reverse=True)
            assert (shadow.impression_id, shadow.model) == (reply.impression_id, "student")
            assert (shadow.scores, shadow.rank_correlation) == ((-2, -1), -1)
            assert (absent.scores, absent.rank_correlation, absent.error) == (
                (),
                None,
                "not_loaded",
            )
            assert ranklift.servicer.counts["shadows"] == 2
            assert ranklift.servicer.counts["shadows_failed"] == 1
            assert rankers[1].experiments == ["shadow"]

    asyncio.run(scenario())


def test_replies_do_not_wait_for_a_shadow_that_hangs(
    install: Any, toy_ranker: Any, serving: Any
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        config = serving(model=CHAMPION, shadows=(CHALLENGER,))
        policy = ShadowPolicy(timeout_seconds=60, in_flight=3)
        async with install(*rankers, config=config, shadows=policy) as ranklift:
            rankers[1].gate.clear()
            for _ in range(5):
                await ranklift.rank()  # all of them answered with the gate shut
            while len(rankers[1].asked) < 3:
                await asyncio.sleep(0)
            counts = ranklift.servicer.counts
            while counts["shadows"] + counts["shadows_dropped"] < 5:
                await asyncio.sleep(0)
            assert (counts["shadows"], counts["shadows_dropped"]) == (3, 2)
            assert not ranklift.pages.shadows
            rankers[1].gate.set()
            await ranklift.servicer.close()
            assert len(ranklift.pages.shadows) == 3
            assert len(rankers[1].asked) == 3

    asyncio.run(scenario())


def test_a_shadow_has_a_deadline_of_its_own(install: Any, toy_ranker: Any, serving: Any) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        config = serving(model=CHAMPION, shadows=(CHALLENGER,))
        policy = ShadowPolicy(timeout_seconds=0.2)
        async with install(*rankers, config=config, shadows=policy) as ranklift:
            rankers[1].gate.clear()
            await ranklift.rank()
            await rankers[1].cancelled.wait()
            while not ranklift.pages.shadows:
                await asyncio.sleep(0)
            assert ranklift.pages.shadows[0].error == "deadline"

    asyncio.run(scenario())


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), max_size=12))
def test_kendall_is_that_of_scipy(scores: list[int]) -> None:
    found = kendall_tau_b(scores)
    if len(set(scores)) < 2:
        assert found is None
    else:
        places = [-i for i in range(len(scores))]
        assert found == pytest.approx(stats.kendalltau(places, scores).statistic)
