"""How the students of a collection are trained; each function writes one model version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ranklift.cli.demo.school import portions
from ranklift.rankers.base import RankingList
from ranklift.rankers.training.distil import DistilOptions, Start, distil
from ranklift.rankers.training.sft import SftOptions, finetune


@dataclass(frozen=True, slots=True)
class Pace:
    """How many lists are learnt from at each step, how fast, and how often each of them."""

    lists: int
    rate: float
    epochs: int = 1

    def steps(self, count: int) -> int:
        """Return how many steps `count` lists take, 1 or more."""
        return max(1, self.epochs * count // self.lists)


@dataclass(frozen=True, slots=True)
class CollectionScale:
    """How much is learnt from, how long, and how fast.

    `made_up` queries have `documents` each, out of BM25's `depth` best, and
    steps of the warm start are of `made_up_lists`. Training queries come in
    portions of `portion` documents, or with judgments of all relevant ones and
    `negatives` others; `judged_lists` a step, `epochs` and `label_epochs` times.
    Distilled students have `layers` layers; labels alone teach the whole encoder.
    """

    folds: int = 5
    depth: int = 50
    made_up: int = 1_800
    documents: int = 12
    made_up_lists: int = 4
    warm_rate: float = 2e-4
    portion: int = 25
    negatives: int = 8
    judged_lists: int = 2
    epochs: int = 2
    rate: float = 1e-4
    label_epochs: int = 1
    label_rate: float = 1e-4
    max_tokens: int = 64
    bi_encoder_tokens: int = 256
    layers: tuple[int, ...] = (6,)
    bf16: bool = True

    @property
    def warm_up(self) -> Pace:
        return Pace(self.made_up_lists, self.warm_rate)

    @property
    def going_on(self) -> Pace:
        return Pace(self.judged_lists, self.rate, self.epochs)

    @property
    def labelling(self) -> Pace:
        return Pace(self.judged_lists, self.label_rate, self.label_epochs)


def learn_scores(
    start: Start,
    lists: Sequence[RankingList],
    folder: Path,
    scale: CollectionScale,
    pace: Pace,
    seed: int,
    teacher: str,
) -> None:
    """Distil a student from lists whose targets are the scores of the teacher of that digest.

    Raises:
        InvalidRequest, TrainingFailed: as `distil`.
    """
    distil(
        start,
        lists,
        folder,
        DistilOptions(
            steps=pace.steps(len(lists)),
            batch=pace.lists,
            learning_rate=pace.rate,
            max_tokens=scale.max_tokens,
            seed=seed,
            bf16=scale.bf16,
        ),
        teacher=teacher,
        checkpoints=folder.parent.parent / "training",
    )


def learn_labels(
    pretrained: Path,
    judged: Sequence[RankingList],
    folder: Path,
    scale: CollectionScale,
    seed: int,
) -> None:
    """Fine-tune the whole pretrained encoder on judgments, without any teacher.

    Raises:
        InvalidRequest, TrainingFailed: as `finetune`.
    """
    parts = [
        part
        for each in judged
        if len(set(each.targets)) > 1
        for part in portions(each, scale.negatives)
    ]
    pace = scale.labelling
    finetune(
        pretrained,
        parts,
        folder,
        SftOptions(
            steps=pace.steps(len(parts)),
            batch=pace.lists,
            learning_rate=pace.rate,
            max_tokens=scale.max_tokens,
            seed=seed,
            bf16=scale.bf16,
        ),
    )


def parted(ranking: RankingList, size: int, rng: np.random.Generator) -> Iterator[RankingList]:
    """Yield the documents of a list in random portions of `size`; the last may be smaller, and
    one of a single document, in which there is nothing to order, is left out."""
    order = rng.permutation(len(ranking.documents))
    for start in range(0, len(order), size):
        kept = order[start : start + size].tolist()
        if len(kept) > 1:
            yield RankingList(
                ranking.query,
                tuple(ranking.documents[i] for i in kept),
                tuple(ranking.targets[i] for i in kept),
            )
