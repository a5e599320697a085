"""Rank fine-tuning: a language model, decoder or encoder, becomes a teacher by a few judged lists.

The head sits on the closing token; the loss is the hinge on pairs of different
grades (DisRanker, arXiv 2411.04539, stage 2), or another one of `losses`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from ranklift.rankers.artefacts import (
    Lineage,
    Manifest,
    digest_of,
    lists_digest,
    refuse_existing,
)
from ranklift.rankers.backbones import check_fit
from ranklift.rankers.base import RankingList
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import PairEncoder
from ranklift.rankers.heads import LABELS, Head, load_with_head
from ranklift.rankers.losses import TAU
from ranklift.rankers.losses.choice import distillation_loss
from ranklift.rankers.saving import kind_of
from ranklift.rankers.training.adapters import adapters
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
from ranklift.rankers.training.processes import is_writer
from ranklift.rankers.training.stage import leave, steps_of
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class SftOptions:
    """How long, how fast and by which loss; `batch` counts lists.

    `loss` is a name in `losses.choice`, `tau` the hinge's margin, `labels` how many
    the head "genfr" has. `bf16`, `accumulation` and `lora_rank` are as in
    `CptOptions`.
    """

    steps: int = 100
    batch: int = 16
    learning_rate: float = 2e-3
    max_tokens: int = 64
    loss: str = "hinge"
    tau: float = TAU
    head: Head = "scalar"
    labels: int = LABELS
    seed: int = 0
    bf16: bool = False
    accumulation: int = 1
    lora_rank: int = 0


def finetune(
    start: Path,
    lists: Sequence[RankingList],
    folder: Path,
    options: SftOptions,
    *,
    progress: Progress = no_progress,
    checkpoints: Path | None = None,
    sharded: bool = False,
) -> Trained:
    """Make a teacher out of the language model in the folder `start`, and write it to `folder`.

    The lists' targets are grades. Lists in which all grades are the same teach nothing and are
    left out. `checkpoints` and `sharded` are as in `pretrain`.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: `start` holds no such model, or no list has two
            different grades.
        TrainingFailed: the loss is not finite, or all scores became the same.
    """
    refuse_existing(folder)
    hinge = {"tau": options.tau} if options.loss == "hinge" else {}
    loss = distillation_loss(options.loss, **hinge)
    if hinge and options.head == "genfr" and options.tau >= options.labels - 1:
        raise InvalidRequest.of(
            "tau",
            f"{options.tau:g} must be less than {options.labels - 1}: scores of {options.labels} "
            "labels are no further apart",
        )
    tokenizer = load_tokenizer(start)
    model = load_with_head(start, tokenizer, options.head, labels=options.labels, seed=options.seed)
    kind = kind_of(model)
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
        targets, mask = (each.to(scores.device) for each in (collated.targets, collated.mask))
        return loss(scores, targets, mask)

    lineage = Lineage("sft", (digest_of(start),), lists_digest(lists), asdict(options))
    kept = folder_of(checkpoints, lineage, sharded=sharded) if checkpoints else None
    with (
        exact_logits(model),
        adapters(model, options.lora_rank, seed=options.seed, head=True),
        first_token_only(model),
    ):
        trained = train(
            model,
            [[encoded[i] for i in step] for step in steps],
            loss_of,
            steps_of(options, sharded=sharded),
            progress=progress,
            checkpoints=kept,
        )
    if is_writer():  # of a model that was spread, others hold pieces
        refuse_collapse(model, kind, encoded)
    learnt = Learnt(len(encoded), sum(len(each.pairs) for each in encoded))
    manifest = Manifest(kind, "fp32", options.max_tokens, lineage)
    leave(folder, manifest, model, tokenizer, learnt, trained, kept)
    return trained
