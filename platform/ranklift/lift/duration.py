"""How many days an experiment takes to meet its units.

Users come back, so every day brings fewer units that were not there before. How fast that falls
off cannot be known from a short log, but it can be bracketed. If every user comes at a steady rate
of his own, then new units per day fall, and fall ever more slowly. So the days are
- at least those in which new units keep coming as fast as in the log's last days, and
- at most those in which they go on falling as fast as they fell in the log's last days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from ranklift.lift.values import Unavailable

DAY = timedelta(days=1)
WEEK = 7
MIN_DAYS = 4
# Further out than this the log says nothing: users, season and index will have changed.
MAX_EXTRAPOLATION = 10
# The last page of a full day comes a little before its end.
NEARLY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Duration:
    """Days until enough units were met, in full days of the log's traffic.

    `likely` lies between `least` and `most`; None is more than `MAX_EXTRAPOLATION` times the log,
    or never.
    """

    least: int
    likely: int | None
    most: int | None


def cumulative_units(units: pl.DataFrame) -> tuple[int, ...]:
    """Return how many units a log had met by the end of each of its days, from its unit sums.

    Days are 24 hours from the first page; the last one, when not complete, is left out. A log
    without times has none.
    """
    if not {"first_page_time", "last_page_time"}.issubset(units.columns):
        return ()
    start, end = units["first_page_time"].min(), units["last_page_time"].max()
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return ()
    days = (end - start + NEARLY) // DAY
    seconds = (units["first_page_time"] - start).dt.total_seconds().to_numpy()
    counts = np.bincount(seconds // int(DAY.total_seconds()), minlength=days)
    return tuple(counts[:days].cumsum().tolist())


def duration(cumulative: Sequence[int], units: int) -> Duration | Unavailable:
    """Return the days that it takes to meet `units`, from a log's `cumulative_units`.

    With D days in the log, C met in them, L of these in the last w days (whole weeks in a log of
    two weeks or more, else half of it), P in the w days before, r = L / P at most 1, and
    M = units - C still missing:
    - least: D + w M / L
    - most: D + w j, with j from M = L (r + r^2 + ... + r^j), if it ever gets there
    - likely: a power law through the log's end, C (t / D)^b = units, with b from the last w days
    """
    days = len(cumulative)
    if days and units <= cumulative[-1]:
        reached = next(day for day, met in enumerate(cumulative, start=1) if met >= units)
        return Duration(reached, reached, reached)
    if days < MIN_DAYS:
        return Unavailable(
            f"the log has {days} full days, {MIN_DAYS} are needed to tell how users return"
        )
    half = days // 2
    window = half // WEEK * WEEK if half >= WEEK else half
    met = [0, *cumulative]
    latest = met[-1] - met[-1 - window]
    before = met[-1 - window] - met[-1 - 2 * window]
    if latest == 0:
        return Unavailable(f"no new unit came in the log's last {window} days")
    missing = units - met[-1]
    longest = MAX_EXTRAPOLATION * days
    least = days + window * missing / latest
    if least > longest:
        return Unavailable(
            f"at least {math.ceil(least):,} days, more than {MAX_EXTRAPOLATION} times the log's "
            f"{days}: take more traffic, a larger lift or a metric that varies less"
        )
    ratio = min(1.0, latest / before) if before else 1.0
    most = days + window * _windows(missing, latest, ratio)
    exponent = min(1.0, math.log(met[-1] / met[-1 - window]) / math.log(days / (days - window)))
    likely = days * math.exp(min(50.0, math.log(units / met[-1]) / exponent))
    likely = min(max(likely, least), most)
    return Duration(
        math.ceil(least),
        math.ceil(likely) if likely <= longest else None,
        math.ceil(most) if most <= longest else None,
    )


def _windows(missing: int, latest: int, ratio: float) -> float:
    """Return j with missing = latest (ratio + ... + ratio^j); infinite where no j is enough."""
    if ratio == 1:
        return missing / latest
    # The sum is latest ratio (1 - ratio^j) / (1 - ratio).
    left = 1 - missing * (1 - ratio) / (latest * ratio)
    return math.log(left) / math.log(ratio) if left > 0 else math.inf
