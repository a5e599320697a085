"""Numbers of an evaluation as text."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """Return a number with four decimals, "-" where there is none."""
    if value is None or math.isnan(value):
        return "-"
    return "infinite" if math.isinf(value) else f"{value:.4f}"


def signed(value: float) -> str:
    """Return a difference with four decimals and its sign."""
    return "-" if math.isnan(value) else f"{value:+.4f}"


def percent(share: float) -> str:
    """Return a share as per cent with one decimal."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def p_text(p_value: float) -> str:
    """Return a p-value with four decimals; never 0."""
    return f"{p_value:.4f}" if p_value >= 0.00005 else "< 0.0001"
