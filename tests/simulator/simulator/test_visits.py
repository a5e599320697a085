"""Sessions: what users do next depends on what they met, at the rates that were asked for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from ranklift.clicks.pbm import Pbm
from ranklift.simulator.behaviour import Actions, Behaviour, behave
from ranklift.simulator.users import Pages, Population
from ranklift.simulator.visits import Sessions, satisfied_pages, time_on_page_us
from ranklift.simulator.world import World, shown_by_query
from ranklift.v1.errors import InvalidRequest

COLUMNS = ("user", "visit", "step", "query", "time_us", "key")
# Half the clicks satisfy, so that both kinds of page are common.
EVEN = Behaviour(Pbm((0.9, 0.6)), page_size=2, attractiveness=(0.4,), satisfaction=(0.5,))
SAME_PATIENCE = Sessions(patience_sigma=0.0)


@pytest.fixture(scope="module")
def reacting(world: World) -> World:
    population = Population(users=4_000, span=timedelta(days=30))
    return replace(world, population=population, behaviour=EVEN, sessions=SAME_PATIENCE)


def act(world: World, pages: Pages) -> Actions:
    """Return what users do on pages that show the candidates as they are."""
    shown = shown_by_query(world, world.candidates)
    return behave(world.behaviour, pages.key, world.users_at(pages), shown, pages.query)


def play(world: World, who: NDArray[np.int64] | None = None) -> list[tuple[Pages, Actions]]:
    pages = world.first_pages(who)
    played = []
    while len(pages):
        played.append((pages, act(world, pages)))
        pages = world.next_pages(*played[-1])
    return played


def same(one: Pages, other: Pages) -> bool:
    return all(np.array_equal(getattr(one, c), getattr(other, c)) for c in COLUMNS)


@pytest.fixture(scope="module")
def played(reacting: World) -> list[tuple[Pages, Actions]]:
    return play(reacting)


@pytest.fixture(scope="module")
def pages(played: list[tuple[Pages, Actions]]) -> dict[str, NDArray[np.int64]]:
    """All pages by user and time, with whether they satisfied and when users left them."""
    rows = {c: np.concatenate([getattr(p, c) for p, _ in played]) for c in COLUMNS}
    rows["satisfied"] = np.concatenate(
        [satisfied_pages(SAME_PATIENCE, p.key, a) for p, a in played]
    )
    rows["left"] = np.concatenate([p.time_us + time_on_page_us(len(p), a) for p, a in played])
    order = np.lexsort((rows["step"], rows["visit"], rows["user"]))
    return {name: column[order] for name, column in rows.items()}


def within(observed: NDArray[Any], expected: float) -> bool:
    """Whether a mean is within 4 standard errors of what is expected."""
    return bool(abs(observed.mean() - expected) < 4 * observed.std() / np.sqrt(len(observed)))


def followed(pages: dict[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of pages after which the same user asked for another one."""
    return np.flatnonzero(pages["user"][1:] == pages["user"][:-1])


def test_users_go_on_by_satisfaction(reacting: World, pages: dict[str, NDArray[np.int64]]) -> None:
    # At the end of the span nobody knows whether a user went on.
    end = pages["time_us"].min() + reacting.population.span // timedelta(microseconds=1)
    known = pages["left"] < end - 60 * 60 * 1_000_000
    on = np.zeros(len(known), dtype=bool)
    rows = followed(pages)
    on[rows] = pages["visit"][rows + 1] == pages["visit"][rows]
    satisfied = pages["satisfied"]
    assert within(on[known & satisfied], 0.35)
    assert within(on[known & ~satisfied], 0.65)


def test_a_page_without_a_click_satisfies_as_often_as_asked(
    played: list[tuple[Pages, Actions]],
) -> None:
    first, actions = played[0]
    satisfied = satisfied_pages(SAME_PATIENCE, first.key, actions)
    clicked = actions.clicked.any(axis=1)
    assert within(satisfied[~clicked], 0.3)
    by_click = np.zeros(len(first), dtype=bool)
    by_click[actions.page[actions.satisfied]] = True
    np.testing.assert_array_equal(satisfied[clicked], by_click[clicked])


