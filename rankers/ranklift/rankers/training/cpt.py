"""Continued pre-training on clicks: a language model learns what is clicked for a query.

    L_cpt = -mean log P(token | query, tokens before)    over the document's tokens

The query is a prompt and is not predicted (DisRanker, arXiv 2411.04539, stage
1). A small model does not learn from a rank loss alone which words mean the
same; from clicked documents it does. Texts are packed into rows, see `packing`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Lineage, Manifest, lists_digest, refuse_existing
from ranklift.rankers.base import ClickedText, RankingList
from ranklift.rankers.encoding import Pair, PairEncoder
from ranklift.rankers.training.adapters import adapters
from ranklift.rankers.training.batches import shuffled
from ranklift.rankers.training.card import Learnt
from ranklift.rankers.training.checkpoints import folder_of
from ranklift.rankers.training.loop import Progress, Trained, no_progress, train
from ranklift.rankers.training.packing import pack
from ranklift.rankers.training.stage import leave, steps_of
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class CptOptions:
    """How long and how fast; `batch` counts clicked documents.

    `bf16` computes products in bf16, `accumulation` parts make up a batch,
    `lora_rank` 1 or more trains adapters of that rank instead of all weights.
    """

    steps: int = 400
    batch: int = 64
    learning_rate: float = 5e-3
    max_tokens: int = 64
    seed: int = 0
    bf16: bool = False
    accumulation: int = 1
    lora_rank: int = 0


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    clicks: Sequence[ClickedText],
    folder: Path,
    options: CptOptions,
    *,
    parents: tuple[str, ...] = (),
    progress: Progress = no_progress,
    checkpoints: Path | None = None,
    sharded: bool = False,
) -> Trained:
    """Train a causal language model on clicked documents and write it to `folder`.

    `model` is changed in place; `parents` are the digests of what it came from.
    With a folder for `checkpoints` an interrupted run of the same work goes on
    when it is called again. `sharded` spreads the model over the processes that torchrun started.

    Raises:
        AlreadyExists: `folder` is there already.
        InvalidRequest: there are no clicks, or not what `train` needs.
        TrainingFailed: the loss is not finite.
    """
    refuse_existing(folder)
    if not clicks:
        raise InvalidRequest.of("clicks", "there is nothing to learn from; give at least one click")
    encoder = PairEncoder(tokenizer, "decoder", options.max_tokens)
    pairs = [encoder.encode(click.query, [click.document]).pairs[0] for click in clicks]
    learnt = [RankingList(click.query, (click.document,), (1.0,)) for click in clicks]
    said = asdict(options)
    if not parents:
        said["start"] = _described(model, tokenizer)
    lineage = Lineage("cpt", parents, lists_digest(learnt), said)
    kept = folder_of(checkpoints, lineage, sharded=sharded) if checkpoints else None
    batch = min(options.batch, len(pairs))
    steps = shuffled(len(pairs), batch, options.steps, seed=options.seed)
    with adapters(model, options.lora_rank, seed=options.seed, head=False):
        trained = train(
            model,
            [[pairs[i] for i in step] for step in steps],
            document_loss,
            steps_of(options, sharded=sharded),
            progress=progress,
            checkpoints=kept,
        )
    manifest = Manifest("causal_lm", "fp32", options.max_tokens, lineage)
    leave(folder, manifest, model, tokenizer, Learnt(len(clicks), len(clicks)), trained, kept)
    return trained


def _described(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the digest of what a model without a parent is: its sizes and its vocabulary."""
    vocabulary = tokenizer.backend_tokenizer.to_str()
    return (
        "scratch, "
        + hashlib.sha256(
            json.dumps([model.config.to_dict(), vocabulary], sort_keys=True, default=str).encode()
        ).hexdigest()
    )


def document_loss(model: PreTrainedModel, pairs: Sequence[Pair]) -> Tensor:
    """Return the mean negative log-likelihood of the documents' tokens and the closing one."""
    packed = pack(pairs)
    ids = packed.input_ids.to(model.device)
    hidden: Tensor = model.base_model(
        input_ids=ids,
        attention_mask=_mask(model, packed.attention.to(model.device)),
        position_ids=packed.position_ids.to(model.device),
        use_cache=False,
    ).last_hidden_state
    # Position i predicts token i + 1. Only the document's tokens go through the
    # output layer: it is the widest of a small model.
    document = packed.targets[:, 1:].to(model.device)
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    logits: Tensor = output(hidden[:, :-1][document])
    return functional.cross_entropy(logits.float(), ids[:, 1:][document])


def _mask(model: PreTrainedModel, attention: Tensor) -> Tensor:
    """Return `attention` as the model's own attention takes it: booleans, or what is added."""
    if model.config._attn_implementation == "sdpa":
        return attention
    return (
        torch.zeros(attention.shape).masked_fill(~attention.cpu(), float("-inf")).to(model.device)
    )
