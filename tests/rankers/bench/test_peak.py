"""The kernels whose rate is called the machine's peak compute what they should."""

from __future__ import annotations

import pytest
import torch

from ranklift.rankers.bench.peak import DTYPES, kernels, measure_peak


@pytest.mark.parametrize("numerics", DTYPES)
def test_all_kernels_multiply_the_same_matrices_alike(numerics: str) -> None:
    plain, *others = [one() for one in kernels(16, 32, 8, DTYPES[numerics])]
    assert plain.shape == (16, 8)
    for other in others:
        torch.testing.assert_close(other, plain)


def test_this_torch_has_the_packed_kernel() -> None:
    assert len(kernels(16, 32, 8, torch.float32)) == 2


def test_every_numerics_has_a_peak() -> None:
    peak = measure_peak(seconds=0.0)
    assert set(peak.flops_per_second) == {"fp32", "bf16"}
    assert all(0 < rate < float("inf") for rate in peak.flops_per_second.values())
