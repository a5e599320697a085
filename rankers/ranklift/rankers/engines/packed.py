"""The packed engine: an encoder's forward without padding, on pre-packed weights, on the CPU.

Pairs lie one behind the other, so no work is spent on padding (as in
ByteTransformer, arXiv 2210.03052). The last layer is computed for the [CLS]
rows alone: nothing else of it is read. Embeddings, the residual stream,
LayerNorms and the head are in fp32, the linear layers and attention in `dtype`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ranklift.rankers.base import Values
from ranklift.rankers.encoding import Pair
from ranklift.rankers.engines.bert_weights import Affine, EncoderWeights, LayerWeights, Norm
from ranklift.rankers.engines.packed_attention import attend, attend_first
from ranklift.rankers.engines.packed_layout import Packed, pack, packed_chunks
from ranklift.rankers.engines.packed_linear import Linear, MakeLinear, activation_of

# Below 512 the layers are too small. Above, up to 4,096, another tenth can be won by processor time
# (docs/benchmarks/rank_engine.md), but a chunk under way is what an urgent request waits for.
CHUNK_TOKENS = 1_024


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer, ready to run."""

    attention_in: Linear  # width -> queries, keys, values; the last layer: keys, values
    attention_out: Linear
    attention_norm: Norm
    feed_forward_in: Linear
    feed_forward_out: Linear
    feed_forward_norm: Norm


class PackedEngine:
    """Scores pairs with the weights of a BERT or ELECTRA."""

    def __init__(
        self, weights: EncoderWeights, dtype: torch.dtype, make: MakeLinear, numerics: str
    ) -> None:
        self.name = "packed"
        self.numerics = numerics
        self._weights = replace(weights, layers=())  # packed below: not held twice
        self._dtype = dtype

        def linear(affine: Affine, activation: str = "") -> Linear:
            return make(affine, activation, dtype)

        *body, last = weights.layers
        self._layers = tuple(
            _ready(each, _joined(each.queries, each.keys_values), linear, weights.activation)
            for each in body
        )
        self._last = _ready(last, last.keys_values, linear, weights.activation)
        self._last_queries = linear(last.queries)

    def scores(self, pairs: Sequence[Pair]) -> Values:
        values = np.empty(len(pairs), np.float64)
        with torch.inference_mode():
            for chunk in packed_chunks([pair.tokens for pair in pairs], CHUNK_TOKENS):
                packed = pack([pairs[i] for i in chunk], self._weights.heads)
                values[chunk] = self._forward(packed)[: len(chunk)].double().numpy()
        return values

    def _forward(self, packed: Packed) -> Tensor:  # (firsts,)
        weights, dtype = self._weights, self._dtype
        rows = embed(weights, packed)
        for layer in self._layers:
            seen = attend(layer.attention_in(rows.to(dtype)), packed, weights.heads)
            rows = _finish(layer, rows, seen, dtype)
        firsts = rows[packed.firsts]
        seen = attend_first(
            self._last_queries(firsts.to(dtype)),
            self._last.attention_in(rows.to(dtype)),
            packed,
            weights.heads,
        )
        return head_scores(weights, _finish(self._last, firsts, seen, dtype))


def embed(weights: EncoderWeights, packed: Packed) -> Tensor:  # (rows, width), fp32
    """Return the input of the first layer."""
    rows = weights.words[packed.ids]
    rows += weights.positions[packed.positions]
    rows += weights.types[packed.types]
    rows = weights.embedding_norm(rows)
    return rows if weights.projection is None else weights.projection(rows)


def head_scores(weights: EncoderWeights, firsts: Tensor) -> Tensor:  # (rows, width) -> (rows,)
    """Return the head's values on the [CLS] rows of the last layer."""
    pooled = activation_of(weights.head_activation)(weights.pool(firsts))
    # Row by row: a product with one column would sum by how many rows there are.
    return (pooled * weights.score.weight[0]).sum(-1) + weights.score.bias


def _finish(layer: Layer, rows: Tensor, seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a layer's output, fp32, from its input and what attention saw."""
    rows = layer.attention_norm(rows + layer.attention_out(seen))
    inner = layer.feed_forward_in(rows.to(dtype))
    return layer.feed_forward_norm(rows + layer.feed_forward_out(inner))


def _joined(first: Affine, second: Affine) -> Affine:
    """Return one map to the outputs of both."""
    return Affine(torch.cat([first.weight, second.weight]), torch.cat([first.bias, second.bias]))


def _ready(
    layer: LayerWeights,
    attention_in: Affine,
    linear: Callable[..., Linear],
    activation: str,
) -> Layer:
    return Layer(
        attention_in=linear(attention_in),
        attention_out=linear(layer.attention_out),
        attention_norm=layer.attention_norm,
        feed_forward_in=linear(layer.feed_forward_in, activation),
        feed_forward_out=linear(layer.feed_forward_out),
        feed_forward_norm=layer.feed_forward_norm,
    )
