"""What tokenising costs: transformers' own call, ours, and documents that the cache knows.

python -m tests.benchmarks.run rank_tokens
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.backbones import TINY_ENCODER, Size, new_encoder
from ranklift.rankers.base import Text, score_texts
from ranklift.rankers.cross_encoder import CrossEncoder, load_tokenizer
from ranklift.rankers.encoding import Pair, PairEncoder
from ranklift.rankers.engines.reference import ReferenceEngine
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.token_cache import DOCUMENT_TOKENS, TOKEN_BYTES, TokenCache

REQUESTS, DOCUMENTS, ROUNDS = 40, 30, 9
MAX_TOKENS = 512
# Lengths of documents in tokens: lognormal, median 58; pairs of about 73 with the query.
MEDIAN_TOKENS, SPREAD = 58, 0.35
QUERY_WORDS = 5
PLENTY = 10**7
SMALL = Size(layers=2, width=128, heads=2, feed_forward=512)
MINILM = Size(layers=6, width=384, heads=12, feed_forward=1_536)

Request = tuple[str, list[Text]]


@dataclass(frozen=True)
class Way:
    """One way to make pairs of requests; `prepare` comes before each round and is not timed."""

    run: Callable[[Sequence[Request]], object]
    prepare: Callable[[Sequence[Request]], object] = lambda _: None


def measure() -> str:
    tokenizer = load_tokenizer(minilm_folder())
    requests = requests_of(tokenizer)
    lengths = [pair.tokens for pair in _pairs(PairEncoder(tokenizer, "encoder", 512), requests)]
    micros = rounds(ways(tokenizer), requests)
    ours = micros["ours, no cache"]
    rows = [
        f"| {name} | {statistics.median(each):.1f} | {min(each):.1f} | {_ratio(ours, each)} |"
        for name, each in micros.items()
    ]
    return "\n".join(
        [
            "# Tokenising a pair",
            "",
            f"{REQUESTS} requests of {DOCUMENTS} documents, words drawn from the vocabulary of "
            f"all-MiniLM-L6-v2, {statistics.mean(lengths):.0f} tokens a pair on average (5 % below "
            f"{np.percentile(lengths, 5):.0f}, 5 % above {np.percentile(lengths, 95):.0f}). "
            f"{ROUNDS} rounds of all rows in turns after one that is not counted. Microseconds "
            "of processor time a pair, in all threads of the process; the ratio is the first "
            "row's time to this one's, the median over rounds with the least and the largest.",
            "",
            "| | us a pair, median | least | no cache / this |",
            "|---|---|---|---|",
            *rows,
            "",
            "transformers' call is what a cross-encoder of its ecosystem does: query and document "
            "together, padded, as tensors. Ours are lists of ids, without padding; the ids are the "
            "same (`tests/rankers/test_token_cache.py`).",
            "",
            "## Memory",
            "",
            *memory(requests, tokenizer),
            "",
            "## What it is of a whole pair",
            "",
            *whole(requests, tokenizer),
        ]
    )


def requests_of(tokenizer: PreTrainedTokenizerBase) -> list[Request]:
    rng = np.random.default_rng(5)
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha())

    def text(count: int) -> str:
        return " ".join(rng.choice(words, count))

    made = []
    for _ in range(REQUESTS):
        counts = rng.lognormal(np.log(MEDIAN_TOKENS), SPREAD, DOCUMENTS).astype(int) + 1
        made.append((text(QUERY_WORDS), [Text("", text(4), text(int(n))) for n in counts]))
    return made


def ways(tokenizer: PreTrainedTokenizerBase) -> Mapping[str, Way]:
    plain = PairEncoder(tokenizer, "encoder", MAX_TOKENS)
    # A tokenizer of its own: transformers' call sets the padding of the library underneath.
    theirs = load_tokenizer(minilm_folder())

    def transformers(requests: Sequence[Request]) -> None:
        for query, documents in requests:
            bodies = [document.body for document in documents]
            theirs(
                [query] * len(bodies),
                bodies,
                padding=True,
                truncation="only_second",
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )

    found = {
        "ours, no cache": Way(lambda requests: _pairs(plain, requests)),
        "transformers' call": Way(transformers),
    }
    for share in (0.0, 0.5, 0.9, 1.0):
        found[f"ours, {share:.0%} of the documents in the cache"] = _cached(tokenizer, share)
    return found


def _cached(tokenizer: PreTrainedTokenizerBase, share: float) -> Way:
    encoder = PairEncoder(tokenizer, "encoder", MAX_TOKENS)

    def prepare(requests: Sequence[Request]) -> None:
        encoder.cache = TokenCache(PLENTY)
        known = round(share * DOCUMENTS)
        _pairs(encoder, [(query, documents[:known]) for query, documents in requests])

    return Way(lambda requests: _pairs(encoder, requests), prepare)


def _pairs(encoder: PairEncoder, requests: Sequence[Request]) -> list[Pair]:
    return [pair for query, texts in requests for pair in encoder.encode(query, texts).pairs]


def rounds(found: Mapping[str, Way], requests: Sequence[Request]) -> dict[str, list[float]]:
    """Return the microseconds of processor time a pair, of each round."""
    micros: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(ROUNDS + 1):
        for name, way in found.items():
            way.prepare(requests)
            began = time.process_time()
            way.run(requests)
            spent = time.process_time() - began
            if turn:
                micros[name].append(spent * 1e6 / (REQUESTS * DOCUMENTS))
    return micros


def memory(requests: Sequence[Request], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    cache = TokenCache(PLENTY)
    encoder = PairEncoder(tokenizer, "encoder", MAX_TOKENS, cache)
    tracemalloc.start()
    for query, documents in requests:
        encoder.encode(query, documents)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    entries, held = cache.use.entries, cache.use.held
    tokens = held - entries * DOCUMENT_TOKENS
    return [
        f"{entries:,} documents of {tokens / entries:.0f} tokens take "
        f"{used / entries:.0f} bytes each. The setting `ranker.token_cache_tokens` counts "
        f"{DOCUMENT_TOKENS} tokens for a document besides its own, which makes "
        f"{used / held:.1f} bytes a token here; {TOKEN_BYTES} is the bound, and "
        f"8,000,000 tokens, the default, are {TOKEN_BYTES * 8_000_000 / 1e6:.0f} MB.",
    ]


def whole(requests: Sequence[Request], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    rows = []
    for name, size, some in (
        ("1 layer, 64 wide", TINY_ENCODER, requests[:20]),
        ("2 layers, 128 wide", SMALL, requests[:10]),
        ("6 layers, 384 wide", MINILM, requests[:2]),
    ):
        model = new_encoder(size, tokenizer, MAX_TOKENS, seed=1)
        engine = ReferenceEngine(model, "encoder")
        plain = CrossEncoder("encoder", PairEncoder(tokenizer, "encoder", MAX_TOKENS), engine)
        cache = TokenCache(PLENTY)
        kept = CrossEncoder("encoder", PairEncoder(tokenizer, "encoder", MAX_TOKENS, cache), engine)
        without: list[float] = []
        with_cache: list[float] = []
        for turn in range(ROUNDS // 2 + 1):
            for ranker, micros in ((plain, without), (kept, with_cache)):
                began = time.process_time()
                for query, documents in some:
                    score_texts(ranker, query, documents)
                if turn:
                    spent = time.process_time() - began
                    micros.append(spent * 1e6 / (len(some) * DOCUMENTS))
        rows.append(
            f"| {name} | {statistics.median(without):,.0f} | {statistics.median(with_cache):,.0f} "
            f"| {_ratio(without, with_cache)} |"
        )
    return [
        "An encoder's whole scoring by the reference engine, fp32, random weights. A quicker "
        "engine makes the cache worth more.",
        "",
        "| | us a pair, no cache | all in the cache | ratio |",
        "|---|---|---|---|",
        *rows,
    ]


def _ratio(these: Sequence[float], those: Sequence[float]) -> str:
    each = [a / b for a, b in zip(these, those, strict=True)]
    return f"{statistics.median(each):.2f} [{min(each):.2f}, {max(each):.2f}]"
