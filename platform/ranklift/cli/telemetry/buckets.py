"""The bounds of histograms: from what a machine does at once to what nobody waits for."""

from __future__ import annotations

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TOKENS = tuple(float(1 << power) for power in range(5, 15))  # 32 to 16384
