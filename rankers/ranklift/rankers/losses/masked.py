"""What losses share: lists side by side, with a mask that says where there is a document."""

from __future__ import annotations

import torch
from torch import Tensor


def cleared(values: Tensor, mask: Tensor) -> Tensor:  # (queries, list) x 2 -> (queries, list)
    """Return `values` with 0 where there is no document.

    Before any arithmetic: what stands there may be infinite or NaN, and 0 times
    that is a gradient of NaN.
    """
    return torch.where(mask, values, 0.0)


def hidden(values: Tensor, mask: Tensor) -> Tensor:
    """Return `values` with the lowest finite number where `mask` is false.

    As an exponent it vanishes, and unlike -inf it makes no NaN of a list without documents.
    """
    return torch.where(mask, values, torch.finfo(values.dtype).min)


def differences(values: Tensor) -> Tensor:  # (queries, list) -> (queries, list, list)
    """Return v_i - v_j at [query, i, j]."""
    return values.unsqueeze(2) - values.unsqueeze(1)


def both(first: Tensor, second: Tensor) -> Tensor:  # (queries, list) x 2 -> (queries, list, list)
    """Return at [query, i, j] whether the first mask holds for i and the second for j."""
    return first.unsqueeze(2) & second.unsqueeze(1)


def better(targets: Tensor, mask: Tensor) -> Tensor:  # (queries, list) x 2 -> (queries, list, list)
    """Return at [query, i, j] whether i and j are documents and y_i > y_j."""
    return (differences(targets) > 0) & both(mask, mask)


def best(targets: Tensor, mask: Tensor) -> Tensor:  # (queries, list) x 2 -> (queries, list)
    """Return where the highest target of each list stands; several places if they share it."""
    shown = hidden(targets, mask)
    return mask & (shown == shown.amax(1, keepdim=True))


def mean_of_lists(per_list: Tensor, counted: Tensor) -> Tensor:  # (queries,) x 2 -> ()
    """Return the mean over the lists that count, 0 when none does."""
    return torch.where(counted, per_list, 0.0).sum() / counted.sum().clamp(min=1)


def mean_of_pairs(per_pair: Tensor, pairs: Tensor) -> Tensor:  # (queries, list, list) x 2 -> ()
    """Return the mean over the pairs of all lists together, 0 when there is none."""
    return torch.where(pairs, per_pair, 0.0).sum() / pairs.sum().clamp(min=1)
