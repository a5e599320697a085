"""How far off-policy estimates are from the truth, in a world that fits them and in one that does
not, and whether their intervals hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import numpy as np
from scipy.special import betaincinv

from ranklift.lift.offpolicy.cascade_model import fit_cascade
from ranklift.lift.offpolicy.estimate import Demands, Estimate, Fit, estimate
from ranklift.lift.offpolicy.estimators import ESTIMATORS
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import Floats, Ints, Policy, deterministic
from ranklift.lift.offpolicy.position_model import fit_position

REPEATS = 40
USERS, PAGES_PER_USER = 1_000, 5
QUERIES, DOCUMENTS = 50, 5
THETA = np.array([1.0, 0.69, 0.57, 0.46, 0.37])
CONTINUATION = 0.9
# Clickiness of a user is 2 Beta(2, 2): 1 on average, and very different from the next user's.
ALIKE = 2.0
DEMANDS = Demands()
LENIENT = Demands(effective_units=1, support=0)


@dataclass(frozen=True)
class World:
    """Clicks on lists of pairs: what is likely, and what happens."""

    name: str
    alpha: Floats  # (pairs,)
    sigma: Floats | None  # (pairs,); None: position-based

    def expected(self, lists: Ints) -> Floats:
        """Return the expected clicks of a page over all users; (lists,)."""
        users = 2 * betaincinv(ALIKE, ALIKE, (np.arange(200) + 0.5) / 200)
        return np.asarray(np.mean([self._likely(lists, one) for one in users], axis=0))

    def clicks(self, lists: Ints, clickiness: Floats, rng: np.random.Generator) -> Floats:
        """Return clicks; (lists, ranks). Going down, a click satisfies, or the user gives up."""
        likely = np.minimum(self.alpha[lists] * clickiness[:, None], 1)
        if self.sigma is None:
            looked_at = likely * THETA[: lists.shape[1]]
            return np.asarray(rng.random(lists.shape) < looked_at, dtype=np.float64)
        clicks, looks = np.zeros(lists.shape), np.ones(len(lists), dtype=bool)
        for rank in range(lists.shape[1]):
            clicked = looks & (rng.random(len(lists)) < likely[:, rank])
            satisfied = clicked & (rng.random(len(lists)) < self.sigma[lists[:, rank]])
            looks &= ~satisfied & (rng.random(len(lists)) < CONTINUATION)
            clicks[:, rank] = clicked
        return clicks

    def _likely(self, lists: Ints, clickiness: float) -> Floats:
        likely = np.minimum(self.alpha[lists] * clickiness, 1)
        if self.sigma is None:
            return np.asarray((likely * THETA[: lists.shape[1]]).sum(axis=1))
        goes_on = CONTINUATION * (1 - likely * self.sigma[lists])
        looks = np.cumprod(np.column_stack([np.ones(len(lists)), goes_on[:, :-1]]), axis=1)
        return np.asarray((looks * likely).sum(axis=1))


@dataclass(frozen=True)
class Scenario:
    """Who logged: `ranks` results of each query, one fixed list or Plackett-Luce over all lists."""

    name: str
    ranks: int
    stochastic: bool
    estimators: tuple[tuple[str, str, Fit], ...]  # label, estimator, click model


POSITION, KNOWN = fit_position, partial(fit_position, examination=tuple(THETA))
SCENARIOS = (
    Scenario(
        "stochastic",
        3,
        True,
        tuple(
            (name, name, fit_cascade if "click" in name or "cascade" in name else POSITION)
            for name in ESTIMATORS
        ),
    ),
    Scenario(
        "deterministic",
        DOCUMENTS,
        False,
        (
            ("direct, position model", "direct", KNOWN),
            ("direct, cascade model", "direct", fit_cascade),
            ("position_based", "position_based", KNOWN),
            ("position_based_doubly_robust", "position_based_doubly_robust", KNOWN),
            ("click_based, cascade model", "click_based", fit_cascade),
            ("click_based_doubly_robust, cascade model", "click_based_doubly_robust", fit_cascade),
        ),
    ),
)


def measure(repeats: int = REPEATS) -> str:
    """Return the page: one table for each logger and world."""
    lines = [
        "# How far are off-policy estimates from the truth?",
        "",
        f"{repeats} logs of {USERS:,} users with {PAGES_PER_USER} pages each, {QUERIES} queries, "
        f"{DOCUMENTS} documents. Users differ in clickiness (2 Beta({ALIKE:g}, {ALIKE:g})). The "
        "candidate ranks by attractiveness. Stochastic logger: Plackett-Luce over noisy scores, "
        "3 ranks, propensities known, examination learnt from the log. Deterministic logger: one "
        f"list a query by noisy scores, {DOCUMENTS} ranks, no propensities, examination given. The "
        f"DBN world satisfies by document and goes on with {CONTINUATION}. Relative to the truth; "
        "coverage of 95 % intervals by user; refused: by the default demands "
        f"({DEMANDS.effective_units:g} effective units, support {DEMANDS.support:.0%}).",
    ]
    for scenario in SCENARIOS:
        for world in _worlds():
            truth, rows = _table(scenario, world, repeats)
            lines += [
                "",
                f"## {scenario.name} logger, {world.name} world: {truth:.4f} clicks per page",
                "",
                "| estimator | bias | sd | RMSE | coverage | effective units | refused |",
                "|---|---|---|---|---|---|---|",
                *rows,
            ]
    return "\n".join(lines) + "\n"


def _worlds() -> Iterable[World]:
    rng = np.random.default_rng(1)
    alpha = 0.5 * rng.beta(1, 2, QUERIES * DOCUMENTS)
    yield World("PBM", alpha, None)
    yield World("DBN", alpha, rng.beta(2, 2, QUERIES * DOCUMENTS))


def _table(scenario: Scenario, world: World, repeats: int) -> tuple[float, list[str]]:
    rng = np.random.default_rng(2)
    scores = np.log(world.alpha).reshape(QUERIES, DOCUMENTS)
    noisy = 0.5 * (scores - scores.mean()) + 0.7 * rng.standard_normal(scores.shape)
    base = DOCUMENTS * np.arange(QUERIES)[:, None]
    best = (base + np.argsort(-scores, axis=1))[:, : scenario.ranks]
    truth = float(world.expected(best).mean())
    found: dict[str, list[Estimate]] = {label: [] for label, _, _ in scenario.estimators}
    refused = dict.fromkeys(found, 0)
    for seed in range(repeats):
        pages, target = _draw(scenario, world, noisy, best, np.random.default_rng([3, seed]))
        for label, name, fit in scenario.estimators:
            one = estimate(ESTIMATORS[name], pages, target, fit=fit, demands=LENIENT)
            if isinstance(one, Estimate):
                found[label].append(one)
            weak = isinstance(one, Estimate) and (
                one.effective_units < DEMANDS.effective_units or one.support < DEMANDS.support
            )
            refused[label] += weak or not isinstance(one, Estimate)
    return truth, [_row(label, found[label], truth, refused[label], repeats) for label in found]


def _draw(
    scenario: Scenario, world: World, scores: Floats, best: Ints, rng: np.random.Generator
) -> tuple[LoggedPages, Policy]:
    pages = USERS * PAGES_PER_USER
    query = rng.permutation(np.arange(pages) % QUERIES)  # the same for all: the truth is a mean
    units = np.repeat(np.arange(USERS), PAGES_PER_USER)
    clickiness = 2 * rng.beta(ALIKE, ALIKE, USERS)[units]
    logger = None
    if scenario.stochastic:
        logger = _plackett_luce(scores, scenario.ranks, query)
        chance = np.cumsum(logger.probabilities, axis=1)[query]
        choice = (rng.random((pages, 1)) > chance[:, :-1]).sum(axis=1)
        shown = logger.lists[query, choice]
    else:
        base = DOCUMENTS * np.arange(QUERIES)[:, None]
        shown = (base + np.argsort(-scores, axis=1))[query, : scenario.ranks]
    clicks = world.clicks(shown, clickiness, rng)
    logged = LoggedPages(
        "clicks_per_page", QUERIES * DOCUMENTS, units, shown, clicks, clicks, logger
    )
    return logged, deterministic(best, query)


def _plackett_luce(scores: Floats, ranks: int, query: Ints) -> Policy:
    orders = np.array(list(permutations(range(DOCUMENTS), ranks)))
    strength = np.exp(scores)
    left = np.repeat(strength.sum(axis=1)[:, None], len(orders), axis=1)
    chance = np.ones(left.shape)
    for rank in range(ranks):
        taken = strength[:, orders[:, rank]]
        chance, left = chance * taken / left, left - taken
    lists = DOCUMENTS * np.arange(QUERIES)[:, None, None] + orders
    return Policy(lists, chance / chance.sum(axis=1, keepdims=True), query)


def _row(label: str, found: list[Estimate], truth: float, refused: int, repeats: int) -> str:
    if not found:
        return f"| {label} | | | | | | {refused} of {repeats} |"
    errors = np.array([one.value for one in found]) / truth - 1
    covered = sum(one.interval.lower <= truth <= one.interval.upper for one in found)
    effective = np.mean([one.effective_units for one in found])
    return (
        f"| {label} | {errors.mean():+.2%} | {errors.std():.2%} | "
        f"{np.sqrt((errors**2).mean()):.2%} | {covered} of {len(found)} | {effective:.0f} | "
        f"{refused} of {repeats} |"
    )
