"""Does a planned experiment find the lift it was planned for, as often as planned?

python -m tests.benchmarks.run lift_power
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import special, stats
from tests.benchmarks.lift_users import draw_users

from ranklift.lift.adjust import Covariate, compare_adjusted
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.planning import power_at, relative_variance, units_needed
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.values import Unavailable

DRAWS = 2_000
KINDS, LOG_UNITS = 20_000, 200_000
POWER, ALPHA = 0.8, 0.05
WANTED_POINTS = 0.03
SEED = 7

COLUMNS = (
    *("pages", "clicked_pages", "clicked", "clicks", "dwell_ms"),
    *("pre_pages", "pre_clicked_pages", "newcomer"),
)
CUPED = (Covariate("pre_clicked_pages", "pre_pages"), Covariate("newcomer"))


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment: `part` is the part of the units needed for 80 % power that it gets."""

    title: str
    numerator: str
    denominator: str | None
    lift: float
    covariates: tuple[Covariate, ...] = ()
    part: float = 1.0


PLANS = (
    Plan("PageCTR", "clicked_pages", "pages", 0.0047),
    Plan("PageCTR, CUPED", "clicked_pages", "pages", 0.0047, CUPED),
    Plan("UserCTR", "clicked", None, 0.0058),
    Plan("dwell per click", "dwell_ms", "clicks", 0.012),
    Plan("PageCTR, a tenth of the units", "clicked_pages", "pages", 0.0047, part=0.1),
)


