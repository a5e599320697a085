"""Continued pre-training on clicks: a language model learns what is clicked for a query.

    L_cpt = -mean log P(token | query, tokens before)    over the document's tokens

The query is a prompt and is not predicted (DisRanker, arXiv 2411.04539, stage
1). A small model does not learn from a rank loss alone which words mean the
same; from clicked documents it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import (
    Lineage,
    Manifest,
    lists_digest,
    new_artefact,
    refuse_existing,
)
from ranklift.rankers.base import ClickedText, RankingList
from ranklift.rankers.encoding import Pair, PairEncoder, pad
from ranklift.rankers.saving import save
from ranklift.rankers.training.batches import length_buckets
from ranklift.rankers.training.loop import Progress, Trained, no_progress, train
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class CptOptions:
    """How long and how fast; `batch` counts clicked documents."""

    steps: int = 400
    batch: int = 64
    learning_rate: float = 5e-3
    max_tokens: int = 64
    seed: int = 0


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    clicks: Sequence[ClickedText],
    folder: Path,
    options: CptOptions,
    *,
    parents: tuple[str, ...] = (),
    progress: Progress = no_progress,
) -> Trained:
    """Train a causal language model on clicked documents and write it to `folder`.

    `model` is changed in place; `parents` are the digests of what it came from.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: there are no clicks.
        TrainingFailed: the loss is not finite.
    """
    refuse_existing(folder)
    if not clicks:
        raise InvalidRequest.of("clicks", "there is nothing to learn from; give at least one click")
    encoder = PairEncoder(tokenizer, "decoder", options.max_tokens)
    pairs = [encoder.encode(click.query, [click.document]).pairs[0] for click in clicks]
    steps = length_buckets(
        [len(pair.ids) for pair in pairs], options.batch, options.steps, seed=options.seed
    )
    trained = train(
        model,
        [[pairs[i] for i in step] for step in steps],
        document_loss,
        learning_rate=options.learning_rate,
        seed=options.seed,
        progress=progress,
    )
    learnt = [RankingList(click.query, (click.document,), (1.0,)) for click in clicks]
    manifest = Manifest(
        "causal_lm",
        "fp32",
        options.max_tokens,
        Lineage("cpt", parents, lists_digest(learnt), asdict(options)),
    )
    with new_artefact(folder, manifest) as temporary:
        save(model, tokenizer, temporary, max_tokens=options.max_tokens)
    return trained


def document_loss(model: PreTrainedModel, pairs: Sequence[Pair]) -> Tensor:
    """Return the mean negative log-likelihood of the documents' tokens and the closing one."""
    batch = pad(pairs)
    ids, mask = batch.input_ids.to(model.device), batch.attention_mask.to(model.device)
    hidden: Tensor = model.base_model(
        input_ids=ids, attention_mask=mask, use_cache=False
    ).last_hidden_state
    # Position i predicts token i + 1. Only the document's tokens go through the
    # output layer: it is the widest of a small model.
    document = batch.token_type_ids[:, 1:].bool().to(model.device)
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    logits: Tensor = output(hidden[:, :-1][document])
    return functional.cross_entropy(logits.float(), ids[:, 1:][document])
