"""Distillation: a small encoder learns to score like the teacher.

    L = loss(scores, teacher's scores) + gamma * L_rank(grades)

The loss is DisRanker's hybrid (arXiv 2411.04539, stage 3) or another one of
`losses`. The second term needs grades and is off by default; a pairwise loss on
hard labels beside the teacher's helps cross-encoders (arXiv 2302.04112). The
teacher's scores are standardised once, over all lists: per query, the offset
that a pointwise loss learns would mean nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import (
    Lineage,
    Manifest,
    digest_of,
    lists_digest,
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
    without_dropout,
    word_embeddings,
)
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.losses import margin_ranking
from ranklift.rankers.losses.choice import LOSSES, Loss, distillation_loss
from ranklift.rankers.saving import kind_of
from ranklift.rankers.training.batches import (
    EncodedList,
    collate_lists,
    encode_lists,
    length_buckets,
    list_scores,
)
from ranklift.rankers.training.card import Learnt
from ranklift.rankers.training.checkpoints import folder_of
from ranklift.rankers.training.exact_logits import exact_logits
from ranklift.rankers.training.first_token import first_token_only
from ranklift.rankers.training.health import refuse_collapse
from ranklift.rankers.training.loop import Progress, Trained, no_progress, train
from ranklift.rankers.training.stage import leave, steps_of
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
    """A student cut out of a pretrained encoder: the layers kept, 0-based, or all."""

    folder: Path
    layers: tuple[int, ...] | None = None


Start: TypeAlias = FromScratch | FromArtefact | FromPretrained


@dataclass(frozen=True, slots=True)
class DistilOptions:
    """How long, how fast and by which loss; `batch` counts lists.

    `loss` is a name in `losses.choice`; `alpha` and `temperature` are read by
    those losses that have them. `bf16` and `accumulation` are as in `CptOptions`.
    """

    steps: int = 400
    batch: int = 16
    learning_rate: float = 3e-3
    max_tokens: int = 64
    loss: str = "hybrid"
    alpha: float = 0.5
    temperature: float = 1.0
    gamma: float = 0.0
    seed: int = 0
    bf16: bool = False
    accumulation: int = 1


def distil(
    start: Start,
    lists: Sequence[RankingList],
    folder: Path,
    options: DistilOptions,
    *,
    teacher: str = "",
    grades: Sequence[Sequence[float]] | None = None,
    progress: Progress = no_progress,
    checkpoints: Path | None = None,
) -> Trained:
    """Train a student on lists whose targets are the teacher's scores, and write it to `folder`.

    `teacher` is the digest of the teacher's artefact. `grades`, one for each
    document of each list, are needed when `gamma` is not 0 and only then read.
    `checkpoints` is as in `pretrain`.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: the lists or the options are wrong, or the start is no encoder.
        TrainingFailed: the loss is not finite, or all scores became the same.
    """
    refuse_existing(folder)
    loss = _loss(options, grades)
    model, tokenizer, parent = _begin(start, options)
    # It learns from as many scores as it likes: there is nothing to memorise.
    without_dropout(model)
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
        value = loss(scores, collated.targets.to(scores.device), mask)
        if options.gamma:
            graded = collated.grades.to(scores.device)
            value = value + options.gamma * margin_ranking(scores, graded, mask)
        return value

    learnt_as = {
        "teacher_mean": mean,
        "teacher_deviation": deviation,
        "start": _described(start),
    }
    if options.gamma and grades:
        learnt_as["grades"] = lists_digest(
            [replace(one, targets=tuple(of)) for one, of in zip(lists, grades, strict=True)]
        )
    lineage = Lineage(
        "distil",
        tuple(digest for digest in (teacher, parent) if digest),
        lists_digest(lists),
        asdict(options) | learnt_as,
    )
    kept = folder_of(checkpoints, lineage) if checkpoints else None
    with exact_logits(model), first_token_only(model):
        trained = train(
            model,
            [[encoded[i] for i in step] for step in steps],
            loss_of,
            steps_of(options),
            progress=progress,
            checkpoints=kept,
        )
    refuse_collapse(model, "encoder", encoded)
    learnt = Learnt(len(encoded), sum(len(each.pairs) for each in encoded))
    manifest = Manifest("encoder", "fp32", options.max_tokens, lineage)
    leave(folder, manifest, model, tokenizer, learnt, trained, kept)
    return trained


def check(start: Start, options: DistilOptions) -> None:
    """Check what is known before there are scores: the loss, its settings, and the start.

    Raises:
        InvalidRequest: as `distil`.
    """
    _loss(options, ())
    _begin(start, options)


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


def _loss(options: DistilOptions, grades: Sequence[Sequence[float]] | None) -> Loss:
    """Return the loss on the teacher's scores that the options name, all of them checked."""
    if options.gamma < 0:
        raise InvalidRequest.of("gamma", f"{options.gamma} must be at least 0")
    if options.gamma and grades is None:
        raise InvalidRequest.of("grades", f"gamma is {options.gamma}; give grades, or gamma 0")
    taken = LOSSES[options.loss].settings if options.loss in LOSSES else {}
    given = {"alpha": options.alpha, "temperature": options.temperature}
    return distillation_loss(options.loss, **{k: v for k, v in given.items() if k in taken})


def _described(start: Start) -> str:
    """Return in words what the digests of parents leave open."""
    if isinstance(start, FromScratch):
        # Of several teachers, whose words it has.
        return f"scratch, {start.size}, words of {digest_of(start.teacher)}"
    if isinstance(start, FromPretrained) and start.layers is not None:
        return f"layers {', '.join(map(str, start.layers))}"
    return "whole"


def _begin(
    start: Start, options: DistilOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Return model, tokenizer, and the digest of the folder that it goes on from or ""."""
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
        model, parent = load_scorer(start.folder, head_seed=options.seed), digest_of(start.folder)
        if kind_of(model) != "encoder":
            raise InvalidRequest.of(
                "start", f'"{start.folder}" is a decoder, a student starts from an encoder'
            )
        if start.layers is not None:
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
