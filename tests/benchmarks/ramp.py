"""Guarded ramps over simulated users: who is stopped, when, and how many met the harm until then.

The users differ as a simulated world's do (`simulator.users.Population`): pages per user are
Poisson(Gamma), the odds of a click are multiplied by a log-normal propensity. Everything from unit
sums on is ranklift's own: `evidence_of`, `decide`, and the shares that its moves set.

A harm of x is planted as x of the arm's users who never click, so that UserCTR is lower by x
exactly, however long users are watched; a gain of x is the same harm of control.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import beta

from ranklift.lift.experiment import subject_of
from ranklift.simulator.users import Population
from ranklift.store.analysis import AnalysisPlan
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Experiment,
    ExperimentState,
    Ramp,
    RampStep,
    RegisteredExperiment,
    Revision,
)
from ranklift.traffic.ramps.decision import Advance, Done, Move, Pause, RollBack, decide
from ranklift.traffic.ramps.evidence import evidence_of, planned_size
from ranklift.traffic.ramps.position import position_of

RUNS = 400
DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
ARMS = ("control", "student")
POPULATION = Population(users=500_000, pages_per_user=10.0)
LOGIT_CLICK = math.log(0.4 / 0.6)
LATENCY_US, LATENCY_SPREAD_US = 80_000.0, 40_000.0
RAMP = Ramp(
    (
        RampStep(100, DAY, 1_000),
        RampStep(500, DAY, 5_000),
        RampStep(2_500, 2 * DAY, 75_000),
        RampStep(5_000, 3 * DAY, 150_000),
    )
)
LOOKS_A_DAY = 4


@dataclass(frozen=True)
class Case:
    """What is planted: parts of the users who never click, of the arm's units that are not logged,
    of the arm's pages that fall back."""

    name: str
    harm: float = 0.0
    gain: float = 0.0
    lost: float = 0.0
    fallback: float = 0.0
    population: Population = POPULATION
    ramp: Ramp = RAMP
    metric: str = "user_ctr"
    planned_units: int = 200_000
    looks_a_day: int = LOOKS_A_DAY


@dataclass(frozen=True)
class Ending:
    """The last move, the traffic share it came at, the day, and the exposed units of the arm."""

    move: Move
    share: int
    days: float
    exposed: int


# Few users who come back for weeks: hardly a new unit, and the alarm looks on and on.
RETURNING = Case(
    "A/A, 20,000 users for five weeks, PageCTR, no size planned",
    population=Population(users=20_000, pages_per_user=50.0, span=timedelta(days=35)),
    ramp=Ramp((RampStep(2_500, 2 * DAY), RampStep(BUCKETS, 33 * DAY))),
    metric="page_ctr",
    planned_units=0,
    looks_a_day=4,
)
CASES = (
    Case("-2 % UserCTR", harm=0.02),
    Case("-5 % UserCTR", harm=0.05),
    Case("A/A"),
    RETURNING,
    Case("+2 % UserCTR", gain=0.02),
    Case("3 % of the arm's units are not logged", lost=0.03),
    Case("5 % of the arm's pages fall back", fallback=0.05),
)


def run(case: Case, seed: int) -> Ending:
    """Return how one ramp over `case.population` ends."""
    rng = np.random.default_rng(seed)
    users = _Users.draw(case, rng)
    registered = _registered(case)
    ramp, size = case.ramp, planned_size(registered.experiment)
    now, step = START, timedelta(days=1 / case.looks_a_day)
    while True:
        now += step
        share = registered.experiment.traffic_share
        began = position_of(registered, ramp).began
        users.search(share, step, new_step=began == now - step, rng=rng)
        evidence = evidence_of(
            subject_of(registered, now), size, users.sums(now), users.sums(now, step=True)
        )
        move = decide(registered, ramp, evidence, now)
        if isinstance(move, Advance):
            registered = _ramped(registered, move, now)
        elif isinstance(move, Pause | RollBack | Done):
            return Ending(move, share, (now - START) / DAY, users.exposed())


