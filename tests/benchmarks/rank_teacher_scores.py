"""What a teacher's scores cost: list by list, lists together, in bf16, and out of the cache.

python -m tests.benchmarks.run rank_teacher_scores
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import Size, load_scorer, new_decoder
from ranklift.rankers.base import Encoded, Ranker, RankingList, Text, Values, score_texts
from ranklift.rankers.convert import convert
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import chunks
from ranklift.rankers.engines.reference import CHUNK_TOKENS
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.saving import save
from ranklift.rankers.scores import score_lists
from ranklift.rankers.scores.scoring import CHUNK_PAIRS

LISTS, DOCUMENTS, ROUNDS = 40, 10, 3
MAX_TOKENS = 192
# Documents in words: lognormal, as abstracts are.
MEDIAN_WORDS, SPREAD = 35, 0.7
# Four of the 30 layers of SmolLM2-135M.
DECODER = Size(layers=4, width=576, heads=9, feed_forward=1_536)
CACHED_PAIRS, PAIRS_A_LIST = 1_000_000, 20


def measure() -> str:
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(minilm_folder())
    lists = lists_of(tokenizer)
    with tempfile.TemporaryDirectory() as home:
        rows = scoring_rows(versions(tokenizer, Path(home)), lists, Path(home))
        cached = cache_lines(Path(home))
    return "\n".join(
        [
            "# A teacher's scores",
            "",
            f"{LISTS} lists of {DOCUMENTS} documents, {ROUNDS} rounds, one thread. Pairs a second "
            "of processor time, median [least, most]; list by list is `score_texts` of one list "
            "after the other, together is `score_lists` with an empty cache, what it writes "
            "included. The decoder has four of the 30 layers of SmolLM2-135M.",
            "",
            "| | list by list | together | together / list by list |",
            "|---|---|---|---|",
            *rows,
            "",
            "Of what the reference engine reads, padding is "
            f"{padding(lists, tokenizer, DOCUMENTS):.1%} list by list and "
            f"{padding(lists, tokenizer, CHUNK_PAIRS):.1%} together. The packed engine, which the "
            "encoder has, pads nothing, nor does bf16; there, larger batches are all that is won.",
            "",
            "## The cache",
            "",
            *cached,
        ]
    )


def lists_of(tokenizer: PreTrainedTokenizerBase) -> list[RankingList]:
    rng = np.random.default_rng(7)
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha())

    def text(count: int) -> str:
        return " ".join(rng.choice(words, count))

    found = []
    for _ in range(LISTS):
        counts = rng.lognormal(np.log(MEDIAN_WORDS), SPREAD, DOCUMENTS).astype(int) + 1
        documents = tuple(Text("", "", text(int(n))) for n in counts)
        found.append(RankingList(text(6), documents, (0.0,) * DOCUMENTS))
    return found


def versions(tokenizer: PreTrainedTokenizerBase, home: Path) -> dict[str, Path]:
    with new_artefact(
        home / "encoder", Manifest("encoder", "fp32", MAX_TOKENS, Lineage("sft"))
    ) as folder:
        save(load_scorer(minilm_folder(), head_seed=0), tokenizer, folder, max_tokens=MAX_TOKENS)
    language_model = home / "language_model"
    language_model.mkdir()
    # Its tokenizer has no tokens that begin and end a text: [CLS] and [SEP] stand in.
    tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
    save(new_decoder(DECODER, tokenizer, MAX_TOKENS, seed=1), tokenizer, language_model)
    with new_artefact(
        home / "decoder", Manifest("decoder", "fp32", MAX_TOKENS, Lineage("sft"))
    ) as folder:
        save(load_scorer(language_model, head_seed=0), tokenizer, folder, max_tokens=MAX_TOKENS)
    convert(home / "decoder", "bf16", home / "decoder_bf16")
    return {
        "MiniLM, fp32": home / "encoder",
        "decoder, fp32": home / "decoder",
        "decoder, bf16": home / "decoder_bf16",
    }


def scoring_rows(found: dict[str, Path], lists: Sequence[RankingList], home: Path) -> list[str]:
    rows = []
    for name, folder in found.items():
        ranker = load_ranker(folder)
        score_texts(ranker, lists[0].query, lists[0].documents)
        apart, together = [], []
        for turn in range(ROUNDS):
            apart.append(_rate(partial(_list_by_list, ranker, lists)))
            cache = home / f"{name}-{turn}"
            together.append(_rate(partial(score_lists, ranker, "sha256:a", lists, cache)))
        ratios = [mine / other for mine, other in zip(together, apart, strict=True)]
        rows.append(
            f"| {name} | {_spread(apart, 0)} | {_spread(together, 0)} | {_spread(ratios, 2)} |"
        )
    return rows


def _list_by_list(ranker: Ranker[Any], lists: Sequence[RankingList]) -> None:
    for ranking in lists:
        score_texts(ranker, ranking.query, ranking.documents)


def _rate(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return LISTS * DOCUMENTS / (time.process_time() - began)


def padding(
    lists: Sequence[RankingList], tokenizer: PreTrainedTokenizerBase, together: int
) -> float:
    """Return which share of a padded batch is padding when so many pairs are sorted together."""
    lengths = [
        min(MAX_TOKENS, len(tokenizer(each.query, document.body)["input_ids"]))
        for each in lists
        for document in each.documents
    ]
    padded = 0
    for start in range(0, len(lengths), together):
        group = lengths[start : start + together]
        padded += sum(len(c) * max(group[i] for i in c) for c in chunks(group, CHUNK_TOKENS))
    return 1 - sum(lengths) / padded


@dataclass(frozen=True, slots=True)
class Length:
    """A document as a teacher reads it who costs nothing."""

    tokens: int


class Free:
    """A teacher that costs nothing: what is left is the cache."""

    kind = "bm25"
    numerics = "fp32"

    def encode(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Encoded[Length]:
        return Encoded(tuple(Length(len(each.text)) for each in documents))

    def scores(self, pairs: Sequence[Length]) -> Values:
        return np.array([float(pair.tokens) for pair in pairs])


def cache_lines(home: Path) -> list[str]:
    documents = [Text(str(i), "", f"document {i} " * 3) for i in range(5_000)]
    lists = [
        RankingList(
            f"query {i}",
            tuple(documents[(i * 7 + j * 13) % len(documents)] for j in range(PAIRS_A_LIST)),
            (0.0,) * PAIRS_A_LIST,
        )
        for i in range(CACHED_PAIRS // PAIRS_A_LIST)
    ]
    spent = []
    for expected in (CACHED_PAIRS, 0):
        began = time.process_time()
        scored = score_lists(Free(), "sha256:free", lists, home / "cache")
        spent.append((time.process_time() - began) * 1e6 / CACHED_PAIRS)
        assert scored.computed == expected
    (file,) = (home / "cache").rglob("*.parquet")
    began = time.perf_counter()
    score_lists(Free(), "sha256:free", lists[:10], home / "cache")
    few = time.perf_counter() - began
    return [
        f"{CACHED_PAIRS:,} pairs of a teacher that costs nothing: {spent[0]:.1f} us of processor "
        f"time a pair to score, keep and merge, {spent[1]:.1f} us to find all of them again; "
        f"{file.stat().st_size / CACHED_PAIRS:.0f} bytes a pair on disk. To ask for "
        f"{10 * PAIRS_A_LIST} of them takes {few * 1e3:.0f} ms: the file's digest is checked, and "
        "it is read for their keys alone."
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
