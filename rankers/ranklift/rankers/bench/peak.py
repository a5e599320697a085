"""What the machine's matrix multiplication reaches at best: what a share of it means.

The kernels are those that the engines use: oneDNN with weights packed once, and torch's own
linear, whichever is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ranklift.rankers.bench.flops import Peak

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Rows, width in, width out: a chunk of a small encoder's tokens, and a large layer.
SHAPES = ((1_024, 384, 1_536), (2_048, 1_024, 4_096))
SECONDS = 0.4


def measure_peak(seconds: float = SECONDS) -> Peak:
    """Return the best rate over kernels, shapes and runs; takes about `seconds` for each of 8.

    Run it while nothing else does: a busy machine's peak is too low and shares of it too high.
    """
    found = {}
    with torch.inference_mode():
        for numerics, dtype in DTYPES.items():
            found[numerics] = max(
                _rate(kernel, 2.0 * rows * width * out, seconds)
                for rows, width, out in SHAPES
                for kernel in kernels(rows, width, out, dtype)
            )
    return Peak(found, torch.get_num_threads())


def kernels(rows: int, width: int, out: int, dtype: torch.dtype) -> list[Callable[[], Tensor]]:
    """Return the ways to compute one linear layer, torch's own first."""
    x, weight, bias = torch.rand(rows, width), torch.rand(out, width), torch.rand(out)
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    found = [lambda: functional.linear(x, weight, bias)]
    # The operators are private: another torch may lack them.
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        found.append(lambda: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], ""))
    return found


def _rate(kernel: Callable[[], Tensor], flops: float, seconds: float) -> float:
    kernel()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        started = time.perf_counter()
        kernel()
        finished = time.perf_counter()
        best = min(best, finished - started)
        if finished >= end:
            return flops / best
