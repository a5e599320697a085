"""A gateway before a ranker, on real sockets: a cascade as an arm, a cache that arms pass by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from grpc import aio
from tests.system.installation import BM25, STUDENT

from ranklift.cli.collections import Ground
from ranklift.cli.composition import registry_of
from ranklift.cli.demo.control import begin_experiment
from ranklift.cli.servers import gateway, ranker
from ranklift.cli.versions import register
from ranklift.rankers.artefacts import CascadePlan
from ranklift.rankers.cascade import build_cascade
from ranklift.settings import load_settings
from ranklift.store.values import ModelRef
from ranklift.v1 import ranking_pb2
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

CASCADE = ModelRef("cascade", "1")
Ask = Callable[[str], Awaitable[ranking_pb2.RankResponse]]


@pytest.fixture
def cascade(home: Path) -> ModelRef:
    models = home / "models"
    folder = models / "cascade" / "1"
    plan = CascadePlan(top_k=3, budget_ms=60_000.0)
    build_cascade(models / "bm25" / "1", models / "student" / "1", folder, plan)
    with registry_of(load_settings(home=home)) as registry:
        register(registry, CASCADE, folder, parents=(BM25, STUDENT))
    return CASCADE


def test_an_arm_is_a_cascade_and_never_answers_from_the_cache(
    home: Path, ground: Ground, cascade: ModelRef
) -> None:
    query_id, documents = next(iter(ground.candidates.items()))
    texts = {text.id: text for text in ground.texts()}
    request = ranking_pb2.RankRequest(
        query=ground.collection.queries[query_id],
        documents=[
            ranking_pb2.Document(id=i, title=texts[i].title, text=texts[i].text) for i in documents
        ],
    )

    async def story(ask: Ask, address: str) -> None:
        # Whoever is in no experiment is served by the champion, the second time from its cache.
        first, again = await ask("somebody"), await ask("somebody else")
        assert (first.tokens > 0, again.tokens) == (True, 0)
        assert again.results == first.results
        await asyncio.to_thread(
            begin_experiment, address, "cascade-1", control=BM25, challenger=cascade
        )
        served = set()
        for i in range(40):
            reply = await ask(f"user-{i % 10}")
            served.add(reply.model.name)
            assert reply.assignments
            assert not reply.fallback_reason
            assert reply.tokens >= first.tokens  # both arms read everything, every time
            assert reply.reranked_documents == (3 if reply.model.name == "cascade" else 0)
        assert served == {"bm25", "cascade"}

    async def act() -> None:
        on = {"address": "127.0.0.1:0", "score_cache_pairs": 1_000}
        settings = load_settings(home=home, ranker=on)
        async with ranker(settings, [str(BM25), str(STUDENT), str(cascade)]) as served:
            before = load_settings(
                home=home, gateway={"address": "127.0.0.1:0", "rankers": (served.address,)}
            )
            async with (
                gateway(before) as hosted,
                aio.insecure_channel(hosted.address) as channel,
            ):
                stub = RankingServiceStub(channel)

                async def ask(user: str) -> ranking_pb2.RankResponse:
                    asked = ranking_pb2.RankRequest()
                    asked.CopyFrom(request)
                    asked.user_id = user
                    return await stub.Rank(asked, timeout=30)

                await story(ask, hosted.address)

    asyncio.run(act())
