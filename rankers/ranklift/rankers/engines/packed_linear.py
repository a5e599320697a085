"""Linear layers of frozen weights: through oneDNN with the weights reordered once, or plainly.

`torch.nn.functional.linear` in fp32 calls MKL, which takes a slow path on many
processors; oneDNN in the same wheel does not, and two private operators of
torch reach it. They may vanish or lose, so which of the two serves is measured
when a model is loaded, never guessed from the processor's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from ranklift.rankers.engines.bert_weights import Affine

Linear: TypeAlias = Callable[[Tensor], Tensor]  # (rows, in) -> (rows, out)

# Name -> what `_linear_pointwise` calls it: the operation and its algorithm.
FUSED = {
    "": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
}
TRIAL_SECONDS = 0.05
TRIAL_ROWS = 256
LEAST_TRIALS = 3
# The two round differently. Were they equally quick, chance would choose at each start, and with it
# the last digits of the same version's scores.
PLAINLY_QUICKER = 0.8


class MakeLinear(Protocol):
    """Prepares `activation(x @ weight.T + bias)` in a precision, for inference only."""

    def __call__(self, affine: Affine, activation: str, dtype: torch.dtype) -> Linear: ...


def onednn_linear(affine: Affine, activation: str, dtype: torch.dtype) -> Linear:
    """Return a linear layer through oneDNN, its activation fused.

    Raises:
        RuntimeError, AttributeError: this torch or this processor cannot.
    """
    weight = torch.ops.mkldnn._reorder_linear_weight(affine.weight.to(dtype).contiguous())
    bias = affine.bias.to(dtype)
    operation, algorithm = FUSED[activation]

    def linear(rows: Tensor) -> Tensor:
        done: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, weight, bias, operation, [], algorithm
        )
        return done

    return linear


def plain_linear(affine: Affine, activation: str, dtype: torch.dtype) -> Linear:
    """Return a linear layer as torch computes it anywhere."""
    weight, bias = affine.weight.to(dtype).contiguous(), affine.bias.to(dtype)
    activate = activation_of(activation)

    def linear(rows: Tensor) -> Tensor:
        return activate(functional.linear(rows, weight, bias))

    return linear


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """Return the activation of a name: "", "tanh", or one that can be fused."""
    return {
        "": lambda rows: rows,
        "gelu": functional.gelu,
        "gelu_tanh": lambda rows: functional.gelu(rows, approximate="tanh"),
        "relu": functional.relu,
        "tanh": torch.tanh,
    }[name]


def quickest_linear(affine: Affine, activation: str, dtype: torch.dtype) -> MakeLinear:
    """Return oneDNN's maker, unless its linear layer of these weights is plainly slower here.

    Takes `TRIAL_SECONDS` of processor time, and makes sure that oneDNN's layer can run at all.
    """
    rows = torch.ones((TRIAL_ROWS, affine.weight.shape[1]), dtype=dtype)
    with torch.inference_mode():
        plain = plain_linear(affine, activation, dtype)
        try:
            fused = onednn_linear(affine, activation, dtype)
            fused(rows)
        except (RuntimeError, AttributeError):
            return plain_linear
        best = {plain_linear: float("inf"), onednn_linear: float("inf")}
        ends = time.thread_time() + TRIAL_SECONDS
        # In turns, by the best of each and by this thread's own time: on a busy machine the clock
        # mostly says who had to wait.
        for trial in count():
            for make, linear in ((plain_linear, plain), (onednn_linear, fused)):
                began = time.thread_time()
                linear(rows)
                best[make] = min(best[make], time.thread_time() - began)
            if trial >= LEAST_TRIALS and time.thread_time() > ends:
                break
    plainly = best[plain_linear] < PLAINLY_QUICKER * best[onednn_linear]
    return plain_linear if plainly else onednn_linear
