"""What the machine's matrix multiplication reaches at best: what a share of it means.

The kernels are those that the engines use: oneDNN with weights packed once, and torch's own
linear, whichever is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from ranklift.rankers.bench.flops import Peak
from ranklift.rankers.engines.bert_weights import Affine
from ranklift.rankers.engines.packed_linear import onednn_linear, plain_linear

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
    affine, x = Affine(torch.rand(out, width), torch.rand(out)), torch.rand(rows, width).to(dtype)
    found = [plain_linear(affine, "", dtype)]
    with suppress(RuntimeError, AttributeError):  # not with this torch, or on this processor
        found.append(onednn_linear(affine, "", dtype))
    return [partial(linear, x) for linear in found]


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
