"""Cached scores: bit by bit what was computed first, bounded, and not for experiments."""

from __future__ import annotations

import asyncio
import itertools
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rankers.serving.loopback import loopback, request_of

from ranklift.rankers.artefacts import digest_of, load_ranker
from ranklift.rankers.base import Scores, Text
from ranklift.rankers.loaded import Loaded
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.score_cache import PAIR_BYTES, ScoreCache
from ranklift.rankers.serving.stages import Stage
from ranklift.v1.metadata import EXPERIMENT
from ranklift.v1.ranking_pb2 import RankResponse

DIGEST, OTHER_DIGEST = "sha256:1", "sha256:2"


class Counter:
    """Scores each document it is given by the next number, and cuts the ones that end in "!"."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.asked: list[str] = []

    async def score(self, documents: Sequence[Text]) -> Scores:
        self.asked += [document.text for document in documents]
        return Scores(
            values=np.array([next(self.numbers) + 0.1 for _ in documents]),
            tokens=10 * len(documents),
            truncated=tuple(i for i, d in enumerate(documents) if d.text.endswith("!")),
            tokenize_seconds=1.0,
            inference_seconds=2.0,
        )


def texts(*given: str) -> list[Text]:
    return [Text(f"id of {text}", "", text) for text in given]


def ask(
    cache: ScoreCache,
    counter: Counter,
    *given: str,
    digest: str = DIGEST,
    query: str = "q",
    most: int | None = None,
) -> Scores:
    return asyncio.run(cache.scores(digest, query, texts(*given), most, counter.score))


def test_what_is_kept_is_not_computed_again() -> None:
    cache, counter = ScoreCache(100), Counter()
    first = ask(cache, counter, "a", "b!", "c")
    assert first.values.tolist() == [0.1, 1.1, 2.1]
    assert (first.tokens, first.truncated) == (30, (1,))
    # d! is new. The reply says what was cut whoever cut it, and what this call read and took.
    mixed = ask(cache, counter, "c", "d!", "b!", "a")
    assert mixed.values.tolist() == [2.1, 3.1, 1.1, 0.1]
    assert (mixed.tokens, mixed.truncated) == (10, (1, 2))
    assert (mixed.tokenize_seconds, mixed.inference_seconds) == (1.0, 2.0)
    known = ask(cache, counter, "b!", "c")
    assert known.values.tolist() == [1.1, 2.1]
    assert (known.tokens, known.truncated) == (0, (0,))
    assert (known.tokenize_seconds, known.inference_seconds) == (0.0, 0.0)
    assert counter.asked == ["a", "b!", "c", "d!"]
    assert (cache.use.hits, cache.use.misses, cache.use.held) == (5, 4, 4)


def test_another_version_query_limit_or_text_is_another_score() -> None:
    cache, counter = ScoreCache(100), Counter()
    ask(cache, counter, "a")
    ask(cache, counter, "a", digest=OTHER_DIGEST)
    ask(cache, counter, "a", query="r")
    ask(cache, counter, "a", most=5)
    ask(cache, counter, "b")
    # Where query and document meet counts, too.
    ask(cache, counter, "b", query="qa")
    ask(cache, counter, "ab", query="q")
    assert cache.use.hits == 0
    # The id is no part of what a ranker reads; nor is where the title ends.
    same = [Text("another id", "x", "y"), Text("yet another", "", "x y")]
    asyncio.run(cache.scores(DIGEST, "q", same[:1], None, counter.score))
    asyncio.run(cache.scores(DIGEST, "q", same[1:], None, counter.score))
    assert cache.use.hits == 1


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True), max_size=12))
def test_scores_never_change_while_they_are_kept(calls: list[list[str]]) -> None:
    cache, counter = ScoreCache(8), Counter()  # room for all of them
    known: dict[str, float] = {}
    for given_texts in calls:
        values = ask(cache, counter, *given_texts).values.tolist()
        for text, value in zip(given_texts, values, strict=True):
            assert known.setdefault(text, value) == value


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True), max_size=12),
    st.integers(1, 5),
)
def test_a_small_cache_forgets_but_never_mixes_up(calls: list[list[str]], pairs: int) -> None:
    async def score(documents: Sequence[Text]) -> Scores:
        return Scores(np.array([float(ord(d.text)) for d in documents]), 0, (), 0.0, 0.0)

    cache = ScoreCache(pairs)
    for given_texts in calls:
        scores = asyncio.run(cache.scores(DIGEST, "q", texts(*given_texts), None, score))
        assert scores.values.tolist() == [float(ord(text)) for text in given_texts]
        assert cache.use.held == cache.use.entries <= pairs


def test_memory_is_what_the_capacity_says() -> None:
    pairs, rng = 10_000, random.Random(3)
    cache = ScoreCache(pairs)

    async def score(documents: Sequence[Text]) -> Scores:
        return Scores(np.array([rng.random() for _ in documents]), 0, (), 0.0, 0.0)

    async def fill() -> None:
        for page in range(600):
            await cache.scores(
                DIGEST, f"q{page}", texts(*(f"{i} {page}" for i in range(50))), None, score
            )

    tracemalloc.start()
    asyncio.run(fill())
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cache.use.held == pairs
    assert used < PAIR_BYTES * pairs


@pytest.fixture(params=["encoder", "bm25"])
def version(request: pytest.FixtureRequest, artefacts: dict[str, Path]) -> Loaded:
    ranker = load_ranker(artefacts[request.param])
    return Loaded("m", "1", digest_of(artefacts[request.param]), ranker, (Stage(ranker),))


def without_costs(reply: RankResponse) -> RankResponse:
    bare = RankResponse()
    bare.CopyFrom(reply)
    bare.ClearField("timing")
    bare.ClearField("tokens")
    return bare


def test_a_cached_reply_differs_only_in_what_it_cost(
    version: Loaded, documents: list[Text]
) -> None:
    async def act() -> None:
        options = ServingOptions(score_cache_pairs=100)
        async with loopback(version, options=options) as (client, servicer):
            first = await client.Rank(request_of(documents, max_tokens_per_document=4))
            assert first.truncated_document_ids
            again = await client.Rank(request_of(documents, max_tokens_per_document=4))
            assert without_costs(again) == without_costs(first)
            assert (first.tokens > 0, again.tokens) == (True, 0)
            assert again.timing.inference.ToNanoseconds() == 0
            assert again.timing.total.ToNanoseconds() > 0
            # In other company, and in another order.
            part = await client.Rank(request_of(documents[3:0:-1], max_tokens_per_document=4))
            score = {result.id: result.relevance_score for result in first.results}
            assert [r.relevance_score for r in part.results] == [score[r.id] for r in part.results]
            use = servicer.score_cache_use
            assert (use.misses, use.hits) == (len(documents), len(documents) + 3)

    asyncio.run(act())


def test_without_a_cache_everything_is_computed(version: Loaded, documents: list[Text]) -> None:
    async def act() -> None:
        async with loopback(version) as (client, servicer):
            replies = [await client.Rank(request_of(documents)) for _ in range(2)]
            assert replies[0].tokens == replies[1].tokens > 0
            assert servicer.score_cache_use.misses == 0

    asyncio.run(act())


@pytest.mark.parametrize("allowed", [False, True])
def test_calls_of_experiments_go_past_the_cache(
    version: Loaded, documents: list[Text], allowed: bool
) -> None:
    options = ServingOptions(score_cache_pairs=100, score_cache_in_experiments=allowed)

    async def act() -> None:
        async with loopback(version, options=options) as (client, servicer):

            async def tokens(*metadata: tuple[str, str]) -> int:
                return (await client.Rank(request_of(documents), metadata=metadata)).tokens

            whole = await tokens((EXPERIMENT, "title-boost"))
            assert whole > 0
            # It neither finds nor leaves anything there.
            assert await tokens((EXPERIMENT, "title-boost")) == (0 if allowed else whole)
            assert await tokens() == (0 if allowed else whole)
            assert await tokens(("unrelated", "x")) == 0
            assert await tokens((EXPERIMENT, "other")) == (0 if allowed else whole)
            hits = 4 if allowed else 1
            assert servicer.score_cache_use.hits == hits * len(documents)

    asyncio.run(act())