@dataclass(frozen=True, slots=True)
class Population:
    """Kinds of users with `values`, shape (kinds, columns), and how likely each is."""

    values: Floats
    weights: Floats

    def draw(self, rng: np.random.Generator, units: int) -> Moments:
        """Return the moments of so many users, drawn with replacement."""
        counts = rng.multinomial(units, self.weights).astype(np.float64)
        mean = counts @ self.values / units
        centred = self.values - mean
        return Moments(COLUMNS, units, mean, (centred.T * counts) @ centred)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the draws of a plan came to, beside what a normal estimate would."""

    plan: Plan
    units: int
    planned: float
    power: float
    coverage: float
    type_s: float
    type_m: float
    normal_type_s: float
    normal_type_m: float

    def row(self) -> str:
        cells = [
            self.plan.title,
            f"{self.plan.lift:.2%}",
            f"{self.units:,}",
            f"{self.planned:.1%}",
            f"{self.power:.1%}"
            if abs(self.power - self.planned) <= WANTED_POINTS
            else f"**{self.power:.1%}**",
            f"{self.coverage:.1%}",
            f"{self.type_s:.2%} ({self.normal_type_s:.2%})",
            f"{self.type_m:.2f} ({self.normal_type_m:.2f})",
        ]
        return f"| {' | '.join(cells)} |"


def measure() -> str:
    """Draw the experiments of every plan and return the page."""
    base = population()
    outcomes = [carry_out(plan, base, DRAWS) for plan in PLANS]
    return "\n".join(
        [
            "# Is the planned power the real one?",
            "",
            f"A population of {KINDS:,} kinds of users, who differ in pages, click rate and "
            f"dwell. `lift.planning` sees a log of {LOG_UNITS:,} of them and says how many units "
            f"show a lift with {POWER:.0%} power at {ALPHA:g}; then {DRAWS:,} experiments of "
            "that size are drawn and compared. The lift is exact: users of the arm click one page "
            "more, click at all, or stay longer, as often as that takes. Bold: more than "
            f"{WANTED_POINTS * 100:.0f} points from the plan; Monte-Carlo standard error "
            f"{math.sqrt(POWER * (1 - POWER) / DRAWS) * 100:.1f} points.",
            "",
            "Type S: significant lifts with the wrong sign. Type M: how many times too large "
            "significant lifts are on average. In brackets what a normal estimate with the "
            "planned error has (Gelman and Carlin 2014).",
            "",
            "| metric | lift | units | planned power | power | interval holds the lift "
            "| type S | type M |",
            "|---|---|---|---|---|---|---|---|",
            *(outcome.row() for outcome in outcomes),
            "",
        ]
    )


def population() -> Population:
    """Return drawn users as the kinds of a population, each as likely as the others."""
    units = (
        draw_users(np.random.default_rng(SEED), KINDS)
        .units.with_columns(clicked=pl.col("clicks") > 0, newcomer=pl.col("pre_pages").is_null())
        .select(pl.col(COLUMNS).cast(pl.Float64).fill_null(0.0))
    )
    return Population(units.to_numpy(), np.full(KINDS, 1 / KINDS))


def lifted(base: Population, plan: Plan) -> Population:
    """Return the population under the arm: the numerator's mean is exactly (1 + lift)-fold.

    Where the numerator counts pages or users, a part of each kind has one more of it, in
    proportion to what the kind has, kinds that have all they can have aside.
    """
    place = COLUMNS.index(plan.numerator)
    values = base.values.copy()
    has = values[:, place]
    if plan.numerator == "dwell_ms":
        values[:, place] *= 1 + plan.lift
        return Population(values, base.weights)
    limit = values[:, COLUMNS.index(plan.denominator)] if plan.denominator else np.ones(len(has))
    inclined = has if plan.denominator else np.ones(len(has))
    willing = np.where(has < limit, inclined, 0.0)
    more = plan.lift * (base.weights @ has) / (base.weights @ willing) * willing
    values[:, place] += 1
    return Population(
        np.vstack([base.values, values]),
        np.concatenate([base.weights * (1 - more), base.weights * more]),
    )


def carry_out(plan: Plan, base: Population, draws: int) -> Outcome:
    """Return how `draws` experiments of a plan end, after its size was planned from a log."""
    rng = np.random.default_rng(SEED)
    metric = plan.numerator, plan.denominator
    variance = relative_variance(base.draw(rng, LOG_UNITS), *metric, plan.covariates)
    if isinstance(variance, Unavailable):
        raise RuntimeError(f"{plan.title}: {variance.reason}")
    needed = units_needed(variance, plan.lift, alpha=ALPHA, power=POWER)
    size = round(needed * plan.part / 2)
    treated = lifted(base, plan)
    found = [_compared(base.draw(rng, size), treated.draw(rng, size), plan) for _ in range(draws)]
    significant = [one.relative_lift for one in found if one.p_value < ALPHA]
    normal_type_s, normal_type_m = _normal_errors(plan.lift / math.sqrt(variance * 2 / size), ALPHA)
    return Outcome(
        plan,
        2 * size,
        power_at(variance, plan.lift, 2 * size, alpha=ALPHA),
        len(significant) / draws,
        float(
            np.mean([f.relative_lift_lower <= plan.lift <= f.relative_lift_upper for f in found])
        ),
        float(np.mean([lift < 0 for lift in significant])),
        float(np.mean(np.abs(significant))) / plan.lift,
        normal_type_s,
        normal_type_m,
    )


def _compared(control: Moments, arm: Moments, plan: Plan) -> Comparison:
    metric = plan.numerator, plan.denominator
    if plan.covariates:
        adjusted = compare_adjusted(control, arm, *metric, plan.covariates)
        found = adjusted if isinstance(adjusted, Unavailable) else adjusted.comparison
    else:
        found = compare(control, arm, *metric)
    if isinstance(found, Unavailable):
        raise RuntimeError(f"{plan.title}: {found.reason}")
    return found


def _normal_errors(distance: float, alpha: float) -> tuple[float, float]:
    """Return type S and type M of an estimate that is normal around `distance` standard errors.

    With z the critical value and P the power: S = Phi(-d - z) / P and
    M = E |X| [|X| > z] / (d P), X ~ N(d, 1).
    """
    z = special.ndtri(1 - alpha / 2)
    above, below = special.ndtr(distance - z), special.ndtr(-distance - z)
    power = above + below
    tails = stats.norm.pdf(z - distance) + stats.norm.pdf(z + distance)
    exaggerated = (tails + distance * (above - below)) / (distance * power)
    return float(below / power), float(exaggerated)
