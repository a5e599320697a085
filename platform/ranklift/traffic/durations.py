"""Durations as people write them: "45m", "12h", "1d", "1h 30m"."""

from __future__ import annotations

import re
from datetime import timedelta

DURATION = r"^(\d{1,9}[smhdw] ?)+$"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def to_duration(text: str) -> timedelta:
    """Return the duration that whole numbers of weeks, days, hours, minutes and seconds add up to.

    Raises:
        ValueError: not of that form, or longer than a timedelta holds.
    """
    if re.match(DURATION, text) is None:
        raise ValueError(f'"{text:.64}" is no duration, e.g. 45m, 12h, 1d or 1h 30m')
    parts = re.findall(r"(\d+)([smhdw])", text)
    try:
        return sum((timedelta(**{_UNITS[unit]: int(n)}) for n, unit in parts), timedelta())
    except OverflowError as error:
        raise ValueError(f'"{text:.64}" is too long') from error
