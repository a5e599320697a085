"""Linear layers: two ways to the same numbers, and what happens where one of them is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ranklift.rankers.engines import packed_linear
from ranklift.rankers.engines.bert_weights import Affine
from ranklift.rankers.engines.packed_linear import (
    FUSED,
    MakeLinear,
    activation_of,
    onednn_linear,
    plain_linear,
    quickest_linear,
)

MAKERS = pytest.mark.parametrize("make", [onednn_linear, plain_linear])


def affine(inputs: int, outputs: int) -> Affine:
    generator = torch.Generator().manual_seed(3)
    return Affine(
        torch.randn((outputs, inputs), generator=generator),
        torch.randn(outputs, generator=generator),
    )


def test_the_private_operators_are_in_the_installed_torch() -> None:
    # If this fails, torch took them away: the engine falls back to plain layers and halves its
    # speed. Look for what replaced them before raising the pinned version.
    assert hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    assert hasattr(torch.ops.mkldnn, "_linear_pointwise")
    onednn_linear(affine(8, 4), "gelu", torch.float32)(torch.ones((2, 8)))


@MAKERS
@pytest.mark.parametrize("activation", list(FUSED))
@pytest.mark.parametrize("rows", [0, 1, 3, 70])
def test_a_layer_is_what_the_formula_says(make: MakeLinear, activation: str, rows: int) -> None:
    layer = affine(24, 10)
    inputs = torch.randn((rows, 24), generator=torch.Generator().manual_seed(rows))
    exact = inputs.double() @ layer.weight.double().T + layer.bias.double()
    expected = activation_of(activation)(exact)
    found = make(layer, activation, torch.float32)(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@MAKERS
def test_a_layer_keeps_its_precision(make: MakeLinear) -> None:
    inputs = torch.ones((3, 24), dtype=torch.bfloat16)
    found = make(affine(24, 10), "gelu", torch.bfloat16)(inputs)
    assert (found.dtype, found.shape) == (torch.bfloat16, (3, 10))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_of_the_two_is_chosen(dtype: torch.dtype) -> None:
    assert quickest_linear(affine(64, 64), "gelu", dtype) in (onednn_linear, plain_linear)


@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_plain_layers_serve_where_the_operators_cannot(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def missing(*_: object) -> None:
        raise error("no such operator")

    monkeypatch.setattr(packed_linear, "onednn_linear", missing)
    assert quickest_linear(affine(8, 8), "gelu", torch.float32) is plain_linear
