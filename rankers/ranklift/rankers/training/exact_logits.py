"""Logits in fp32 while a model trains with bf16 products.

Under autocast the head's last product comes out in bf16, three digits of a score: the loss then
sees documents tie that do not, and the gradient of a margin is that of its rounding. It is one
small product for each pair; what it reads may stay in bf16.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel


@contextmanager
def exact_logits(model: PreTrainedModel) -> Iterator[None]:
    """Compute the last linear layer of `model`, its head's, in fp32 inside the block.

    Without autocast not a bit changes. Around `adapters`, which may put the layer into another.
    """
    body = set(model.base_model.modules())
    *_, last = (
        each for each in model.modules() if isinstance(each, nn.Linear) and each not in body
    )
    head: Any = last
    head.forward = partial(_in_fp32, last)
    try:
        yield
    finally:
        del head.forward


def _in_fp32(layer: nn.Linear, hidden: Tensor) -> Tensor:
    # FSDP hands out weights in bf16.
    bias: Tensor | None = layer.bias
    with torch.autocast(hidden.device.type, enabled=False):
        return functional.linear(
            hidden.float(), layer.weight.float(), None if bias is None else bias.float()
        )
