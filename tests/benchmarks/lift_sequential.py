"""What does looking 14 times cost? False positives and power of the rules for when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.sequential.bounds import crossing_probabilities, two_sided_bounds
from ranklift.lift.sequential.confidence_sequence import always_valid_bound
from ranklift.lift.sequential.monitor import Observed, monitor
from ranklift.lift.sequential.spending import pocock, power_family
from ranklift.store.analysis import Horizon

LOOKS = 14
PATHS, CHUNK = 1_000_000, 50_000
EXPERIMENTS, USERS = 3_000, 1_500
DRIFT = float(ndtri(0.975) + ndtri(0.8))  # the expected z that one fixed test finds in 80 %
FIXED = float(ndtri(0.975))
SEED = 20


@dataclass(frozen=True)
class Outcomes:
    """Of many experiments: whether one stopped, and at which look (`LOOKS` when it did not)."""

    stopped: NDArray[np.bool_]
    look: NDArray[np.int64]

    @classmethod
    def of(cls, signs: NDArray[np.int64], *, won: bool) -> Outcomes:
        """`signs`, shape (experiments, looks): 1 crossed above, -1 below; `won` counts 1 only."""
        first = (signs != 0).argmax(axis=1)
        sign = signs[np.arange(len(signs)), first]
        return cls(sign > 0 if won else sign != 0, np.where(sign != 0, first + 1, signs.shape[1]))

    def text(self) -> str:
        rate = self.stopped.mean()
        error = math.sqrt(rate * (1 - rate) / len(self.stopped))
        return f"{rate:.2%} +- {error:.2%}"


def measure(paths: int = PATHS, experiments: int = EXPERIMENTS) -> str:
    """Walk the paths, run the experiments and return the page."""
    return "\n".join([*_walks(paths), *_experiments(experiments)])


def _walks(paths: int) -> list[str]:
    """Return the part on exact normal increments: every rule at equal looks."""
    information = [look / LOOKS for look in range(1, LOOKS + 1)]
    rules: Mapping[str, Sequence[float]] = {
        "fixed, last look only": [*[math.inf] * (LOOKS - 1), FIXED],
        "naive: stop at the first p < 0.05": [FIXED] * LOOKS,
        "group sequential, O'Brien-Fleming type (the default)": two_sided_bounds(information),
        "group sequential, alpha t^2": two_sided_bounds(information, 0.05, power_family(2)),
        "group sequential, Pocock type": two_sided_bounds(information, 0.05, pocock),
        "always valid, tuned to the planned size": [
            always_valid_bound(look, LOOKS) for look in range(1, LOOKS + 1)
        ],
        "always valid, tuned to a quarter of it": [
            always_valid_bound(look, LOOKS / 4) for look in range(1, LOOKS + 1)
        ],
    }
    rng = np.random.default_rng(SEED)
    crossed: dict[str, list[Outcomes]] = {name: [] for name in rules}
    won: dict[str, list[Outcomes]] = {name: [] for name in rules}
    root = np.sqrt(np.array(information))
    for start in range(0, paths, CHUNK):
        steps = rng.standard_normal((min(CHUNK, paths - start), LOOKS)) / math.sqrt(LOOKS)
        z = np.cumsum(steps, axis=1) / root
        for name, bounds in rules.items():
            crossed[name].append(Outcomes.of(_signs(z, bounds), won=False))
            won[name].append(Outcomes.of(_signs(z + DRIFT * root, bounds), won=True))
    rows = [
        f"# What {LOOKS} looks cost",
        "",
        f"{paths:,} normal paths (seed {SEED}), {LOOKS} equal looks, alpha 0.05 two-sided, without "
        "an effect and with the one that a single test at the end finds in 80 %. By integration: "
        "`crossing_probabilities`. Goals: at most 5 % false positives, and 77 % power for the "
        "default.",
        "",
        "| rule | false positives, simulated | by integration | power, simulated | "
        "by integration | mean look of stopping with the effect (14 when it does not) |",
        "|---|---|---|---|---|---|",
    ]
    for name, bounds in rules.items():
        nothing, effect = _joined(crossed[name]), _joined(won[name])
        false = sum(map(sum, crossing_probabilities(information, bounds)))
        power = sum(above for above, _ in crossing_probabilities(information, bounds, DRIFT))
        rows.append(
            f"| {name} | {nothing.text()} | {false:.2%} | {effect.text()} | {power:.2%} | "
            f"{effect.look.mean():.1f} |"
        )
    return [*rows, ""]


def _experiments(experiments: int) -> list[str]:
    """Return the part on users: unit sums of returning users, as reports see them."""
    names = ("fixed, last look only", "naive", "group sequential", "always valid")
    nothing, error = _play(experiments, 0.0, seed=SEED + 1)
    lift = math.expm1(DRIFT * error)
    effect, _ = _play(experiments, lift, seed=SEED + 2)
    return [
        "## On users that come back",
        "",
        f"{experiments:,} experiments each (seeds {SEED + 1}, {SEED + 2}) of {USERS:,} users, half "
        f"in either arm, over {LOOKS} days with a look at the end of each: half of the users come "
        "on the first three days, and come back with Poisson(0.7) pages a day; clicks on a page "
        "with a probability of their own, Beta(4, 6). PageCTR from cumulative sums by `compare`, "
        f"looks by `monitor`, planned for {USERS:,} users and {LOOKS} days. The lift is "
        f"{lift:.1%}, 2.8 standard errors.",
        "",
        "| rule | false positives | power | mean look of stopping with the effect (14 when it does "
        "not) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {nothing[name].text()} | {effect[name].text()} | "
            f"{effect[name].look.mean():.1f} |"
            for name in names
        ),
        "",
    ]


def _play(experiments: int, lift: float, *, seed: int) -> tuple[dict[str, Outcomes], float]:
    """Return what every rule did, and the mean standard error of log(1 + lift) at the end."""
    rng = np.random.default_rng(seed)
    shown: dict[str, list[list[int]]] = {}
    errors = []
    for _ in range(experiments):
        looks = _looks(rng, lift)
        errors.append(looks[-1].log_error)
        z = np.array([math.log1p(look.relative_lift) / look.log_error for look in looks])
        shown.setdefault("naive", []).append(_signs(z, [FIXED] * LOOKS).tolist())
        for name, horizon in (
            ("fixed, last look only", Horizon.FIXED),
            ("group sequential", Horizon.GROUP_SEQUENTIAL),
            ("always valid", Horizon.ALWAYS_VALID),
        ):
            said = monitor(looks, horizon=horizon, planned_units=USERS)
            shown.setdefault(name, []).append([look.sign for look in said])
    outcomes = {name: Outcomes.of(np.array(rows), won=lift > 0) for name, rows in shown.items()}
    return outcomes, float(np.mean(errors))


def _looks(rng: np.random.Generator, lift: float) -> list[Observed]:
    """Draw the users of one experiment and return what is seen at the end of each day."""
    first_day = np.minimum(rng.geometric(0.2, USERS) - 1, LOOKS - 1)
    days = np.arange(LOOKS)
    pages = rng.poisson(0.7, (USERS, LOOKS)) * (days >= first_day[:, None])
    pages[np.arange(USERS), first_day] += 1
    treated = np.arange(USERS) % 2 == 1
    likely = np.minimum(rng.beta(4, 6, USERS) * np.where(treated, 1 + lift, 1.0), 1.0)
    clicked = rng.binomial(pages, likely[:, None])
    total_pages, total_clicked = np.cumsum(pages, axis=1), np.cumsum(clicked, axis=1)
    looks = []
    for day in days:
        seen = first_day <= day
        sums: Floats = np.column_stack([total_clicked[:, day], total_pages[:, day]]).astype(float)
        control, arm = (
            Moments.of(("clicked_pages", "pages"), sums[seen & (treated == side)])
            for side in (False, True)
        )
        found = compare(control, arm, "clicked_pages", "pages")
        if not isinstance(found, Comparison):
            raise RuntimeError(f"day {day}: {found.reason}")
        half = math.log1p(found.relative_lift_upper) - math.log1p(found.relative_lift)
        looks.append(
            Observed(int(seen.sum()), found.relative_lift, half / FIXED, (day + 1) / LOOKS)
        )
    return looks


def _signs(z: Floats, bounds: Sequence[float]) -> NDArray[np.int64]:
    return np.sign(z).astype(np.int64) * (np.abs(z) > bounds)


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    return Outcomes(
        np.concatenate([part.stopped for part in parts]),
        np.concatenate([part.look for part in parts]),
    )


if __name__ == "__main__":
    print(measure())
