"""Does every estimator keep its promises? A/A battery, and coverage of a planted lift.

python -m tests.benchmarks.run lift_battery
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from tests.benchmarks.lift_cases import Arm, Case, Found, cases
from tests.benchmarks.lift_users import draw_users

from ranklift.lift.columns import columns_of
from ranklift.lift.comparing import method_for, values_of
from ranklift.lift.metrics import METRICS
from ranklift.lift.moments import Floats
from ranklift.lift.rerandomise import (
    Rerandomised,
    false_positive_band,
    rerandomise,
    uniformity,
)

ROUNDS = 2_000
AA_USERS, ARM_USERS = 5_000, 2_500
ALPHA, LIFT = 0.05, 0.05
COVERAGE_BAND = (0.935, 0.965)
MIN_UNIFORMITY = 0.001
SEED = 2025

# For every case, in the order of `cases`, what it found in every round.
Results = Sequence[Sequence[Found]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What an A/A battery found of one test, as rates: by p-value, by interval, uniformity."""

    metric: str
    estimator: str
    by_p_value: float | None
    by_interval: float | None
    uniform: float | None
    passed: bool

    def row(self, note: str = "") -> str:
        cells = [
            self.metric,
            self.estimator,
            *(
                "" if rate is None else f"{rate:.2%}"
                for rate in (self.by_p_value, self.by_interval)
            ),
            "" if self.uniform is None else f"{self.uniform:.3f}",
            ("passed" if self.passed else "**failed**") + note,
        ]
        return f"| {' | '.join(cells)} |"


def measure() -> str:
    """Run both batteries on all cores and return the page."""
    began = time.perf_counter()
    engine = [judge(*row) for row in rerandomised_metrics(ROUNDS, AA_USERS)]
    battery = cases(LIFT)
    null, planted = _parallel(null_rounds, AA_USERS), _parallel(planted_rounds, ARM_USERS)
    judged = [judge_case(case, found) for case, found in zip(battery, null, strict=True)]
    covered = [
        (case, coverage(case.truth, found))
        for case, found in zip(battery, planted, strict=True)
        if case.honest
    ]
    ours = [row for row, case in zip(judged, battery, strict=True) if case.honest] + engine
    low, high = false_positive_band(ROUNDS, ALPHA)
    header = "| metric | estimator | p < 0.05 | interval without 0 | uniformity | |"
    return "\n".join(
        [
            "# Do the estimators keep their promises?",
            "",
            f"{AA_USERS:,} users with 10 pages each on average, spread more than Poisson's, click "
            "rates Beta(4, 6), log-normal dwells; a fifth of the users has no pre-period.",
            "",
            f"## A/A: {ROUNDS:,} re-randomisations",
            "",
            f"Nothing differs between the arms. p < {ALPHA:g}, and an interval that excludes "
            f"no difference, should happen in {ALPHA:.0%}; 99.9 % of correct tests show {low:.2%} "
            f"to {high:.2%}. Uniformity: p-value of Kolmogorov and Smirnov's test, below "
            f"{MIN_UNIFORMITY:g} fails. Of {len(ours)} tests of ours "
            f"{sum(not row.passed for row in ours)} fail.",
            "",
            header,
            "|---|---|---|---|---|---|",
            *(
                row.row("" if case.honest else ", as it must")
                for row, case in zip(judged, battery, strict=True)
            ),
            "",
            "Every built-in metric, as a ratio of means (`lift.rerandomise`):",
            "",
            header,
            "|---|---|---|---|---|---|",
            *(row.row() for row in engine),
            "",
            f"## Coverage: {ROUNDS:,} draws, a lift of {LIFT:.0%} planted",
            "",
            f"{ARM_USERS:,} new users in each arm; the arm's click rate and dwell are {1 + LIFT:g} "
            "times control's; the truth is in closed form. Wanted: "
            f"{COVERAGE_BAND[0]:.1%} to {COVERAGE_BAND[1]:.1%} (Monte-Carlo standard error "
            f"{math.sqrt(0.95 * 0.05 / ROUNDS):.2%}). Of {len(covered)} intervals "
            f"{sum(not _in_band(share) for _, share in covered)} fail.",
            "",
            "| metric | 95 % interval | truth | held by | |",
            "|---|---|---|---|---|",
            *(
                f"| {case.metric} | {case.estimator} | {case.truth:.4g} | {share:.2%} | "
                f"{'passed' if _in_band(share) else '**failed**'} |"
                for case, share in covered
            ),
            "",
            f"All of it took {time.perf_counter() - began:.0f} s on {os.cpu_count()} cores.",
            "",
        ]
    )


