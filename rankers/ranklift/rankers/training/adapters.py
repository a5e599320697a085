"""Low-rank adapters: a large teacher learns with few weights, and is then one model again.

    W x + 2 B A x      with A (rank, in), B (out, rank), and W frozen

Hu et al. 2021, arXiv 2106.09685, section 4.1, there with alpha / rank for 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ranklift.rankers.backbones import is_above_body, seeded
from ranklift.v1.errors import NotReady

SCALE = 2


@contextmanager
def adapters(model: PreTrainedModel, rank: int, *, seed: int, head: bool) -> Iterator[None]:
    """Train low-rank adapters of `model` while the block runs; rank 0 trains all.

    With `head`, what stands between its body and its scores is new and learns whole; without,
    it does not learn. Afterwards the adapters are merged into the weights, and nothing of them
    is left.

    Raises:
        NotReady: peft is not installed.
    """
    if rank == 0:
        yield
        return
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise NotReady.of(
            "lora_rank", 'low-rank adapters need peft; run: pip install "ranklift[lora]"'
        ) from error
    trainable = [(weight, weight.requires_grad) for weight in model.parameters()]
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not is_above_body(model, name)
    ]
    with seeded(seed):
        inject_adapter_in_model(
            LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=targets), model
        )
    for name, weight in model.named_parameters():
        if head and is_above_body(model, name):
            weight.requires_grad = True
    try:
        yield
    finally:
        _merge(model)
        del model.peft_config
        for weight, before in trainable:
            weight.requires_grad = before


def _merge(model: nn.Module) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            owner: Any = model.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], module.get_base_layer())
