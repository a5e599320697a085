"""Who searches in a log, how often and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import numpy as np

from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.users import Population


@dataclass(frozen=True, slots=True)
class Found:
    """A part of the world, what it is, and whether the log told it or it is assumed."""

    part: str
    value: str
    fitted: bool


def fit_population(log: SearchLog) -> tuple[Population, list[Found]]:
    """Return the population of a log, and which parts of it the log told.

    Without users and times each session is taken for a user of its own.
    """
    unit = "user" if log.has_users else "session"
    pages = log.pages.group_by(unit).len()["len"].to_numpy()
    mean, variance = float(pages.mean()), float(pages.var())
    # 1 + Poisson(Gamma): variance = m + m^2 / shape, where m is the mean less 1.
    over = variance - (mean - 1)
    shape = float(np.clip((mean - 1) ** 2 / over, 0.05, 100)) if over > 0 and mean > 1 else 100.0
    sessions = log.pages["session"].n_unique()
    goes_on = 1 - sessions / log.pages.height if log.has_users else 0.999
    start, span, gap = _times(log)
    population = Population(
        users=len(pages),
        pages_per_user=max(mean, 1.0),
        activity_shape=shape,
        continue_probability=min(goes_on, 0.999),
        mean_gap=gap,
        start=start,
        span=span,
    )
    of = "users" if log.has_users else "sessions, each taken for a user"
    return population, [
        Found("activity", f"{len(pages):,} {of}; {mean:.2f} pages each, shape {shape:.2f}", True),
        Found("propensity", f"log-normal, sigma {population.propensity_sigma:g}", False),
        Found("time", f"{start:%Y-%m-%d} and {span} on", log.pages["time"].null_count() == 0),
    ]


def _times(log: SearchLog) -> tuple[datetime, timedelta, timedelta]:
    """Return when the log begins, how long it is, and the mean gap between pages of a session."""
    default = Population()
    if log.pages["time"].null_count():
        return default.start, default.span, default.mean_gap
    time = log.pages["time"]
    start, last = cast(datetime, time.min()), cast(datetime, time.max())
    same = log.pages["session"].eq(log.pages["session"].shift()).fill_null(value=False)
    gaps = time.diff().filter(same)
    gap = cast(timedelta, gaps.mean()) if gaps.len() else default.mean_gap
    return start, max(last - start, timedelta(hours=1)), max(gap, timedelta(seconds=1))
