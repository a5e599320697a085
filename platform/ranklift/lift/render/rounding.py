"""Numbers as text, with no more digits than the interval supports.

The sign of an interval's end is kept where the digits round to zero: "-0.0" lies below zero, and
"+0.0" does not. Which of the two it is decides what the interval says.
"""

from __future__ import annotations

import math

from ranklift.lift.values import Interval, Measured


def decimals(half_width: float) -> int:
    """Return the decimals that show a half-width with two significant digits; at least 0.

    0.0234 -> 3, 2.34 -> 1, 23.4 -> 0.
    """
    if half_width <= 0 or math.isinf(half_width):
        return 0
    return max(0, 1 - math.floor(math.log10(half_width)))


def number_text(value: float | None, interval: Interval | None) -> str:
    """Return a value with the digits of an interval, three without one; nothing for None."""
    return "" if value is None else _number(value, _digits(value, interval), signed=False)


def estimate_text(point: float | None, interval: Interval | None, *, signed: bool = True) -> str:
    """Return an estimate with its interval: "+1.2 (-0.3 to +2.8)"; what is None is left out."""
    digits = _digits(point, interval)
    shown = "" if point is None else _number(point, digits, signed=signed)
    if interval is None:
        return shown
    return f"{shown} ({_ends(interval, digits, signed=signed)})".lstrip()


def lift_text(relative_lift: float, interval: Interval) -> str:
    """Return the relative lift and its interval in per cent: "+1.2 % (-0.3 to +2.8)"."""
    in_per_cent = per_cent(interval)
    digits = _digits(100 * relative_lift, in_per_cent)
    point = _number(100 * relative_lift, digits, signed=True)
    return f"{point} % ({_ends(in_per_cent, digits, signed=True)})"


def interval_text(interval: Interval) -> str:
    """Return the interval of a relative lift in per cent: "-0.3 to +2.8 %"."""
    in_per_cent = per_cent(interval)
    ends = _ends(in_per_cent, _digits(None, in_per_cent), signed=True)
    return ends if ends == "unbounded" else f"{ends} %"


def value_texts(measured: Measured) -> tuple[str, str]:
    """Return the values in control and in the arm, as exact as their difference's interval is."""
    digits = _digits(measured.difference, measured.difference_interval)
    return (
        _number(measured.control_value, digits, signed=False),
        _number(measured.arm_value, digits, signed=False),
    )


def p_text(p_value: float | None) -> str:
    """Return a p-value: "0.034", "< 0.0001"; nothing for None."""
    if p_value is None:
        return ""
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.{min(4, decimals(p_value))}f}"


def p_phrase(p_value: float) -> str:
    """Return a p-value for a sentence: "p = 0.034", "p < 0.0001"."""
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def share_text(share: float) -> str:
    """Return a share or a level: "95 %", "12.5 %"."""
    return f"{100 * share:.4g} %"


def per_cent(interval: Interval) -> Interval:
    """Return the interval times 100."""
    return Interval(100 * interval.lower, 100 * interval.upper)


def _digits(point: float | None, interval: Interval | None) -> int | None:
    """Return the decimals that an interval supports, None when it says nothing of them."""
    if interval is None:
        return None
    half_width = (interval.upper - interval.lower) / 2
    if math.isinf(half_width) and point is not None:
        # Unbounded on one side: the side that has an end speaks for both.
        half_width = min(abs(point - interval.lower), abs(interval.upper - point))
    return decimals(half_width) if 0 < half_width < math.inf else None


def _number(value: float, digits: int | None, *, signed: bool) -> str:
    if math.isinf(value):
        return "unbounded"
    value += 0.0  # -0.0 is not below zero
    sign = "+" if signed else ""
    if digits is not None:
        return f"{value:{sign},.{digits}f}"
    # At most three significant digits, written out: "1230" and "0.7", not "1.23e+03" and "0.700".
    places = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:{sign if value else ''},.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _ends(interval: Interval, digits: int | None, *, signed: bool) -> str:
    if math.isinf(interval.lower) and math.isinf(interval.upper):
        return "unbounded"
    lower, upper = (_number(end, digits, signed=signed) for end in (interval.lower, interval.upper))
    return f"{lower} to {upper}"
