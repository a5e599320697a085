"""Does interleaving favour nobody, and how many pages does it save?

python -m tests.benchmarks.run interleaving
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ranklift.clicks.keys import extend, mix
from ranklift.clicks.pbm import DEFAULT_EXAMINATION, Pbm
from ranklift.clicks.results import table
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Estimate, estimate
from ranklift.store.values import InterleavingMethod
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.interleaving import VOTES, interleave

SEEDS = 100
RUNS = 100
USERS, PAGES_PER_USER = 100, 4
PLANNING_USERS = 100_000
QUERIES, DOCUMENTS = 60, 10
ALPHA, POWER = 0.05, 0.8
WANTED = 10
ATTRACTIVENESS = np.array([0.04, 0.10, 0.30])  # by grade, as simulated users have it
THETA = np.array(DEFAULT_EXAMINATION)
ALIKE = 2.0  # clickiness of a user is 2 Beta(2, 2)
MODELS = ("old@1", "new@1")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Queries with two rankings each, shape (queries, documents), and how attractive a document
    is, shape (queries, documents) by document."""

    name: str
    old: Ints
    new: Ints
    alpha: Floats


def measure(seeds: int = SEEDS, runs: int = RUNS) -> str:
    """Return the page: coverage of zero, and pages needed."""
    lines = [
        "# Does interleaving favour nobody, and how many pages does it save?",
        "",
        f"Users look at rank r with the examination of a large web-search log and differ in "
        f"clickiness (2 Beta({ALIKE:g}, {ALIKE:g})); {PAGES_PER_USER} pages each, {QUERIES} "
        f"queries, {DOCUMENTS} documents. Preferences are clustered by user.",
        "",
        "## Users without a preference",
        "",
        f"All documents attract alike (0.2). {seeds} seeds of {USERS} users. *Noisy*: the new "
        "ranking is the old one with noise. *Moved up*: it is the old one with its first document "
        "put further down. In brackets: the exact 95 % interval of the coverage; the standard "
        "error of the mean.",
        "",
        "| rankings | method | 95 % intervals that hold 0 | mean preference |",
        "|---|---|---|---|",
        *_no_preference(seeds),
        "",
        "Balanced interleaving favours one of two rankings that are shifted against each other: a "
        "known fault, and the reason why it is not the default.",
        "",
        "## A planted preference",
        "",
    ]
    return "\n".join([*lines, *_planted(runs)]) + "\n"


def _no_preference(seeds: int) -> Iterator[str]:
    rng = np.random.default_rng(1)
    flat = np.full((QUERIES, DOCUMENTS), 0.2)
    old = np.tile(np.arange(DOCUMENTS), (QUERIES, 1))
    noisy = np.argsort(old + rng.normal(0, 2, old.shape), axis=1)
    moved = np.array([[*range(1, p), 0, *range(p, DOCUMENTS)] for p in 2 + np.arange(QUERIES) % 8])
    for world in (World("noisy", old, noisy, flat), World("moved up", old, moved, flat)):
        for method in InterleavingMethod:
            found = [_preference(world, method, [2, seed], USERS) for seed in range(seeds)]
            held = sum(_interval(one)[0] <= 0 <= _interval(one)[1] for one in found)
            exact = stats.binomtest(held, seeds).proportion_ci()
            mean = float(np.mean([one.value for one in found]))
            error = float(np.std([one.value for one in found], ddof=1) / math.sqrt(seeds))
            yield (
                f"| {world.name} | {method} | {held / seeds:.1%} ({exact.low:.1%} to "
                f"{exact.high:.1%}) | {mean:+.4f} ({error:.4f}) |"
            )


def _planted(runs: int) -> Iterator[str]:
    rng = np.random.default_rng(3)
    grade = rng.choice(3, (QUERIES, DOCUMENTS), p=(0.6, 0.25, 0.15))
    noise = rng.normal(0, 1, (2, QUERIES, DOCUMENTS))
    old = np.argsort(-(grade + 1.1 * noise[0]), axis=1)
    new = np.argsort(-(grade + 0.9 * noise[0] + 0.2 * noise[1]), axis=1)
    world = World("planted", old, new, ATTRACTIVENESS[grade])
    plans = _plans(world)
    factor = (stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)) ** 2
    # Of both arms together: each needs factor (V + V) / gap^2.
    needed = {name: 4 * factor * variance / gap**2 for name, (_, gap, variance) in plans.items()}
    yield (
        f"Documents attract by grade ({', '.join(map(str, ATTRACTIVENESS.tolist()))}); the new "
        "ranker reads the grades with a little less noise. Pages for "
        f"{POWER:.0%} power at {ALPHA:.0%}, both arms together: for A/B from the exact chances of "
        f"{PLANNING_USERS:,} users, for interleaving from {runs} runs of {USERS} users, with the "
        "95 % interval of that estimate. *Power there*: the part of so many fresh runs at that "
        "size that found the difference."
    )
    yield from (
        "",
        "| measured by | effect | pages | fewer than PageCTR | fewer than UserCTR | power there |",
        "|---|---|---|---|---|---|",
    )
    for name, (lift, gap, _) in plans.items():
        pages = needed[name] * PAGES_PER_USER
        power = _power_ab(world, name, gap, pages, runs)
        yield f"| A/B, {name} | {lift:+.2%} | {pages:,.0f} | | | {power:.0%} |"
    for method in InterleavingMethod:
        found = [_preference(world, method, [4, run], USERS) for run in range(runs)]
        values = np.array([one.value for one in found])
        mean, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(runs))
        variance = float(np.mean([one.variance for one in found])) * USERS
        units, most, least = (
            factor * variance / v**2 for v in (mean, mean - 2 * error, mean + 2 * error)
        )
        pages = units * PAGES_PER_USER
        at_size = [_preference(world, method, [5, run], math.ceil(units)) for run in range(runs)]
        power = float(np.mean([_interval(one)[0] > 0 for one in at_size]))
        ratios = [needed[name] / units for name in ("PageCTR", "UserCTR")]
        yield (
            f"| {method} | {mean:+.4f} | {pages:,.0f} ({least * PAGES_PER_USER:,.0f} to "
            f"{most * PAGES_PER_USER:,.0f}) | {ratios[0]:.0f} times | {ratios[1]:.0f} times | "
            f"{power:.0%} |"
        )
    yield from (
        "",
        f"Wanted: at least {WANTED} times fewer. The preference says which ranking is better on "
        "the same page, not by how much a metric moves: an A/B test decides on that.",
    )