def test_patience_belongs_to_the_user_and_moves_the_log_odds(world: World) -> None:
    # Nothing satisfies: each user has one chance to go on, spread around 0.65.
    sessions = Sessions(patience_sigma=1.0, good_abandonment=0.0, activity_shape=1e6, gap_sigma=0.1)
    never = replace(EVEN, satisfaction=(0.0,))
    population = Population(users=3_000, span=timedelta(days=28))
    world = replace(world, behaviour=never, sessions=sessions, population=population)
    on: list[list[bool]] = [[] for _ in range(3_000)]
    for pages, _ in play(world):
        for user, step in zip(pages.user.tolist(), pages.step.tolist(), strict=True):
            on[user].append(step > 0)
    decisions = np.array([row[1:3] for row in on])  # everybody comes five times or more
    p = expit(logit(0.65) + stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000))
    assert within(decisions[:, 0], p.mean())
    assert within(decisions[:, 0] & decisions[:, 1], (p**2).mean())
    assert (p**2).mean() - p.mean() ** 2 > 0.02  # what independent decisions would miss


def test_the_next_query_is_the_same_or_near_or_any(
    reacting: World, pages: dict[str, NDArray[np.int64]]
) -> None:
    rows = followed(pages)
    rows = rows[pages["visit"][rows + 1] == pages["visit"][rows]]
    before, after = pages["query"][rows], pages["query"][rows + 1]
    queries = reacting.query_ids
    candidates = [set(reacting.candidates[q]) for q in queries]
    near = np.array(
        [[i != j and len(a & b) >= len(a) / 8 for j, b in enumerate(candidates)]
         for i, a in enumerate(candidates)]
    )  # fmt: skip
    asked = np.bincount(pages["query"][pages["step"] == 0], minlength=len(queries))
    fresh = asked / asked.sum()
    has_near = near[before].any(axis=1)
    anew = np.where(has_near, 0.5, 0.86)
    assert within((before == after) - anew * fresh[before], 0.14)
    by_chance = anew * (near[before] * fresh).sum(axis=1)
    assert within((near[before, after] - by_chance)[has_near], 0.36)


def test_near_queries_can_be_given(reacting: World) -> None:
    first, second = reacting.query_ids[:2]
    sessions = replace(SAME_PATIENCE, same_query=0.0, near_query=1.0, near={first: (second,)})
    pages = replace(reacting, sessions=sessions).first_pages()
    pages = pages[np.flatnonzero(pages.query == 0)]
    world = replace(reacting, sessions=sessions)
    on = world.next_pages(pages, act(world, pages))
    assert len(on) > 3
    assert (on.query[on.step > 0] == 1).all()
    with pytest.raises(InvalidRequest, match="not a query with candidates"):
        replace(reacting, sessions=replace(sessions, near={"no-such": ()})).first_pages()


def test_gaps_between_visits_are_log_normal_and_shorter_after_satisfaction(world: World) -> None:
    # All users alike, so that each gap tells of the law, and a span of some hundred gaps.
    sessions = Sessions(
        activity_shape=1e6, visits_per_month=60, return_effect=0.4, gap_sigma=0.7,
        go_on_satisfied=0.0, go_on_unsatisfied=0.0,
    )  # fmt: skip
    population = Population(users=150, span=timedelta(days=90))
    world = replace(world, population=population, behaviour=EVEN, sessions=sessions)
    gaps: dict[bool, list[NDArray[np.float64]]] = {True: [], False: []}
    for pages, actions in play(world):
        after = world.next_pages(pages, actions)
        here = np.flatnonzero(np.isin(pages.user, after.user))
        left = (pages.time_us + time_on_page_us(len(pages), actions))[here]
        satisfied = satisfied_pages(sessions, pages.key, actions)[here]
        # A gap that reaches beyond the span is not seen; early on, none does.
        early = left < pages.time_us.min() + timedelta(days=60) // timedelta(microseconds=1)
        early &= pages.visit[here] < 60
        gap = np.log((after.time_us - left) / 1e6)
        for kind in (True, False):
            gaps[kind].append(gap[early & (satisfied == kind)])
    mean = np.log(12 * 60 * 60) - 0.7**2 / 2
    for kind, shift in ((True, -0.4), (False, 0.0)):
        z = (np.concatenate(gaps[kind]) - mean - shift) / 0.7
        assert len(z) > 1_000
        assert stats.kstest(z, "norm").pvalue > 1e-3


def test_visits_are_gamma_poisson_at_the_asked_mean(world: World) -> None:
    # Exponential gaps have no log-normal twin; but any stationary renewal process has its rate.
    sessions = Sessions(
        go_on_satisfied=0.0, go_on_unsatisfied=0.0, return_effect=0.0, gap_sigma=0.8
    )
    quick = replace(EVEN, attractiveness=(1e-9,))
    population = Population(users=20_000, span=timedelta(days=15))
    world = replace(world, population=population, behaviour=quick, sessions=sessions)
    visits = np.zeros(population.users)
    for pages, _ in play(world):
        visits[pages.user] += 1
    assert within(visits, 3.0)
    # Rates are exponential with mean 3: their variance 9 comes on top of that of one user.
    assert 9 < visits.var() < 9 + 3 * 1.5


