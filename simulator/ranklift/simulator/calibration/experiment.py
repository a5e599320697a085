"""One whole experiment: users who were in none before, split, played and read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.simulator.behaviour import click_time_us
from ranklift.simulator.calibration.readout import ARMS, ExperimentLog, Readings, Readout, Split
from ranklift.simulator.compact import MAX_USERS, CompactLog, Script, compact_log, script
from ranklift.simulator.frames import INSTANT
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Experiments:
    """Experiments on one world, each with `users` of its own: the n-th has the n-th so many.

    What is searched for, and how much, is the same in all of them, so they share one truth.
    """

    script: Script
    users: int
    split: Split
    readout: Readout

    def __call__(self, number: int) -> Readings:
        """Return what is said of the experiment of a number, from 0."""
        return self.readout(self.log(number))

    def log(self, number: int) -> ExperimentLog:
        """Return the log of the experiment of a number, from 0."""
        start = number * self.users
        arm = self.split(np.arange(start, start + self.users), number)
        return play_users(self.script, start, arm)


def two_arms(world: World, control: Rankings, arm: Rankings) -> Script:
    """Return a world in which the arms show these rankings.

    Raises:
        InvalidRequest: a query has no ranking.
    """
    return script(world, dict(zip(ARMS, (control, arm), strict=True)))


def check_experiments(experiments: int, users: int) -> None:
    """Check that there are users enough for so many experiments.

    Raises:
        InvalidRequest: there are not, or one of them has too few.
    """
    if experiments < 1:
        raise InvalidRequest.of("experiments", f"{experiments}, must be at least 1")
    if users < 2:
        raise InvalidRequest.of("pages", f"make {users} users in each experiment, at least 2")
    if experiments * users > MAX_USERS // 2:
        raise InvalidRequest.of(
            "experiments",
            f"{experiments:,} of {users:,} users each are more than {MAX_USERS // 2:,} users; "
            "take fewer, or smaller ones",
        )


def play_users(script: Script, start: int, arm: NDArray[np.int64]) -> ExperimentLog:
    """Return the log of the users from `start` on, one for each of `arm`, an index into `ARMS`."""
    played = replace(script, arm_of=lambda user: arm[user - start])
    return _numbered(compact_log(played, start, start + len(arm)), start)


def both_arms(script: Script, start: int, users: int) -> ExperimentLog:
    """Return the log of an experiment that no one can run: every user lives through both arms.

    In each of the two lives a user has a number of his own.
    """
    control, arm = (
        play_users(script, start, np.full(users, index, dtype=np.int64)) for index in (0, 1)
    )
    pages = arm.pages.with_columns(
        pl.col("page_id") + len(control.pages), pl.col("user_id") + users
    )
    clicks = arm.clicks.with_columns(pl.col("page_id") + len(control.pages))
    return ExperimentLog(pl.concat([control.pages, pages]), pl.concat([control.clicks, clicks]))


def _numbered(log: CompactLog, start: int) -> ExperimentLog:
    """Return a log with pages and users numbered from 0 and the times of clicks."""
    page = np.searchsorted(log.pages["page_id"].to_numpy(), log.clicks["page_id"].to_numpy())
    time_us = log.pages["timestamp"].to_physical().to_numpy()
    position = log.clicks["position"].cast(pl.Int64).to_numpy()
    pages = log.pages.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("page_id"),
        pl.col("user_id").cast(pl.Int64) - start,
        "session_id",
        "arm",
        "timestamp",
    )
    clicks = log.clicks.select(
        pl.Series("page_id", page),
        pl.Series("timestamp", click_time_us(time_us[page], position)).cast(INSTANT),
        "position",
        "dwell_seconds",
    )
    return ExperimentLog(pages, clicks)
