"""The last layer of an encoder for the first token alone, while it trains.

The head reads nothing else of it. Its keys and values still come from all
tokens; queries, the product after attention, and the feed-forward part are five
sixths of a layer's multiplications, and of no use to any other token. Scores and gradients
stay as they were, to rounding. The packed engine serves in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

# Their layers are of the same parts, and their heads read the first token.
FAMILIES = frozenset({"bert", "electra", "roberta", "xlm-roberta", "camembert"})
# Those whose mask has a row for each token that asks.
ATTENTIONS = frozenset({"sdpa", "eager"})


@contextmanager
def first_token_only(model: PreTrainedModel) -> Iterator[None]:
    """Compute the last layer of `model` for the first token alone, inside the block.

    Of a model of no known family nothing changes.
    """
    config = model.config
    body: Any = model.base_model
    known = config.model_type in FAMILIES and config._attn_implementation in ATTENTIONS
    if not known or config.is_decoder:
        yield
        return
    last = body.encoder.layer[-1]
    last.forward = partial(_first_token, last)
    try:
        yield
    finally:
        del last.forward


def _first_token(
    layer: Any, hidden: Tensor, attention_mask: Tensor | None = None, *_: object, **__: object
) -> Tensor:  # (pairs, tokens, width) -> (pairs, 1, width)
    attention = layer.attention.self

    def by_head(rows: Tensor) -> Tensor:  # (pairs, rows, width) -> (pairs, heads, rows, size)
        return rows.view(*rows.shape[:2], -1, attention.attention_head_size).transpose(1, 2)

    first = hidden[:, :1]
    seen = functional.scaled_dot_product_attention(
        by_head(attention.query(first)),
        by_head(attention.key(hidden)),
        by_head(attention.value(hidden)),
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        dropout_p=attention.dropout.p if attention.training else 0.0,
        scale=attention.scaling,
    )
    found: Tensor = layer.feed_forward_chunk(
        layer.attention.output(seen.transpose(1, 2).flatten(2), first)
    )
    return found