def rerandomised_metrics(rounds: int, users: int) -> list[tuple[str, str, Rerandomised]]:
    """Return (metric, estimator, A/A tests) of all built-in metrics, with and without CUPED."""
    units = draw_users(np.random.default_rng(SEED), users).units
    found = []
    for covariates in (False, True):
        method = method_for(
            units, list(METRICS.values()), confidence_level=1 - ALPHA, covariates=covariates
        )
        metrics = [m for m in METRICS.values() if not covariates or m.name in method.covariates]
        columns = {
            name: column
            for metric in metrics
            for name, column in zip(
                method.columns(metric), values_of(units, metric, method).T, strict=True
            )
        }
        results = rerandomise(
            pl.DataFrame(columns),
            [columns_of(metric) for metric in metrics],
            replicates=rounds,
            seed=SEED,
            covariates=[method.covariates.get(metric.name, ()) for metric in metrics],
        )
        for metric, result in zip(metrics, results, strict=True):
            form = f"{metric.form.value.replace('_', ' ')}{', CUPED' if covariates else ''}"
            if not isinstance(result, Rerandomised):
                raise RuntimeError(f"{metric.name}, {form}: {result.reason}")
            found.append((metric.title, form, result))
    return found


def null_rounds(rounds: range, users: int, left_out: frozenset[str] = frozenset()) -> Results:
    """Return what the cases find in the same users, split in two at random every round."""
    everybody = draw_users(np.random.default_rng(SEED), users)
    battery = [case for case in cases(LIFT) if case.estimator not in left_out]
    found: list[list[Found]] = []
    for number in rounds:
        treated = np.random.default_rng((SEED, number)).random(users) < 0.5
        arms = Arm.of(everybody.where(~treated)), Arm.of(everybody.where(treated))
        found.append([case.test(*arms, number) for case in battery])
    return list(zip(*found, strict=True))


def planted_rounds(rounds: range, users: int, left_out: frozenset[str] = frozenset()) -> Results:
    """Return what the cases find in new users every round, `users` in each arm, lifted by LIFT."""
    battery = [case for case in cases(LIFT) if case.estimator not in left_out]
    found: list[list[Found]] = []
    for number in rounds:
        rng = np.random.default_rng((SEED, number))
        arms = Arm.of(draw_users(rng, users)), Arm.of(draw_users(rng, users, LIFT))
        found.append([case.test(*arms, number) for case in battery])
    return list(zip(*found, strict=True))


def judge(metric: str, estimator: str, found: Rerandomised) -> Judged:
    """Return whether the p-values of an A/A battery are as they should be."""
    rate, uniform = found.false_positive_rate(ALPHA), uniformity(found.p_values)
    passed = _is_alpha(rate, len(found.p_values)) and uniform >= MIN_UNIFORMITY
    return Judged(metric, estimator, rate, None, uniform, passed)


def judge_case(case: Case, found: Sequence[Found]) -> Judged:
    """Return whether p-values and intervals of an A/A battery are as they should be."""
    excluded = 1 - coverage(case.null, found)
    p_values: Floats = np.array([f.p_value for f in found if f.p_value is not None])
    passed = _is_alpha(excluded, len(found))
    if not len(p_values):
        return Judged(case.metric, case.estimator, None, excluded, None, passed)
    rate, uniform = float((p_values < ALPHA).mean()), uniformity(p_values)
    passed = passed and _is_alpha(rate, len(found)) and uniform >= MIN_UNIFORMITY
    return Judged(case.metric, case.estimator, rate, excluded, uniform, passed)


def coverage(truth: float, found: Sequence[Found]) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean([f.lower <= truth <= f.upper for f in found]))


def _is_alpha(rate: float, rounds: int) -> bool:
    low, high = false_positive_band(rounds, ALPHA)
    return low <= rate <= high


def _in_band(share: float) -> bool:
    return COVERAGE_BAND[0] <= share <= COVERAGE_BAND[1]


def _parallel(run: Callable[[range, int], Results], users: int) -> Results:
    """Return the results of all rounds, run in as many processes as there are cores."""
    workers = os.cpu_count() or 1
    parts = [range(start, ROUNDS, workers) for start in range(workers)]
    # Forked processes would inherit the locks of polars' threads.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawning) as pool:
        done = list(pool.map(run, parts, [users] * workers))
    return [[f for part in same for f in part] for same in zip(*done, strict=True)]
