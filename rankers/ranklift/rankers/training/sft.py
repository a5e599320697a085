"""Rank fine-tuning: a language model, decoder or encoder, becomes a teacher by a few judged lists.

The scalar head sits on the closing token; the loss is the hinge on pairs of
different grades (DisRanker, arXiv 2411.04539, stage 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor
from transformers import PreTrainedModel

from ranklift.rankers.artefacts import (
    Lineage,
    Manifest,
    digest_of,
    lists_digest,
    new_artefact,
    refuse_existing,
)
from ranklift.rankers.backbones import check_fit, load_scorer
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.losses import TAU, margin_ranking
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
class SftOptions:
    """How long and how fast; `batch` counts lists, `tau` is the margin of the rank loss."""

    steps: int = 100
    batch: int = 16
    learning_rate: float = 2e-3
    max_tokens: int = 64
    tau: float = TAU
    seed: int = 0


def finetune(
    start: Path,
    lists: Sequence[RankingList],
    folder: Path,
    options: SftOptions,
    *,
    kind: Literal["decoder", "encoder"] = "decoder",
    progress: Progress = no_progress,
) -> Trained:
    """Make a teacher out of the language model in the folder `start`, and write it to `folder`.

    `kind` says how it reads a pair and where its head sits. The lists' targets
    are grades. Lists in which all grades are the same teach nothing and are
    left out.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: `start` holds no such model, or no list has two
            different grades.
        TrainingFailed: the loss is not finite, or all scores became the same.
    """
    refuse_existing(folder)
    model = load_scorer(start, head_seed=options.seed)
    tokenizer = load_tokenizer(start)
    check_fit(model, tokenizer, options.max_tokens)
    encoder = PairEncoder(tokenizer, kind, options.max_tokens)
    encoded = [each for each in encode_lists(encoder, lists) if len(set(each.targets)) > 1]
    if not encoded:
        raise InvalidRequest.of(
            "lists", "no list has two documents of different grades; judge more documents"
        )
    steps = length_buckets(
        [each.length for each in encoded], options.batch, options.steps, seed=options.seed
    )

    def loss_of(model: PreTrainedModel, batch: Sequence[EncodedList]) -> Tensor:
        collated = collate_lists(batch)
        scores = list_scores(model, kind, collated)
        return margin_ranking(
            scores,
            collated.targets.to(scores.device),
            collated.mask.to(scores.device),
            options.tau,
        )

    trained = train(
        model,
        [[encoded[i] for i in step] for step in steps],
        loss_of,
        learning_rate=options.learning_rate,
        seed=options.seed,
        progress=progress,
    )
    refuse_collapse(model, kind, encoded[: options.batch])
    lineage = Lineage("sft", (digest_of(start),), lists_digest(lists), asdict(options))
    manifest = Manifest(kind, "fp32", options.max_tokens, lineage)
    with new_artefact(folder, manifest) as temporary:
        save(model, tokenizer, temporary, max_tokens=options.max_tokens)
    return trained
