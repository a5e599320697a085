"""The weights of BERT-family encoders with a scalar head, as plain values.

Known are `BertForSequenceClassification` and `ElectraForSequenceClassification`
(model types "bert" and "electra"; MiniLM is a BERT) with absolute positions.
They differ in two places: ELECTRA may project its embeddings to the width of
its layers, and its head has a GELU where BERT's pooler has a tanh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertForSequenceClassification,
    ElectraForSequenceClassification,
    PreTrainedModel,
)

# What transformers calls them -> what they compute. "gelu" is the exact form by erf.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


@dataclass(frozen=True, slots=True)
class Affine:
    """`x @ weight.T + bias`: weight (out, in), bias (out,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return torch.nn.functional.linear(rows, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Norm:
    """A LayerNorm over the last dimension."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, rows: Tensor) -> Tensor:
        shape = self.weight.shape
        return torch.nn.functional.layer_norm(rows, shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One transformer layer; `queries` and `keys_values` share their input."""

    queries: Affine  # width -> width
    keys_values: Affine  # width -> 2 * width, the keys first
    attention_out: Affine
    attention_norm: Norm
    feed_forward_in: Affine
    feed_forward_out: Affine
    feed_forward_norm: Norm


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """An encoder with a scalar head, in fp32.

    `projection` is ELECTRA's, from the width of the embeddings to that of the
    layers. The head is `score(head_activation(pool(first token)))`.
    """

    words: Tensor  # (vocabulary, embedding)
    positions: Tensor  # (positions, embedding)
    types: Tensor  # (types, embedding)
    embedding_norm: Norm
    projection: Affine | None
    layers: tuple[LayerWeights, ...]
    heads: int
    activation: str  # of the feed-forward layers: a value of ACTIVATIONS
    pool: Affine
    head_activation: str  # "tanh" or "gelu"
    score: Affine  # width -> 1


def why_unknown(model: PreTrainedModel) -> str:
    """Return why `encoder_weights` cannot read `model`, or "" when it can."""
    config = model.config
    if not isinstance(model, BertForSequenceClassification | ElectraForSequenceClassification):
        return f'the architecture "{config.model_type}" is neither bert nor electra'
    # Relative positions went out of transformers' BERT; old configurations still ask for them.
    if getattr(config, "position_embedding_type", "absolute") not in ("absolute", None):
        return f"its positions are {config.position_embedding_type}, not absolute"
    if config.is_decoder:
        return "it attends to the past only"
    if config.hidden_act not in ACTIVATIONS:
        return f'the activation "{config.hidden_act}" is none of {", ".join(ACTIVATIONS)}'
    if config.type_vocab_size < 2:
        return "it has no types of tokens for query and document"
    if config.num_labels != 1:
        return f"it has {config.num_labels} labels, not one"
    return ""


def encoder_weights(model: PreTrainedModel) -> EncoderWeights:
    """Return the weights of a model of which `why_unknown` says nothing."""
    body: Any = model.base_model
    head: Any = model.classifier
    embeddings = body.embeddings
    is_bert = isinstance(model, BertForSequenceClassification)
    projection = getattr(body, "embeddings_project", None)
    return EncoderWeights(
        words=embeddings.word_embeddings.weight.detach(),
        positions=embeddings.position_embeddings.weight.detach(),
        types=embeddings.token_type_embeddings.weight.detach(),
        embedding_norm=_norm(embeddings.LayerNorm),
        projection=None if projection is None else _affine(projection),
        layers=tuple(_layer(each) for each in body.encoder.layer),
        heads=int(model.config.num_attention_heads),
        activation=ACTIVATIONS[model.config.hidden_act],
        pool=_affine(body.pooler.dense if is_bert else head.dense),
        head_activation="tanh" if is_bert else "gelu",
        score=_affine(head if is_bert else head.out_proj),
    )


def _layer(layer: Any) -> LayerWeights:
    attention = layer.attention.self
    return LayerWeights(
        queries=_affine(attention.query),
        keys_values=Affine(
            torch.cat([attention.key.weight, attention.value.weight]).detach(),
            torch.cat([attention.key.bias, attention.value.bias]).detach(),
        ),
        attention_out=_affine(layer.attention.output.dense),
        attention_norm=_norm(layer.attention.output.LayerNorm),
        feed_forward_in=_affine(layer.intermediate.dense),
        feed_forward_out=_affine(layer.output.dense),
        feed_forward_norm=_norm(layer.output.LayerNorm),
    )


def _affine(layer: Any) -> Affine:
    return Affine(layer.weight.detach(), layer.bias.detach())


def _norm(layer: Any) -> Norm:
    return Norm(layer.weight.detach(), layer.bias.detach(), float(layer.eps))
