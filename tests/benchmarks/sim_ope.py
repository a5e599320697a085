"""Off-policy estimates in simulated worlds: those that know how users browse, and list weights.

python -m tests.benchmarks.run sim_ope
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
from scipy.special import expit, logit, ndtri

from ranklift.clicks.dbn import Dbn
from ranklift.clicks.model import Browsing
from ranklift.clicks.pbm import Pbm
from ranklift.lift.offpolicy.estimate import Demands, Estimate, estimate
from ranklift.lift.offpolicy.estimators import ESTIMATORS
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import Floats, Ints, Policy, deterministic
from ranklift.lift.offpolicy.position_model import fit_position
from ranklift.simulator.behaviour import Behaviour, behave
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.users import Population
from ranklift.simulator.world import Appeal, World, shown

REPEATS = 40
QUERIES, DOCUMENTS, SLOTS = 200, 8, 5
PAGES, USERS = 20_000, 5_000
LISTS = np.array(list(permutations(range(DOCUMENTS), SLOTS)))  # of one query
COMPARED = ("ips", "snips", "independent_ips", "position_based_doubly_robust")
LENIENT = Demands(effective_units=0, support=0)
NOISE = 0.3  # of either ranker's scores: some fifty pages' worth of whole lists then agree
BROWSING: Mapping[str, Browsing] = {"PBM": Pbm(), "DBN": Dbn()}


def measure() -> str:
    """Play the worlds and return the page."""
    lines = [
        "# Off-policy estimates in simulated worlds",
        "",
        f"{REPEATS} logs of {PAGES:,} pages of about {USERS:,} users, who differ in clickiness "
        f"(log-normal odds, sigma {Population().propensity_sigma:g}); {QUERIES} queries, "
        f"{DOCUMENTS} documents, {SLOTS} slots, attractiveness Beta(1.3, 2.7). The logger is "
        "Plackett-Luce over noisy scores with known propensities, the candidate one list a query "
        "by other noisy scores, close enough that the whole lists of some fifty pages' worth of "
        "the log speak of it; examination is learnt from each log. Clicks per page; errors are "
        "relative to the truth, which is in closed form.",
    ]
    for name, browsing in BROWSING.items():
        truth, errors = _errors(browsing)
        rmse = {each: float(np.sqrt((one**2).mean())) for each, one in errors.items()}
        lines += [
            "",
            f"## {name} world: {truth:.4f} clicks per page",
            "",
            "| estimator | bias | sd | RMSE | RMSE / that of list SNIPS |",
            "|---|---|---|---|---|",
            *(
                f"| {each} | {one.mean():+.2%} | {one.std():.2%} | {rmse[each]:.2%} | "
                f"{rmse[each] / rmse['snips']:.3f} |"
                for each, one in errors.items()
            ),
        ]
    return "\n".join(lines) + "\n"


def _errors(browsing: Browsing) -> tuple[float, Mapping[str, Floats]]:
    """Return the true value of the candidate, and the relative errors of each estimator."""
    rng = np.random.default_rng(1)
    alpha = rng.beta(1.3, 2.7, (QUERIES, DOCUMENTS))
    sigma = rng.uniform(0.1, 0.8, (QUERIES, DOCUMENTS))
    logged = logit(alpha) + NOISE * rng.standard_normal(alpha.shape)
    wanted = logit(alpha) + NOISE * rng.standard_normal(alpha.shape)
    best = np.argsort(-wanted, axis=1)[:, :SLOTS]  # (queries, slots)
    world = _world(browsing, alpha, sigma)
    truth = _truth(browsing, np.take_along_axis(alpha, best, 1), np.take_along_axis(sigma, best, 1))
    base = DOCUMENTS * np.arange(QUERIES)[:, None]
    chance = _plackett_luce(logged)
    errors: dict[str, list[float]] = {name: [] for name in COMPARED}
    for seed in range(REPEATS):
        pages = _log(replace(world, seed=seed), chance, np.random.default_rng([2, seed]))
        target = deterministic(base + best, pages.shown[:, 0] // DOCUMENTS)
        for name in COMPARED:
            one = estimate(ESTIMATORS[name], pages, target, fit=fit_position, demands=LENIENT)
            if not isinstance(one, Estimate):
                raise RuntimeError(f"seed {seed}, {name}: {one.reason}")
            errors[name].append(one.value / truth - 1)
    return truth, {name: np.array(found) for name, found in errors.items()}


def _world(browsing: Browsing, alpha: Floats, sigma: Floats) -> World:
    documents = {
        f"d{query}-{n}": Document(f"d{query}-{n}", "a document", "")
        for query in range(QUERIES)
        for n in range(DOCUMENTS)
    }
    queries = {f"q{query}": f"query {query}" for query in range(QUERIES)}
    candidates = {
        f"q{query}": tuple(f"d{query}-{n}" for n in range(DOCUMENTS)) for query in range(QUERIES)
    }
    appeals = {
        f"q{query}": {
            f"d{query}-{n}": Appeal(float(alpha[query, n]), float(sigma[query, n]))
            for n in range(DOCUMENTS)
        }
        for query in range(QUERIES)
    }
    population = Population(users=USERS, pages_per_user=PAGES / USERS)
    return World(
        "ope",
        0,
        Collection(documents, queries, {}),
        candidates,
        population,
        Behaviour(browsing=browsing, page_size=SLOTS),
        appeals,
    )


def _truth(browsing: Browsing, alpha: Floats, sigma: Floats) -> float:
    """Return the expected clicks of a page over all users, each query as often as any other."""
    users = Population().propensity_sigma * ndtri((np.arange(400) + 0.5) / 400)
    clicks = [browsing.marginal(expit(logit(alpha) + one), sigma).sum(axis=1) for one in users]
    return float(np.mean(clicks))


def _log(world: World, chance: Floats, rng: np.random.Generator) -> LoggedPages:
    """Return a log of the first `PAGES` pages, each query as often as any other."""
    planned = world.pages()
    pages = planned[np.sort(rng.permutation(len(planned))[:PAGES])]
    query = rng.permutation(np.arange(len(pages)) % QUERIES)
    luck = rng.random(len(pages))
    choice = np.array(
        [np.searchsorted(chance[q], u) for q, u in zip(query, luck, strict=True)]
    ).clip(max=len(LISTS) - 1)
    lists = LISTS[choice]  # (pages, slots)
    rankings = (
        (f"q{q}", [f"d{q}-{n}" for n in row])
        for q, row in zip(query.tolist(), lists.tolist(), strict=True)
    )
    actions = behave(
        world.behaviour,
        pages.key,
        world.users_at(pages),
        shown(world, rankings),
        np.arange(len(pages)),
    )
    clicks = actions.clicked.astype(np.float64)
    pairs = DOCUMENTS * query[:, None] + lists
    base = DOCUMENTS * np.arange(QUERIES)[:, None, None]
    return LoggedPages(
        "clicks_per_page",
        QUERIES * DOCUMENTS,
        np.unique(pages.user, return_inverse=True)[1],
        pairs,
        clicks,
        clicks,
        Policy(base + LISTS, np.diff(chance, prepend=0.0, axis=1), query),
    )


def _plackett_luce(scores: Floats) -> Floats:
    """Return the cumulated probabilities of `LISTS`, shape (queries, lists), of each query."""
    strength = np.exp(scores)
    left = np.repeat(strength.sum(axis=1)[:, None], len(LISTS), axis=1)
    chance = np.ones(left.shape)
    for slot in range(SLOTS):
        taken = strength[:, LISTS[:, slot]]
        chance, left = chance * taken / left, left - taken
    total: Ints | Floats = np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)
    return np.asarray(total)
