"""How much narrower is the truth of paired users than what an experiment sees?

python -m tests.benchmarks.run sim_paired
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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


def measure() -> str:
    """Live many populations twice and return the page."""
    planned = _world(None)
    control, arm, share = _rankings(planned)
    rows = []
    for name, world in (("planned", planned), ("reacting", _world(Sessions()))):
        # Control of one half against the arm of users who are others.
        paired: dict[str, list[float]] = {metric: [] for metric in METRICS}
        apart: dict[str, list[float]] = {metric: [] for metric in METRICS}
        errors: dict[str, list[float]] = {metric: [] for metric in METRICS}
        matched = []
        for seed in range(REPEATS):
            here = live_twice(replace(world, seed=2 * seed), control, arm, 0, USERS, workers=2)
            there = live_twice(replace(world, seed=2 * seed + 1), control, arm, 0, USERS, workers=2)
            matched.append(here.matched_pages)
            ours, theirs = paired_lifts(here), paired_lifts(there)
            for metric in METRICS:
                paired[metric].append(ours[metric].relative_lift)
                errors[metric].append(ours[metric].standard_error)
                apart[metric].append(theirs[metric].arm_value / ours[metric].control_value - 1)
        for metric in METRICS:
            one, other = np.array(paired[metric]), np.array(apart[metric])
            ratio = other.var(ddof=1) / one.var(ddof=1)
            rows.append(
                f"| {name} | {metric} | {one.mean():+.3%} | {one.std(ddof=1):.4%} | "
                f"{np.mean(errors[metric]):.4%} | {other.std(ddof=1):.3%} | **{ratio:.0f}** | "
                f"{np.mean(matched):.1%} |"
            )
    truth = true_lifts(planned, control, arm)["page_ctr"].relative_lift
    return "\n".join(
        [
            "# Paired truth",
            "",
            f"{REPEATS} populations of {USERS:,} users, about {USERS * PAGES_PER_USER:,.0f} pages, "
            "in the made-up world. The arm ranks "
            f"{share:.1%} of the queries ideally and the others as control does, for a true lift "
            f"of PageCTR near {LIFT:.1%} ({truth:+.3%} in closed form for one planned population). "
            "Paired: the same users live through both rankers. Apart: control of one population "
            "against the arm of another. A ratio of two variances from so many repeats is known "
            f"to a factor of about {np.exp(1.96 * 2 / np.sqrt(REPEATS - 1)):.1f} either way.",
            "",
            "| pages | metric | mean paired lift | sd, paired | its standard error, mean | "
            "sd, apart | variance ratio | pages that match |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Wanted: at least 30 for the lift of 0.2 %.",
        ]
    )


def _world(sessions: Sessions | None) -> World:
    ground = synthetic_ground(QUICK, 0)
    population = Population(users=USERS, pages_per_user=PAGES_PER_USER)
    return World("paired", 0, ground.collection, ground.candidates, population, sessions=sessions)


def _rankings(world: World) -> tuple[Rankings, Rankings, float]:
    """Return control, an arm that is better by about `LIFT`, and the share of its ideal queries."""
    control = dict(world.candidates)
    ideal = {
        query: tuple(sorted(ids, key=lambda d: -world.collection.grade(query, d)))
        for query, ids in control.items()
    }
    queries = list(control)
    whole = true_lifts(world, control, ideal)["page_ctr"].relative_lift
    count = max(1, round(LIFT / whole * len(queries)))
    chosen = set(queries[:: max(1, len(queries) // count)][:count])
    arm = {query: ideal[query] if query in chosen else control[query] for query in queries}
    return control, arm, len(chosen) / len(queries)
