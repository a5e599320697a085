"""Documents are tokenised once, and nobody can tell but by the clock."""

from __future__ import annotations

import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.base import Text
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.lru import CacheUse
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.token_cache import DOCUMENT_TOKENS, TOKEN_BYTES, TokenCache
from ranklift.v1.errors import NotReady

KINDS = pytest.mark.parametrize("kind", ["decoder", "encoder"])
WORDS = ["cbaba", "ababo", "fbaba", "cbabe", "unseen", "😀", "[SEP]", "Naïve", "\x07", "  "]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=45).map(" ".join) | st.text(max_size=20)
DOCUMENTS = st.lists(st.builds(Text, st.just("id"), TEXTS, TEXTS), max_size=8)
REQUESTS = st.lists(
    st.tuples(TEXTS, DOCUMENTS, st.none() | st.integers(1, 40)), min_size=1, max_size=5
)


@KINDS
@given(requests=REQUESTS, capacity=st.sampled_from([1, 100, 10_000]))
@settings(max_examples=60, deadline=None)
def test_pairs_are_the_same_with_and_without_the_cache(
    tokenizer: PreTrainedTokenizerBase, kind: str, requests: list[Any], capacity: int
) -> None:
    plain = PairEncoder(tokenizer, kind, 32)
    cached = PairEncoder(tokenizer, kind, 32, TokenCache(capacity))
    for query, documents, limit in [*requests, *requests]:
        expected = plain.encode(query, documents, max_tokens_per_document=limit)
        assert cached.encode(query, documents, max_tokens_per_document=limit) == expected


@pytest.fixture(scope="module")
def pretrained() -> PreTrainedTokenizerBase:
    try:
        return load_tokenizer(minilm_folder())
    except NotReady as error:
        pytest.skip(str(error))


@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_ids_are_those_of_transformers(
    pretrained: PreTrainedTokenizerBase, texts: list[str]
) -> None:
    # Its tokenizer.json asks for padding, and for a cut at 128.
    documents = [Text("id", text, "and so on " * 60) for text in texts]
    encoder = PairEncoder(pretrained, "encoder", 512, TokenCache(10_000))
    for pair, document in zip(encoder.encode("q", documents).pairs, documents, strict=True):
        theirs = pretrained(document.body, add_special_tokens=False)["input_ids"]
        assert list(pair.ids[pair.start : -1]) == theirs


def test_a_document_is_known_by_its_text(tokenizer: PreTrainedTokenizerBase) -> None:
    cache = TokenCache(1_000)
    encoder = PairEncoder(tokenizer, "encoder", 32, cache)
    encoder.encode("cbaba", [Text("1", "cbaba", "ababo"), Text("2", "", "fbaba")])
    assert (cache.use.hits, cache.use.misses) == (0, 2)
    # Another id, query and division into title and text; then the same id with other words.
    encoder.encode("ababo", [Text("9", "", "cbaba ababo"), Text("1", "cbaba", "cbaba")])
    assert (cache.use.hits, cache.use.misses) == (1, 3)
    assert cache.use.hit_rate == 0.25
    assert cache.use.entries == 3
    assert cache.use.held == 2 + 1 + 2 + 3 * DOCUMENT_TOKENS


def test_a_cut_document_is_kept_as_far_as_the_model_reads(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    cache = TokenCache(10_000)
    encoder = PairEncoder(tokenizer, "encoder", 32, cache)
    long = [Text("long", "", "cbaba " * 9_000)]
    assert encoder.encode("cbaba", long, max_tokens_per_document=3).truncated == (0,)
    # 29 fit beside [CLS] and two [SEP] when the query has no token; one more tells of the cut.
    assert cache.use.held == 30 + DOCUMENT_TOKENS
    for query in ("", "cbaba", "cbaba " * 50):
        again = encoder.encode(query, long)
        assert again.truncated == (0,)
        assert again.pairs[0].tokens == 32
    assert cache.use.hits == 3


def ids_of(length: int) -> list[int]:
    return list(range(length))


def kept(cache: TokenCache, texts: str) -> str:
    """Return which of `texts`, one letter each, the cache knows, and use them."""
    return "".join(
        text for text, ids in zip(texts, cache.find(list(texts))[1], strict=True) if ids is not None
    )


def keep(cache: TokenCache, texts: str, length: int = 14) -> None:
    keys, _ = cache.find(list(texts))
    cache.keep((key, ids_of(length)) for key in keys)


def test_what_was_not_used_for_longest_leaves_first() -> None:
    cache = TokenCache(3 * (14 + DOCUMENT_TOKENS))
    keep(cache, "abc")
    assert kept(cache, "a") == "a"
    keep(cache, "d")
    assert kept(cache, "abcd") == "acd"
    keep(cache, "e", length=14 + 14 + DOCUMENT_TOKENS)  # takes the room of two
    assert kept(cache, "acde") == "de"
    keep(cache, "f", length=1_000)  # more than there is room for: nobody keeps a place
    assert kept(cache, "def") == ""
    assert cache.use.held == 0


def test_what_is_kept_again_counts_once() -> None:
    cache = TokenCache(1_000)
    keep(cache, "a")
    keep(cache, "aa", length=7)
    assert cache.use == CacheUse(hits=2, misses=1, held=7 + DOCUMENT_TOKENS, entries=1)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 60)), max_size=40))
def test_the_cache_never_holds_more_than_its_capacity(asked: list[tuple[int, int]]) -> None:
    cache = TokenCache(300)
    for text, length in asked:
        keys, _ = cache.find([str(text)])
        cache.keep([(keys[0], ids_of(length))])
        assert cache.use.held <= 300
    present = [ids for ids in cache.find([str(i) for i in range(7)])[1] if ids is not None]
    assert cache.use.held == sum(len(ids) + DOCUMENT_TOKENS for ids in present)
    assert cache.use.entries == len(present)


@pytest.mark.parametrize("lengths", [(0, 0), (60, 80), (0, 20), (400, 512)])
def test_memory_is_what_the_capacity_says(lengths: tuple[int, int]) -> None:
    capacity, rng = 200_000, random.Random(3)
    cache = TokenCache(capacity)
    tracemalloc.start()
    for i in range(3 * capacity // (lengths[1] + DOCUMENT_TOKENS)):
        keys, _ = cache.find([f"document {i}"])
        cache.keep([(keys[0], ids_of(rng.randint(*lengths)))])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cache.use.held > 0.99 * capacity
    assert used < TOKEN_BYTES * capacity, used / capacity


def test_threads_share_a_cache(tokenizer: PreTrainedTokenizerBase) -> None:
    documents = [Text(str(i), f"cbaba fbab{'aeiou'[i % 5]}", "ababo " * i) for i in range(60)]
    expected = PairEncoder(tokenizer, "encoder", 32).encode("cbaba", documents)
    cache = TokenCache(1_000)  # too small for all: they also push each other out
    encoder = PairEncoder(tokenizer, "encoder", 32, cache)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: encoder.encode("cbaba", documents), range(40)))
    assert found == [expected] * 40
    assert cache.use.hits + cache.use.misses == 40 * 60
    assert cache.use.held <= 1_000
