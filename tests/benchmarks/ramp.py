"""Guarded ramps over simulated users: who is stopped, when, and how many met the harm until then.

The users differ as a simulated world's do (`simulator.users.Population`): pages per user are
Poisson(Gamma), the odds of a click are multiplied by a log-normal propensity. Everything from unit
sums on is ranklift's own: `evidence_of`, `decide`, and the shares that its moves set.

A harm of x is planted as x of the arm's users who never click, so that UserCTR is lower by x
exactly, however long users are watched; a gain of x is the same harm of control.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from unittest.mock import patch

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
from ranklift.traffic.ramps.position import percent, position_of

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
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


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
    """The last move, the traffic share and the day it came at, and the exposed units of the arm."""

    move: type[Move]
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
    looks_a_day=1,
)
HARM, NOTHING = Case("-2 % UserCTR", harm=0.02), Case("A/A")
# The claims rest on the first three, which have four times the runs of the others.
CLAIMS = (HARM, NOTHING, RETURNING)
CASES = (
    *CLAIMS,
    Case("-5 % UserCTR", harm=0.05),
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
            return Ending(type(move), share, (now - START) / DAY, users.exposed())


@dataclass(eq=False)
class _Users:
    """Those of the population that the ramp can reach, ordered by `at`, where in its arm's range a
    unit lies: those that take part come first. Arrays of shape (users,)."""

    at: NDArray[np.int64]
    arm: NDArray[np.int64]
    rate: NDArray[np.float64]  # pages a day
    likely: NDArray[np.float64]  # that a page is clicked
    fallback: NDArray[np.float64]
    total: NDArray[np.int64]  # (pages, fallback pages, clicked pages, microseconds; users)
    in_step: NDArray[np.int64]  # (pages, fallback pages; users)

    @classmethod
    def draw(cls, case: Case, rng: np.random.Generator) -> _Users:
        people, reach = case.population, case.ramp.steps[-1].traffic_share
        at = np.sort(rng.integers(0, BUCKETS, people.users))
        at = at[: np.searchsorted(at, reach)]
        arm = rng.integers(0, 2, len(at))
        kept = (arm == 0) | (rng.random(len(at)) >= case.lost)
        at, arm = at[kept], arm[kept]
        n, shape = len(at), people.activity_shape
        logit = LOGIT_CLICK + people.propensity_sigma * rng.standard_normal(n)
        never = np.where(arm == 1, case.harm, case.gain / (1 + case.gain))
        return cls(
            at=at,
            arm=arm,
            rate=rng.gamma(shape, people.pages_per_user / shape, n) / (people.span / DAY),
            likely=np.where(rng.random(n) < never, 0.0, 1 / (1 + np.exp(-logit))),
            fallback=np.where(arm == 1, case.fallback, 0.0),
            total=np.zeros((4, n), np.int64),
            in_step=np.zeros((2, n), np.int64),
        )

    def search(
        self, share: int, span: timedelta, *, new_step: bool, rng: np.random.Generator
    ) -> None:
        """Have all units that take part search for a while."""
        on = slice(0, int(np.searchsorted(self.at, share)))
        shown = rng.poisson(self.rate[on] * (span / DAY))
        back = rng.binomial(shown, self.fallback[on]) if self.fallback.any() else 0 * shown
        pages = shown - back
        noise = LATENCY_SPREAD_US * np.sqrt(pages) * rng.standard_normal(len(pages))
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
    return replace(one, experiment=experiment, revision=number, revisions=(*one.revisions, made))


def measure(runs: int = RUNS) -> str:
    """Run all cases and return the page."""
    began = time.perf_counter()
    # A thread each: two processes take the two cores.
    with (
        patch.dict(os.environ, ONE_THREAD),
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):
        endings = {
            case: list(pool.map(partial(run, case), range(runs if case in CLAIMS else runs // 4)))
            for case in CASES
        }
    took = time.perf_counter() - began
    last = RAMP.steps[-1].traffic_share
    harmed, quiet, returning = (endings[case] for case in CLAIMS)
    early = [ending for ending in harmed if ending.move is RollBack and ending.share < last]
    met = np.array([ending.exposed for ending in harmed])
    median, most, plain = np.median(met), np.quantile(met, 0.9), _exposed_in_a_plain_experiment()
    people, weeks = POPULATION, RETURNING.population
    rows = [
        [
            case.name,
            str(len(found)),
            *(_part(found, move) for move in (RollBack, Pause, Done)),
            _shares(found),
            f"{np.median([ending.days for ending in found]):.2f}",
        ]
        for case, found in endings.items()
    ]
    header = ("planted", "runs", "rolled back", "paused", "done", "stopped at", "median day")
    return f"""# Guarded ramps

