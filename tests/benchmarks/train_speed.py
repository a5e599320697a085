"""Training a cross-encoder, side by side with sentence-transformers on the same triples.

python -m tests.benchmarks.run train_speed

The peer's trainer needs one package more: pip install datasets
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from ranklift.cli.datasets import Choice, open_dataset
from ranklift.rankers.backbones import seeded
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.training.distil import DistilOptions, FromPretrained, distil

ROOT = Path(__file__).parents[2]
CRANFIELD = ROOT.parent / "shared" / "data" / "cranfield"
STEPS, ROUNDS = 10, 3
OPTIONS = DistilOptions(
    steps=STEPS, batch=16, learning_rate=1e-5, max_tokens=256, loss="margin_mse"
)
BAR = 1.3


def triples(count: int, seed: int) -> list[RankingList]:
    """Return queries with a relevant document and one that BM25 found, and made-up targets."""
    judged = open_dataset(str(CRANFIELD), Choice(depth=20))
    rng = np.random.default_rng(seed)
    found: list[RankingList] = []
    queries = [q for q in judged.grades if any(judged.grades[q].values())]
    while len(found) < count:
        query = queries[int(rng.integers(len(queries)))]
        relevant = [d for d, grade in judged.grades[query].items() if grade > 0]
        others = [d for d in judged.candidates[query] if d not in relevant]
        if others:
            chosen = (
                relevant[int(rng.integers(len(relevant)))],
                others[int(rng.integers(len(others)))],
            )
            one = judged.list_of(query, chosen)
            found.append(dataclasses.replace(one, targets=(1 + rng.random(), float(rng.random()))))
    return found


@dataclasses.dataclass(frozen=True)
class Taken:
    """Seconds on the clock and of the processor."""

    clock: float
    processor: float


class Stopwatch:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> Taken:
        return Taken(time.perf_counter() - self._clock, time.process_time() - self._processor)


def ours(lists: list[RankingList], bf16: bool) -> Taken:
    """Return what a whole distillation takes, reading and writing included."""
    options = dataclasses.replace(OPTIONS, bf16=bf16)
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch()
        distil(FromPretrained(minilm_folder()), lists, Path(folder) / "student", options)
        return watch.read()


def theirs(lists: list[RankingList], bf16: bool) -> Taken:
    """Return the same of sentence-transformers' trainer, with its defaults otherwise.

    Dropout is off in both.
    """
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import MarginMSELoss

    with tempfile.TemporaryDirectory() as folder, seeded(OPTIONS.seed):
        watch = Stopwatch()
        model = CrossEncoder(
            str(minilm_folder()),
            num_labels=1,
            max_length=OPTIONS.max_tokens,
            config_kwargs={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        )
        data = Dataset.from_dict(
            {
                "query": [one.query for one in lists],
                "positive": [one.documents[0].body for one in lists],
                "negative": [one.documents[1].body for one in lists],
                "score": [one.targets[0] - one.targets[1] for one in lists],
            }
        )
        arguments = CrossEncoderTrainingArguments(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=OPTIONS.batch,
            learning_rate=OPTIONS.learning_rate,
            warmup_steps=STEPS // 10,
            weight_decay=0.01,
            bf16=bf16,
            use_cpu=not torch.accelerator.is_available(),
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer: Any = CrossEncoderTrainer(
                model=model, args=arguments, train_dataset=data, loss=MarginMSELoss(model)
            )
            trainer.train()
        model.save_pretrained(str(Path(folder) / "student"))
        return watch.read()


def measure() -> str:
    """Train with both, in turn, and return the page."""
    lists = triples(STEPS * OPTIONS.batch, seed=0)
    pairs = 2 * STEPS * OPTIONS.batch
    rows = []
    for bf16 in (False, True):
        rounds: list[tuple[Taken, Taken]] = []
        for round_ in range(ROUNDS + 1):
            # In turn, and the other way round every second time.
            if round_ % 2:
                one, other = ours(lists, bf16), theirs(lists, bf16)
            else:
                other, one = theirs(lists, bf16), ours(lists, bf16)
            if round_:  # the first one warms caches
                rounds.append((one, other))
        ratios = sorted(other.clock / one.clock for one, other in rounds)
        processor = sorted(other.processor / one.processor for one, other in rounds)
        rows.append(
            f"| {'bf16' if bf16 else 'fp32'} "
            f"| {pairs / median(one.clock for one, _ in rounds):.0f} "
            f"| {pairs / median(other.clock for _, other in rounds):.0f} "
            f"| **{median(ratios):.2f}** | {ratios[0]:.2f} to {ratios[-1]:.2f} "
            f"| {median(processor):.2f} |"
        )
    return "\n".join(
        [
            "# Training a cross-encoder",
            "",
            f"all-MiniLM-L6-v2 learns {len(lists)} triples of Cranfield (a query, a relevant "
            f"document, one that BM25 found) by Margin-MSE: {STEPS} steps of {OPTIONS.batch} "
            f"triples, {OPTIONS.max_tokens} tokens at most, AdamW, no dropout. Both read texts, "
            f"train, and write the model; {torch.get_num_threads()} thread(s).",
            "",
            f"| products | ranklift, pairs/s | peer, pairs/s | ratio | of {ROUNDS} rounds "
            "| ratio of processor time |",
            "|---|--:|--:|--:|--:|--:|",
            *rows,
            "",
            f"Wanted: a ratio of at least {BAR}. {_lengths(lists)}",
        ]
    )


def _lengths(lists: list[RankingList]) -> str:
    """Say how much padding a batch as it comes has, and one of like lengths."""
    encoder = PairEncoder(load_tokenizer(minilm_folder()), "encoder", OPTIONS.max_tokens)
    lists_of_pairs = [encoder.encode(one.query, one.documents).pairs for one in lists]
    tokens = np.array([[pair.tokens for pair in pairs] for pairs in lists_of_pairs])
    batches = tokens.reshape(-1, 2 * OPTIONS.batch)
    padding = 1 - tokens.sum() / (batches.max(1) * batches.shape[1]).sum()
    return (
        f"Of the tokens of batches as they come {padding:.0%} are padding. Here documents of "
        "like length are computed together, whichever list they are of, and the last of six layers "
        "is computed for the first token alone, which saves another seventh of the products."
    )
