"""A model that FSDP spread over processes, whole again.

Sharding changes a model in place: its weights are pieces, its modules of other classes that gather
them. What is evaluated and saved afterwards must be the plain model, so a copy without weights is
kept, and takes the gathered ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def blank_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of `model` whose weights take no memory; tied ones stay tied."""
    blanks = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, dict(blanks))


def become(model: PreTrainedModel, blank: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Make `model` what `blank` is, with the given weights: those of its whole state."""
    blank.load_state_dict(weights, assign=True)
    blank.tie_weights()
    model.__class__ = type(blank)
    model.__dict__ = blank.__dict__