def _plans(world: World) -> dict[str, tuple[float, float, float]]:
    """Return lift, absolute gap and variance by user of both A/B metrics, from exact chances."""
    rng = np.random.default_rng(6)
    query, clickiness = _visits(rng, PLANNING_USERS)
    old, new = (
        1 - np.prod(1 - _chances(world, ranking, query, clickiness), axis=2)
        for ranking in (world.old, world.new)
    )  # (users, pages): the chance of a click on the page
    clicking = [1 - np.prod(1 - page, axis=1) for page in (old, new)]
    page_variance = float((old * (1 - old)).sum(axis=1).mean() + old.sum(axis=1).var())
    user = float(clicking[0].mean())
    return {
        "PageCTR": (
            float(new.mean() / old.mean() - 1),
            float(new.mean() - old.mean()),
            page_variance / PAGES_PER_USER**2,
        ),
        "UserCTR": (
            float(clicking[1].mean() / user - 1),
            float(clicking[1].mean()) - user,
            user * (1 - user),
        ),
    }


def _power_ab(world: World, name: str, gap: float, pages: float, runs: int) -> float:
    """Return the part of A/B tests of so many pages that find the difference."""
    users = round(pages / PAGES_PER_USER / 2)
    found = 0
    for run in range(runs):
        rng = np.random.default_rng([7, run])
        arms = []
        for ranking in (world.old, world.new):
            query, clickiness = _visits(rng, users)
            none = np.prod(1 - _chances(world, ranking, query, clickiness), axis=2)
            clicked = rng.random(none.shape) < 1 - none
            arms.append(clicked.any(axis=1) if name == "UserCTR" else clicked.mean(axis=1))
        test = stats.ttest_ind(arms[1].astype(float), arms[0].astype(float), equal_var=False)
        found += test.pvalue < ALPHA and (test.statistic > 0) == (gap > 0)
    return found / runs


def _visits(rng: np.random.Generator, users: int) -> tuple[Ints, Floats]:
    query = rng.integers(0, QUERIES, (users, PAGES_PER_USER))
    return query, 2 * rng.beta(ALIKE, ALIKE, users)


def _chances(world: World, ranking: Ints, query: Ints, clickiness: Floats) -> Floats:
    """Return the chance of a click at each rank; (users, pages, ranks)."""
    alpha = np.take_along_axis(world.alpha, ranking, axis=1)[query]
    return np.asarray(THETA * np.minimum(alpha * clickiness[:, None, None], 1))


def _preference(world: World, method: InterleavingMethod, seed: list[int], users: int) -> Estimate:
    """Return the preference for the new ranking of so many users, clustered by user."""
    query, clickiness = _visits(np.random.default_rng(seed), users)
    net = np.zeros(users)
    keys = extend(mix(np.array(seed, dtype=np.uint64)).sum(), np.arange(users * PAGES_PER_USER))
    for visit, one in enumerate(query.ravel().tolist()):
        rankings = {0: world.old[one].tolist(), 1: world.new[one].tolist()}
        draws = KeyedDraws(f"{seed}/{visit}")
        order, page = interleave(method, rankings, MODELS, DOCUMENTS, draws)
        shown = np.array(order)
        user = visit // PAGES_PER_USER
        attraction = np.minimum(world.alpha[one, shown] * clickiness[user], 1)
        seen = table(extend(keys[visit], shown)[None], attraction[None])
        clicked = Pbm().sample(seen).clicked[0]
        if clicked.any():
            net[user] += VOTES[page.method](page, clicked.tolist(), 1, 0)
    columns = np.column_stack([net, np.full(users, float(PAGES_PER_USER))])
    found = estimate(Moments.of(("net", "pages"), columns), "net", "pages")
    assert isinstance(found, Estimate)
    return found


def _interval(found: Estimate) -> tuple[float, float]:
    half = float(stats.t.ppf(1 - ALPHA / 2, found.count - 1)) * math.sqrt(found.variance)
    return found.value - half, found.value + half
