"""How much narrower is the truth of paired users than what an experiment sees?

python -m tests.benchmarks.run sim_paired
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ranklift.cli.collections import synthetic_ground
from ranklift.simulator.paired import live_twice, paired_lifts
from ranklift.simulator.synthetic import QUICK
from ranklift.simulator.truth import true_lifts
from ranklift.simulator.users import Population
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World

USERS, PAGES_PER_USER, REPEATS = 10_000, 5.0, 40
LIFT = 0.002
METRICS = ("page_ctr", "user_ctr", "dwell_per_click")
# By how much the scores of two rankers differ; those of control have a standard deviation of 1
# beside the grade.
NOISES = (0.05, 0.1, 0.2, 0.4)


def measure() -> str:
    """Live many populations twice, with arms ever less like control, and return the page."""
    planned, reacting = _world(None), _world(Sessions())
    control = _ranked(planned, lambda q, n: _noise(q, n, 0))
    few, share = _few(planned, control)
    arms = {f"{share:.1%} of the queries ranked ideally": few}
    arms |= {f"scores differ by {noise:g}": _noisy(planned, control, noise) for noise in NOISES}
    rows = []
    for name, arm in arms.items():
        moved = np.mean([list(control[q])[:10] != list(arm[q])[:10] for q in control])
        truth = true_lifts(planned, control, arm)["page_ctr"].relative_lift
        for kind, world in (("planned", planned), ("reacting", reacting)):
            cells = " | ".join(_repeated(world, control, arm))
            rows.append(f"| {name} | {moved:.0%} | {truth:+.2%} | {kind} | {cells} |")
    return "\n".join(
        [
            "# Paired truth",
            "",
            f"{REPEATS} times {USERS:,} users of one made-up world, about "
            f"{USERS * PAGES_PER_USER:,.0f} planned pages each time. Every arm is tuned to a true "
            f"lift of PageCTR of {LIFT:.1%}, in closed form for planned pages: one ranks few "
            "queries ideally and the others as control does; the others rank all queries by "
            "control's scores with noise of the given standard deviation (control's own is 1) and "
            "a little more weight on the grade. Paired: the same users live through both rankers. "
            "Apart: control of some users against the arm of others, who are as many. A ratio of "
            "two variances from so many repeats is known to a factor of about "
            f"{np.exp(1.96 * 2 / np.sqrt(REPEATS - 1)):.1f} either way.",
            "",
            "| arm | rankings that differ | true lift | pages | mean paired lift | sd, paired "
            "| its standard error, mean | sd, apart | ratio of the variances: PageCTR | UserCTR "
            "| dwell per click | pages that match |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Wanted: at least 30 at a lift of 0.2 %. Pairing cancels what the two pages share: two "
            "rankers that order every page differently share little, however small their "
            "difference in the mean.",
        ]
    )


def _repeated(world: World, control: Rankings, arm: Rankings) -> Iterator[str]:
    """Yield the cells of PageCTR, and the ratio of the variances of every metric."""
    paired: dict[str, list[float]] = {metric: [] for metric in METRICS}
    apart: dict[str, list[float]] = {metric: [] for metric in METRICS}
    errors, matched = [], []
    # Other users of one world: another seed would make other queries popular in each repeat.
    for start in range(0, 2 * REPEATS * USERS, 2 * USERS):
        middle, end = start + USERS, start + 2 * USERS
        here = live_twice(world, control, arm, start, middle, workers=2)
        there = paired_lifts(live_twice(world, control, arm, middle, end, workers=2))
        ours = paired_lifts(here)
        matched.append(here.matched_pages)
        errors.append(ours["page_ctr"].standard_error)
        for metric in METRICS:
            paired[metric].append(ours[metric].relative_lift)
            apart[metric].append(there[metric].arm_value / ours[metric].control_value - 1)
    lifts, others = np.array(paired["page_ctr"]), np.array(apart["page_ctr"])
    yield f"{lifts.mean():+.3%}"
    yield f"{lifts.std(ddof=1):.4%}"
    yield f"{np.mean(errors):.4%}"
    yield f"{others.std(ddof=1):.3%}"
    for metric in METRICS:
        ratio = np.var(apart[metric], ddof=1) / np.var(paired[metric], ddof=1)
        yield f"**{ratio:.0f}**" if metric == "page_ctr" else f"{ratio:.0f}"
    yield f"{np.mean(matched):.1%}"


def _world(sessions: Sessions | None) -> World:
    ground = synthetic_ground(QUICK, 0)
    population = Population(users=USERS, pages_per_user=PAGES_PER_USER)
    return World("paired", 0, ground.collection, ground.candidates, population, sessions=sessions)


def _ranked(world: World, score: Callable[[int, int], NDArray[np.float64]]) -> dict[str, list[str]]:
    """Return the candidates by grade + score(number of the query, candidates), best first."""
    grade = world.collection.grade
    ranked = {}
    for number, (query_id, ids) in enumerate(world.candidates.items()):
        scores = np.array([grade(query_id, d) for d in ids]) + score(number, len(ids))
        ranked[query_id] = [ids[row] for row in np.argsort(-scores, kind="stable")]
    return ranked


def _noise(query: int, candidates: int, of: int) -> NDArray[np.float64]:
    return np.random.default_rng([of, query]).standard_normal(candidates)


def _lift(world: World, control: Rankings, arm: Rankings) -> float:
    return true_lifts(world, control, arm)["page_ctr"].relative_lift


def _few(world: World, control: Mapping[str, list[str]]) -> tuple[Rankings, float]:
    """Return an arm that ranks as few queries ideally as it takes, and their share."""
    ideal = _ranked(world, lambda _, n: np.zeros(n))
    queries = np.random.default_rng(1).permutation(list(control)).tolist()

    def first(count: int) -> Rankings:
        chosen = set(queries[:count])
        return {q: ideal[q] if q in chosen else control[q] for q in control}

    below, above = 0, len(queries)
    while above - below > 1:
        middle = (below + above) // 2
        if _lift(world, control, first(middle)) < LIFT:
            below = middle
        else:
            above = middle
    return first(above), above / len(queries)


def _noisy(world: World, control: Mapping[str, list[str]], noise: float) -> Rankings:
    """Return an arm whose scores are control's, with noise and more weight on the grade."""
    grades = [
        np.array([world.collection.grade(query_id, d) for d in ids])
        for query_id, ids in world.candidates.items()
    ]

    def weighted(weight: float) -> Rankings:
        return _ranked(
            world, lambda q, n: _noise(q, n, 0) + noise * _noise(q, n, 1) + weight * grades[q]
        )

    def missing(weight: float) -> float:
        return _lift(world, control, weighted(weight)) - LIFT

    # The lift goes up in steps, so it is met nearly, not exactly.
    found = brentq(missing, -0.5, 1.5, xtol=1e-3)
    return weighted(float(found))
