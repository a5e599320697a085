"""Distillation: a small encoder learns to score like the teacher.

    L = alpha * L_point + (1 - alpha) * L_margin + gamma * L_rank(grades)

The first two terms are DisRanker's hybrid (arXiv 2411.04539, stage 3). The
third needs grades and is off by default; a pairwise loss on hard labels beside
the teacher's helps cross-encoders (arXiv 2302.04112). The teacher's scores are
standardised once, over all lists: per query, the offset that L_point learns
would mean nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import (
    Lineage,
    Manifest,
    digest_of,
    lists_digest,
    new_artefact,
    read_manifest,
    refuse_existing,
)
from ranklift.rankers.backbones import (
    Size,
    check_fit,
    cut,
    load_scorer,
    new_encoder,
    reduced_embeddings,
    word_embeddings,
)
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.losses import hybrid, margin_ranking
from ranklift.rankers.saving import save
from ranklift.rankers.training.batches import (
    EncodedList,
    collate_lists,
    encode_lists,
    length_buckets,
    list_scores,
)
from ranklift.rankers.training.loop import Progress, Trained, no_progress, refuse_collapse, train
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class FromScratch:
    """A new student with the tokenizer of the teacher in a folder.

    Its weights are random but for the word embeddings, which are the teacher's
    reduced to its width: which words mean the same is learnt already.
    """

    size: Size
    teacher: Path


@dataclass(frozen=True, slots=True)
class FromArtefact:
    """A student that goes on from an encoder's artefact."""

    folder: Path


@dataclass(frozen=True, slots=True)
class FromPretrained:
    """A student cut out of a pretrained BERT: the layers kept, 0-based."""

    folder: Path
    layers: tuple[int, ...]


Start: TypeAlias = FromScratch | FromArtefact | FromPretrained


@dataclass(frozen=True, slots=True)
class DistilOptions:
    """How long, how fast and by which loss; `batch` counts lists, `alpha` is in [0, 1]."""

    steps: int = 400
    batch: int = 16
    learning_rate: float = 3e-3
    max_tokens: int = 64
    alpha: float = 0.5
    gamma: float = 0.0
    seed: int = 0


def distil(
    start: Start,
    lists: Sequence[RankingList],
    folder: Path,
    options: DistilOptions,
    *,
    teacher: str = "",
    grades: Sequence[Sequence[float]] | None = None,
    progress: Progress = no_progress,
) -> Trained:
    """Train a student on lists whose targets are the teacher's scores, and write it to `folder`.

    `teacher` is the digest of the teacher's artefact. `grades`, one for each
    document of each list, are needed when `gamma` is not 0 and only then read.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: the lists or the options are wrong, or the start is no encoder.
        TrainingFailed: the loss is not finite, or all scores became the same.
    """
    refuse_existing(folder)
    _check(options, grades)
    model, tokenizer, parent = _begin(start, options)
    encoder = PairEncoder(tokenizer, "encoder", options.max_tokens)
    mean, deviation = standard(lists)
    standardised = [
        RankingList(each.query, each.documents, tuple((t - mean) / deviation for t in each.targets))
        for each in lists
    ]
    encoded = encode_lists(encoder, standardised, grades if options.gamma else None)
    steps = length_buckets(
        [each.length for each in encoded], options.batch, options.steps, seed=options.seed
    )

    def loss_of(model: PreTrainedModel, batch: Sequence[EncodedList]) -> Tensor:
        collated = collate_lists(batch)
        scores = list_scores(model, "encoder", collated)
        mask = collated.mask.to(scores.device)
        loss = hybrid(scores, collated.targets.to(scores.device), mask, options.alpha)
        if options.gamma:
            graded = collated.grades.to(scores.device)
            loss = loss + options.gamma * margin_ranking(scores, graded, mask)
        return loss

    trained = train(
        model,
        [[encoded[i] for i in step] for step in steps],
        loss_of,
        learning_rate=options.learning_rate,
        seed=options.seed,
        progress=progress,
    )
    refuse_collapse(model, "encoder", encoded[: options.batch])
    lineage = Lineage(
        "distil",
        tuple(digest for digest in (teacher, parent) if digest),
        lists_digest(lists),
        asdict(options) | {"teacher_mean": mean, "teacher_deviation": deviation},
    )
    with new_artefact(
        folder, Manifest("encoder", "fp32", options.max_tokens, lineage)
    ) as temporary:
        save(model, tokenizer, temporary, max_tokens=options.max_tokens)
    return trained


def standard(lists: Sequence[RankingList]) -> tuple[float, float]:
    """Return mean and standard deviation of all targets.

    Raises:
        InvalidRequest: there are none, or all are the same: the teacher collapsed.
    """
    targets = [target for each in lists for target in each.targets]
    deviation = statistics.pstdev(targets) if targets else 0.0
    if not deviation > 0:
        raise InvalidRequest.of(
            "lists", "the teacher's scores are all the same; score the lists with a trained teacher"
        )
    return statistics.fmean(targets), deviation


def _check(options: DistilOptions, grades: Sequence[Sequence[float]] | None) -> None:
    if not 0 <= options.alpha <= 1:
        raise InvalidRequest.of("alpha", f"{options.alpha} must be in [0, 1]")
    if options.gamma < 0:
        raise InvalidRequest.of("gamma", f"{options.gamma} must be at least 0")
    if options.gamma and grades is None:
        raise InvalidRequest.of("grades", f"gamma is {options.gamma}; give grades, or gamma 0")


def _begin(
    start: Start, options: DistilOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Return model, tokenizer, and the digest of the artefact that it goes on from or ""."""
    if isinstance(start, FromScratch):
        tokenizer = load_tokenizer(start.teacher)
        model = new_encoder(start.size, tokenizer, options.max_tokens, seed=options.seed)
        teacher = load_scorer(start.teacher)
        check_fit(teacher, tokenizer, 0)
        reduced = reduced_embeddings(word_embeddings(teacher)[: len(tokenizer)], start.size.width)
        word_embeddings(model)[:, : reduced.shape[1]] = reduced
        return model, tokenizer, ""
    tokenizer = load_tokenizer(start.folder)
    if isinstance(start, FromPretrained):
        model = load_scorer(start.folder, head_seed=options.seed)
        parent = ""
        model = cut(model, start.layers)
    else:
        kind = read_manifest(start.folder).kind
        if kind != "encoder":
            raise InvalidRequest.of(
                "start", f'"{start.folder}" is of kind "{kind}", a student starts from an encoder'
            )
        model, parent = load_scorer(start.folder), digest_of(start.folder)
    check_fit(model, tokenizer, options.max_tokens)
    return model, tokenizer, parent
