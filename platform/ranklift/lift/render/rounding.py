"""Numbers as text, with no more digits than the interval supports."""

from __future__ import annotations

import math

from ranklift.lift.report import Measured


def decimals(half_width: float) -> int:
    """Return the decimals that show a half-width with two significant digits; at least 0.

    0.0234 -> 3, 2.34 -> 1, 23.4 -> 0.
    """
    if half_width <= 0:
        return 0
    return max(0, 1 - math.floor(math.log10(half_width)))


def lift_text(measured: Measured) -> str:
    """Return the relative lift and its interval in per cent: "+1.2 % (-0.3 to +2.8)"."""
    interval = measured.relative_lift_interval
    digits = decimals(50 * (interval.upper - interval.lower))
    point, low, high = (
        f"{100 * value:+.{digits}f}"
        for value in (measured.relative_lift, interval.lower, interval.upper)
    )
    return f"{point} % ({low} to {high})"


def value_texts(measured: Measured) -> tuple[str, str]:
    """Return the values in control and in the arm, as exact as the interval of the lift is."""
    interval = measured.relative_lift_interval
    digits = decimals(measured.control_value * (interval.upper - interval.lower) / 2)
    return f"{measured.control_value:.{digits}f}", f"{measured.arm_value:.{digits}f}"


def p_text(p_value: float) -> str:
    """Return a p-value: "0.034", "< 0.0001"."""
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.{min(4, decimals(p_value))}f}"


def p_phrase(p_value: float) -> str:
    """Return a p-value for a sentence: "p = 0.034", "p < 0.0001"."""
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def level_text(confidence_level: float) -> str:
    """Return a confidence level: "95 %"."""
    return f"{100 * confidence_level:.4g} %"
