"""From a model's logits to a score, and the heads that training gives to a decoder.

    scalar    one logit: the score                                    DisRanker, arXiv 2411.04539
    genfr     a logit for each label 0, 1, ..., K - 1: the score is the expected label

Both sit on the closing token of a pair. GenFR comes from "Applying Large
Language Model For Relevance Search In Tencent" (KDD 2025); there the labels are
read as the next word after an instruction, here after the closing token, and
fine-tuning says what is meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import structlog
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.backbones import head_labels, load_language_model, load_scorer
from ranklift.v1.errors import InvalidRequest

log = structlog.get_logger(__name__)

Head: TypeAlias = Literal["scalar", "genfr"]
LABELS = 5  # 0 to 4, as in the paper


def score_of_logits(logits: Tensor) -> Tensor:  # (pairs, labels) -> (pairs,)
    """Return the scores that logits mean, in fp32.

    one label     s = logit                                            any number
    K labels      s = sum_k k * P(label = k),  P = softmax(logits)     in [0, K - 1]
    """
    exact = logits.float()
    if exact.shape[1] == 1:
        return exact.squeeze(1)
    labels = torch.arange(exact.shape[1], device=exact.device)
    # Not as a product of matrices: that would be in bf16 under autocast.
    return (exact.softmax(1) * labels).sum(1)


def load_with_head(
    folder: Path, tokenizer: PreTrainedTokenizerBase, head: Head, *, labels: int, seed: int
) -> PreTrainedModel:
    """Return the model in `folder` with a head of that kind, to be trained; in fp32.

    A head that is there is kept. A new scalar head is random. The rows of a new
    genfr head are those with which the language model writes "0", "1", and so
    on. Where the vocabulary has none of these words, as one made of a few texts
    may, the language model knows nothing that they could begin with: the rows
    are random, and the log says so.

    Raises:
        InvalidRequest: `labels` is less than 2, only some of them are tokens, or
            `folder` holds no such model or one with another head.
    """
    if head == "scalar":
        return load_scorer(folder, head_seed=seed)
    if labels < 2:
        raise InvalidRequest.of("labels", f"{labels} must be at least 2")
    model = load_scorer(folder, head_seed=seed, labels=labels)
    rows: Any = getattr(model, "score", None)
    if rows is None:
        raise InvalidRequest.of(
            "head", f'"{folder}" is no decoder; the head "genfr" is one, choose "scalar"'
        )
    model.config.id2label = {label: str(label) for label in range(labels)}
    model.config.label2id = {str(label): label for label in range(labels)}
    if head_labels(folder):
        return model
    tokens = label_tokens(tokenizer, labels)
    if tokens:
        language_model: Any = load_language_model(folder)
        written = language_model.get_output_embeddings().weight
        with torch.no_grad():
            rows.weight.copy_(written[list(tokens)])
    else:
        log.warning(
            "the genfr head begins at random",
            reason='the vocabulary has none of the words "0", "1", ...',
        )
    return model


def label_tokens(tokenizer: PreTrainedTokenizerBase, labels: int) -> tuple[int, ...]:
    """Return the ids of the tokens "0" to `labels` - 1, or none if none is a token.

    Raises:
        InvalidRequest: some are tokens and some are not.
    """
    vocabulary = tokenizer.get_vocab()
    words = [str(label) for label in range(labels)]
    missing = [word for word in words if word not in vocabulary]
    if missing == words:
        return ()
    if missing:
        raise InvalidRequest.of(
            "labels",
            f'of the {labels} labels the tokenizer has no token for "{missing[0]}"; '
            'give fewer labels, or choose the head "scalar"',
        )
    return tuple(vocabulary[word] for word in words)