@dataclass(eq=False)
class _Users:
    """The population; arrays of shape (users,). `at` is where in its arm's range a unit lies."""

    at: NDArray[np.int64]
    arm: NDArray[np.int64]
    rate: NDArray[np.float64]  # pages a day
    likely: NDArray[np.float64]  # that a page is clicked
    logged: NDArray[np.bool_]
    fallback: NDArray[np.float64]
    total: NDArray[np.int64]  # (pages, fallback pages, clicked pages, microseconds; users)
    in_step: NDArray[np.int64]

    @classmethod
    def draw(cls, case: Case, rng: np.random.Generator) -> _Users:
        people, n = case.population, case.population.users
        shape = people.activity_shape
        arm = rng.integers(0, 2, n)
        logit = LOGIT_CLICK + people.propensity_sigma * rng.standard_normal(n)
        never = np.where(arm == 1, case.harm, case.gain / (1 + case.gain))
        return cls(
            at=rng.integers(0, BUCKETS, n),
            arm=arm,
            rate=rng.gamma(shape, people.pages_per_user / shape, n) / (people.span / DAY),
            likely=np.where(rng.random(n) < never, 0.0, 1 / (1 + np.exp(-logit))),
            logged=(arm == 0) | (rng.random(n) >= case.lost),
            fallback=np.where(arm == 1, case.fallback, 0.0),
            total=np.zeros((4, n), np.int64),
            in_step=np.zeros((2, n), np.int64),
        )

    def search(
        self, share: int, span: timedelta, *, new_step: bool, rng: np.random.Generator
    ) -> None:
        """Have all units that take part search for a while."""
        on = np.flatnonzero((self.at < share) & self.logged)
        shown = rng.poisson(self.rate[on] * (span / DAY))
        back = rng.binomial(shown, self.fallback[on]) if self.fallback.any() else 0 * shown
        pages = shown - back
        noise = LATENCY_SPREAD_US * np.sqrt(pages) * rng.standard_normal(len(on))
        waited = np.maximum(LATENCY_US * pages + noise, 0).astype(np.int64)
        clicked = rng.binomial(pages, self.likely[on])
        self.total[:, on] += np.stack([pages, back, clicked, waited])
        if new_step:
            self.in_step[:] = 0
        self.in_step[:, on] += np.stack([pages, back])

    def sums(self, now: datetime, *, step: bool = False) -> pl.DataFrame:
        """Return the unit sums, of the present step only with `step`."""
        counted = self.in_step if step else self.total
        seen = np.flatnonzero(counted[0] + counted[1])
        columns = ("pages", "fallback_pages", "clicked_pages", "latency_us")
        return pl.DataFrame(
            {"unit_id": seen, **dict(zip(columns, counted[:, seen], strict=False))}
        ).with_columns(
            arm=pl.Series(ARMS).gather(self.arm[seen]),
            last_page_time=pl.lit(now),
        )

    def exposed(self) -> int:
        return int(((self.total[0] > 0) & (self.arm == 1)).sum())


def _registered(case: Case) -> RegisteredExperiment:
    share = case.ramp.steps[0].traffic_share
    return RegisteredExperiment(
        Experiment(
            name="ramped",
            arms=tuple(Arm(name, BUCKETS // 2) for name in ARMS),
            control=ARMS[0],
            salt="ramped",
            traffic_share=share,
            primary_metric=case.metric,
            analysis=AnalysisPlan(planned_units=case.planned_units),
            ramp=case.ramp,
        ),
        ExperimentState.RUNNING,
        revision=1,
        created=START,
        updated=START,
        started=START,
        revisions=(Revision(1, ExperimentState.RUNNING, "", "", START, share),),
    )


def _ramped(one: RegisteredExperiment, move: Advance, now: datetime) -> RegisteredExperiment:
    number = one.revision + 1
    made = Revision(number, ExperimentState.RUNNING, "ramp", move.why, now, move.share)
    experiment = replace(one.experiment, traffic_share=move.share)
    return replace(
        one, experiment=experiment, revision=number, revisions=(*one.revisions, made)
    )
