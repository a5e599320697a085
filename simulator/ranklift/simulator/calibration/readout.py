"""What statistics say of one experiment. Whoever owns statistics fits them in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

CONTROL, ARM = "control", "arm"
ARMS = (CONTROL, ARM)


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentLog:
    """What was logged of an experiment with the arms `ARMS`.

    `pages`: `page_id` (row number), `user_id` (from 0), `session_id` (of the user), `arm`,
    `timestamp`. `clicks`: `page_id`, `timestamp`, `position` (from 1), `dwell_seconds`.
    """

    pages: pl.DataFrame
    clicks: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Reading:
    """What is said of one metric: the arm's relative lift, its 95 % interval, and the p-value."""

    lift: float
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Readings:
    """What is said of an experiment.

    `metrics` are by name; `unavailable` says why others have no numbers. `alarms` are the checks
    that failed, `decision` is what is advised.
    """

    metrics: Mapping[str, Reading]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    decision: str = ""


class Readout(Protocol):
    """Statistics under test. It is sent to other processes, so it can be pickled."""

    def __call__(self, log: ExperimentLog) -> Readings: ...


class Split(Protocol):
    """How users are put into arms. It is sent to other processes, so it can be pickled."""

    def __call__(self, users: NDArray[np.int64], experiment: int) -> NDArray[np.int64]:
        """Return an index into `ARMS` for each user, anew for each experiment."""


class Plan(Protocol):
    """A planner of experiments, whose predictions are held against what happens."""

    def __call__(self, log: ExperimentLog, lifts: Mapping[str, float]) -> Mapping[str, float]:
        """Return the chance to see each metric's lift in an experiment with so many users.

        `log` is of usual traffic: both arms show the same. Metrics that cannot be planned are left
        out.
        """
