"""A trained student for the benchmark of engines: MiniLM fine-tuned on Vaswani's judgments.

    python -m tests.benchmarks.rank_engine_student    # made once, kept under build/

Whether bf16 ranks as fp32 does can only be seen on scores that mean something: a
random head spreads a query's scores so little that any rounding reorders them.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from ranklift.cli.collections import Ground, judged_ground
from ranklift.rankers.base import RankingList
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.training.sft import SftOptions, finetune

ROOT = Path(__file__).parents[2]
COLLECTION = ROOT.parent / "shared" / "data" / "vaswani"
FOLDER = ROOT / "build" / "rank_engine" / "student"
DEPTH = 30
TRAINING_QUERIES = 60
RELEVANT, OTHERS = 2, 6
MADE_QUERIES, MADE_WORDS = 300, 7
OPTIONS = SftOptions(steps=300, batch=3, learning_rate=5e-5, max_tokens=128, seed=1)


def trained_student() -> Path:
    """Return the folder of the trained student, which is made if it is not there."""
    if not FOLDER.exists():
        finetune(minilm_folder(), _training_lists(), FOLDER, OPTIONS)
    return FOLDER


def lists_to_rank() -> list[RankingList]:
    """Return lists of 30 documents: those of all queries, and of queries made of documents' words.

    A made query is the beginning of a document, so that there are enough lists to count flips.
    """
    ground = judged_ground(COLLECTION, DEPTH)
    lists = ground.lists(ground.collection.queries)
    rng = np.random.default_rng(3)
    everything = ground.texts()
    for position in rng.choice(len(everything), size=MADE_QUERIES, replace=False):
        query = " ".join(everything[position].text.split()[:MADE_WORDS])
        shown = rng.choice(len(everything), size=DEPTH, replace=False)
        documents = (everything[position], *(everything[i] for i in shown))[:DEPTH]
        lists.append(RankingList(query, documents, (0.0,) * len(documents)))
    return lists


def _training_lists() -> list[RankingList]:
    """Return short lists of the first queries: a few relevant documents among BM25's best."""
    ground: Ground = judged_ground(COLLECTION, DEPTH)
    rng = np.random.default_rng(2)
    found = []
    for ranking in ground.lists(list(ground.collection.queries)[:TRAINING_QUERIES]):
        targets = np.array(ranking.targets)
        relevant, others = np.flatnonzero(targets > 0), np.flatnonzero(targets == 0)
        for _ in range(8):
            if len(relevant) and len(others) >= OTHERS:
                taken = [
                    *rng.choice(relevant, min(RELEVANT, len(relevant)), replace=False),
                    *rng.choice(others, OTHERS, replace=False),
                ]
                found.append(
                    RankingList(
                        ranking.query,
                        tuple(ranking.documents[i] for i in taken),
                        tuple(ranking.targets[i] for i in taken),
                    )
                )
    return found


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    began = time.perf_counter()
    print(trained_student(), f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
