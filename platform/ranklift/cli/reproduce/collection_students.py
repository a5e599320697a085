"""How the students of a collection are trained; each function writes one model version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ranklift.cli.demo.school import portions
from ranklift.rankers.backbones import alternate, depth_of
from ranklift.rankers.base import RankingList
from ranklift.rankers.training.distil import DistilOptions, FromArtefact, FromPretrained, distil
from ranklift.rankers.training.sft import SftOptions, finetune


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


def warm_start(
    pretrained: Path,
    layers: int,
    lists: Sequence[RankingList],
    folder: Path,
    scale: CollectionScale,
    seed: int,
    teacher: str,
) -> None:
    """Distil a student of `layers` of the pretrained encoder's layers from made-up queries.

    The lists' targets are the scores of the teacher with the digest `teacher`.

    Raises:
        InvalidRequest, TrainingFailed: as `distil`.
    """
    distil(
        FromPretrained(pretrained, alternate(layers, of=depth_of(pretrained))),
        lists,
        folder,
        DistilOptions(
            steps=max(1, len(lists) // scale.made_up_lists),
            batch=scale.made_up_lists,
            learning_rate=scale.warm_rate,
            max_tokens=scale.max_tokens,
            seed=seed,
            bf16=scale.bf16,
        ),
        teacher=teacher,
        checkpoints=folder.parent.parent / "training",
    )


def go_on(
    start: Path,
    lists: Sequence[RankingList],
    folder: Path,
    scale: CollectionScale,
    seed: int,
    teacher: str,
) -> None:
    """Distil the student in `start` further, from real queries with the teacher's scores.

    Raises:
        InvalidRequest, TrainingFailed: as `distil`.
    """
    rng = np.random.default_rng(seed)
    parts = [part for each in lists for part in parted(each, scale.portion, rng)]
    distil(
        FromArtefact(start),
        parts,
        folder,
        DistilOptions(
            steps=max(1, scale.epochs * len(parts) // scale.judged_lists),
            batch=scale.judged_lists,
            learning_rate=scale.rate,
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
    finetune(
        pretrained,
        parts,
        folder,
        SftOptions(
            steps=max(1, scale.label_epochs * len(parts) // scale.judged_lists),
            batch=scale.judged_lists,
            learning_rate=scale.label_rate,
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
