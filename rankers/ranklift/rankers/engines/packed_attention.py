"""Attention of packed rows: each pair attends to itself, groups of like length together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ranklift.rankers.engines.packed_layout import Group, Packed

# Up to here two bf16 products with a softmax in fp32 between them beat torch's own kernel, about
# twofold: its softmax of bf16 rows is slow at most lengths, and rounds on the way.
PRODUCT_TOKENS = 160


def attend(projected: Tensor, packed: Packed, heads: int) -> Tensor:
    """Return what every row sees of its pair.

    `projected` (rows, 3 * width) holds queries, keys, values; the result is (rows, width).
    """
    rows, columns = projected.shape
    seen = projected.new_zeros((rows, columns // 3))  # rows of no pair see nothing
    for group in packed.groups:
        queries, keys, values = _split(projected, group, 3, heads)
        mask = _mask(group, projected.dtype)
        if projected.dtype == torch.bfloat16 and group.width <= PRODUCT_TOKENS:
            output = _product_attention(queries, keys, values, mask)
        else:
            output = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        places = output.transpose(1, 2).reshape(-1, columns // 3)
        torch.index_select(places, 0, group.keep, out=seen[group.rows])
    return seen


def attend_first(queries: Tensor, projected: Tensor, packed: Packed, heads: int) -> Tensor:
    """Return what each pair's first row sees of its pair.

    `queries` (firsts, width) are the first rows' only; `projected` (rows, 2 *
    width) holds keys, values; the result is (firsts, width). By sums of products:
    torch's kernels split one row's work among threads by how many pairs there are,
    and sum in another order then.
    """
    seen = torch.zeros_like(queries)
    begin = 0
    for group in packed.groups:
        end = begin + group.pairs
        keys, values = _split(projected, group, 2, heads)
        asked = queries[begin:end].float().view(group.pairs, heads, 1, -1)
        scores = (asked * keys.float()).sum(-1) * asked.shape[-1] ** -0.5
        weights = (scores + group.mask[:, None]).softmax(-1)
        output = (weights[..., None] * values.float()).sum(-2)
        seen[begin:end] = output.reshape(group.pairs, -1)
        begin = end
    return seen


def _split(projected: Tensor, group: Group, parts: int, heads: int) -> Tensor:
    """Return the rows of a group as (parts, pairs, heads, width, size of a head)."""
    places = projected.index_select(0, group.gather)
    shape = (group.pairs, group.width, parts, heads, -1)
    return places.view(shape).permute(2, 0, 3, 1, 4)


def _mask(group: Group, dtype: torch.dtype) -> Tensor:  # (pairs, 1, 1, width)
    return group.mask[:, None, None].to(dtype)


def _product_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Return attention over (pairs, heads, tokens, size), by two products."""
    shape = queries.shape
    queries, keys, values = (each.flatten(0, 1) for each in (queries, keys, values))
    # In one pass with the product: adding the mask by itself costs as much as the product.
    added = mask.repeat(1, shape[1], 1, 1).flatten(0, 1)
    scores = torch.baddbmm(added, queries, keys.transpose(1, 2), alpha=shape[-1] ** -0.5)
    weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype)
    return torch.bmm(weights, values).view(shape)