def test_satisfaction_brings_users_back_by_as_much_as_the_model_says(world: World) -> None:
    """Against a renewal process written with another generator, with and without satisfaction."""
    effect, sigma, days, gap_days = 0.5, 0.6, 30, 1.0
    sessions = Sessions(
        go_on_satisfied=0.0, go_on_unsatisfied=0.0, return_effect=effect, gap_sigma=sigma,
        activity_shape=1e6, visits_per_month=30 / gap_days,
    )  # fmt: skip
    population = Population(users=2_000, span=timedelta(days=days))
    rng = np.random.default_rng(5)
    found, expected = [], []
    for good in (0.0, 1.0):
        quiet = replace(EVEN, attractiveness=(1e-9,))
        one = replace(
            world, population=population, behaviour=quiet,
            sessions=replace(sessions, good_abandonment=good),
        )  # fmt: skip
        visits = np.zeros(population.users)
        for pages, _ in play(one):
            visits[pages.user] += 1
        time = rng.random(20_000) * gap_days * rng.lognormal(sigma**2 / 2, sigma, 20_000)
        count = np.zeros(20_000)
        while (time < days).any():
            count += time < days
            gap = gap_days * rng.lognormal(-(sigma**2) / 2, sigma, 20_000)
            time = time + gap * np.exp(-effect * good)
        found.append(visits)
        expected.append(count)
    for visits, count in zip(found, expected, strict=True):
        error = np.hypot(visits.std() / np.sqrt(len(visits)), count.std() / np.sqrt(len(count)))
        assert abs(visits.mean() - count.mean()) < 4 * error
    assert found[1].mean() > 1.5 * found[0].mean()


@pytest.mark.parametrize("who", [0, 7, 1_234])
def test_a_user_alone_is_the_user_in_the_crowd(
    reacting: World, played: list[tuple[Pages, Actions]], who: int
) -> None:
    comes = [(p[r], a) for p, a in played if len(r := np.flatnonzero(p.user == who))]
    alone = play(reacting, np.array([who]))
    assert len(alone) == len(comes)
    for (mine, _), (among, _) in zip(alone, comes, strict=True):
        assert same(mine, among)


def test_the_order_of_the_rows_does_not_matter(
    reacting: World, played: list[tuple[Pages, Actions]]
) -> None:
    pages, actions = played[0]
    backwards = pages[np.arange(len(pages))[::-1]]
    following = reacting.next_pages(backwards, act(reacting, backwards))
    expected = reacting.next_pages(pages, actions)
    assert same(following, expected[np.arange(len(expected))[::-1]])


def test_pages_are_in_order_of_time_within_the_span(
    reacting: World, pages: dict[str, NDArray[np.int64]]
) -> None:
    rows = followed(pages)
    assert (pages["time_us"][rows + 1] >= pages["left"][rows]).all()
    start = reacting.population.start.timestamp() * 1e6
    offset = pages["time_us"] - start
    assert offset.min() >= 0
    assert offset.max() < reacting.population.span / timedelta(microseconds=1)
    assert len(np.unique(pages["key"])) == len(pages["key"])


def test_a_planned_world_is_played_page_by_page_as_planned(world: World) -> None:
    plan = world.pages()
    played = [p for p, _ in play(world)]
    rows = {c: np.concatenate([getattr(p, c) for p in played]) for c in COLUMNS}
    order = np.lexsort((rows["step"], rows["visit"], rows["user"]))
    assert same(plan, Pages(*(rows[c][order] for c in COLUMNS)))
    who = np.array([3, 50, 119])
    mine = np.isin(plan.user, who).nonzero()[0]
    assert same(world.pages(who), plan[mine])


def test_a_reacting_world_has_no_plan(reacting: World) -> None:
    with pytest.raises(InvalidRequest, match=r"world\.sessions"):
        reacting.pages()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"go_on_unsatisfied": 1.0}, "sessions.go_on_unsatisfied"),
        ({"patience_sigma": float("nan")}, "sessions.patience_sigma"),
        ({"near_query": 0.9}, "sessions.near_query"),
        ({"visits_per_month": 0.0}, "sessions.visits_per_month"),
        ({"near_share": 0.0}, "sessions.near_share"),
    ],
)
def test_impossible_sessions_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Sessions(**change)
    assert [violation.field for violation in raised.value.violations] == [field]