A harm of -2 % UserCTR was rolled back before the 50 % step in {_interval(early, harmed)}
of runs (wanted: 95 % or more). A/A ramps were rolled back in {_part(quiet, RollBack)}
(wanted: 5 % or less), and in {_part(returning, RollBack)} where hardly a new unit comes and
{weeks.users:,} old ones return for five weeks, which is hard on alarms whose clock counts units.

{_table(header, rows)}

Brackets are 95 % Clopper-Pearson intervals. "Stopped at" counts the runs that were rolled back or
paused, by the traffic share of that step.

**Users who met the harm.** When it ended, a ramp with -2 % UserCTR had shown the harmful ranker to
{median:,.0f} users (median; in 90 % of runs to {most:,.0f} at most). An experiment that splits all
traffic in two for the same seven days and looks at the end shows it to {plain:,.0f}, which is
{plain / median:.1f} times as many.

**What was simulated.** {people.users:,} users and two arms of equal share; UserCTR is the primary
metric, no guardrail is declared, and latency is watched unasked, so that two metrics share the
error. {HARM.planned_units:,} units are planned; a look every {24 / LOOKS_A_DAY:g} hours.
Steps: {_steps(RAMP)}.
Users differ as in a simulated world: {people.pages_per_user:g} pages a week on average, Poisson
over Gamma with shape {people.activity_shape:g}; the odds that a page is clicked are 0.4 to 0.6,
times a log-normal propensity (sigma {people.propensity_sigma:g}). A harm of x is x of the arm's
users who never click, so that UserCTR is lower by x exactly, whenever one looks. From unit sums
on, all code is that of the controller (`evidence_of`, `decide`). The five weeks: PageCTR,
{weeks.pages_per_user:g} pages a user, a look a day, no size planned.
Steps: {_steps(RETURNING.ramp)}.

With fewer users a harm as small is shown later, or never: [ramps.md](../ramps.md) says how many a
step needs. All runs took {took:.0f} s on two cores that others used too.
"""


def _part(found: Sequence[Ending], move: type[Move]) -> str:
    return _interval([ending for ending in found if ending.move is move], found)


def _interval(some: Sequence[Ending], of: Sequence[Ending]) -> str:
    """Return a part with its Clopper-Pearson interval, 95 %."""
    k, n = len(some), len(of)
    lower = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    upper = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{k / n:.1%} [{lower:.1%}, {upper:.1%}]"


def _shares(found: Sequence[Ending]) -> str:
    """Return how many were stopped at which traffic share."""
    counts = Counter(ending.share for ending in found if ending.move is not Done)
    return ", ".join(f"{percent(share)}: {n}" for share, n in sorted(counts.items())) or "-"


def _steps(ramp: Ramp) -> str:
    return ", ".join(
        f"{percent(step.traffic_share)} (hold {step.hold // timedelta(hours=1)} h"
        + (f", {step.min_units:,} units)" if step.min_units else ")")
        for step in ramp.steps
    )


def _exposed_in_a_plain_experiment() -> float:
    """Return half of the users who search at all in the seven days: 1 - E exp(-Gamma)."""
    shape = POPULATION.activity_shape
    return POPULATION.users / 2 * float(1 - (1 + POPULATION.pages_per_user / shape) ** -shape)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(measure(40 if "--quick" in sys.argv else RUNS))
