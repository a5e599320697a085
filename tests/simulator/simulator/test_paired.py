"""Paired truth: the closed form where there is one, two long experiments where there is none."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from ranklift.clicks.dbn import Dbn
from ranklift.clicks.pbm import Pbm
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.compact import compact_log, script
from ranklift.simulator.paired import MEASURES, PairedUsers, live_twice, paired_lifts
from ranklift.simulator.truth import true_lifts
from ranklift.simulator.users import Population
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World


@pytest.fixture(scope="module")
def planned(world: World) -> World:
    return replace(world, behaviour=Behaviour(Dbn()), population=Population(users=3_000))


@pytest.fixture(scope="module")
def reacting(planned: World) -> World:
    return replace(
        planned, sessions=Sessions(return_effect=0.4), population=Population(span=timedelta(30))
    )


def slightly_better(world: World, ideal: Rankings) -> Rankings:
    """Return the candidates as they are, but for every eighth query in the ideal order."""
    return {
        query_id: ideal[query_id] if n % 8 == 0 else world.candidates[query_id]
        for n, query_id in enumerate(world.query_ids)
    }


def test_it_agrees_with_the_closed_form(planned: World, ideal: Rankings) -> None:
    better = slightly_better(planned, ideal)
    users = live_twice(planned, planned.candidates, better, 0, planned.population.users)
    found = paired_lifts(users)
    # Over 3,000 users, whose own differences the closed form takes as they are.
    for metric, expected in true_lifts(planned, planned.candidates, better).items():
        lift = found[metric]
        assert abs(lift.relative_lift - expected.relative_lift) < 4 * lift.standard_error
        assert lift.control_value == pytest.approx(expected.control_value, rel=0.08)
        assert lift.variance_ratio > 5
    assert users.matched_pages == 1
    for metric in ("sessions_per_unit", "pages_per_unit"):
        assert found[metric].relative_lift == 0
        assert found[metric].standard_error == 0


def test_the_standard_error_is_that_of_repeats(planned: World, ideal: Rankings) -> None:
    better = slightly_better(planned, ideal)
    repeats, size = 60, 400
    # Other users of one world; another seed would make other queries popular.
    lifts = [
        paired_lifts(live_twice(planned, planned.candidates, better, size * n, size * (n + 1)))
        for n in range(repeats)
    ]
    low, high = stats.chi2(repeats - 1).ppf([5e-4, 1 - 5e-4]) / (repeats - 1)
    for metric in ("page_ctr", "dwell_per_click"):
        found = np.array([lift[metric].relative_lift for lift in lifts])
        stated = np.array([lift[metric].standard_error for lift in lifts])
        assert low < found.var(ddof=1) / (stated**2).mean() < high


def test_the_ratio_is_to_the_variance_of_independent_arms(planned: World, ideal: Rankings) -> None:
    better = slightly_better(planned, ideal)
    repeats, size = 60, 400
    stated, apart = [], []
    for start in range(0, 2 * repeats * size, 2 * size):
        middle, end = start + size, start + 2 * size
        both = live_twice(planned, planned.candidates, better, start, middle)
        others = live_twice(planned, planned.candidates, better, middle, end)
        lift = paired_lifts(both)["page_ctr"]
        stated.append(lift.variance_ratio * lift.standard_error**2)
        unpaired = PairedUsers(both.control, others.arm, 0)
        apart.append(paired_lifts(unpaired)["page_ctr"].relative_lift)
    low, high = stats.chi2(repeats - 1).ppf([5e-4, 1 - 5e-4]) / (repeats - 1)
    assert low < np.var(apart, ddof=1) / np.mean(stated) < high


@pytest.mark.parametrize("react", [False, True])
def test_a_ranker_has_no_lift_over_itself(planned: World, reacting: World, react: bool) -> None:
    world = reacting if react else planned
    users = live_twice(world, world.candidates, world.candidates, 0, 500)
    assert users.matched_pages == 1
    for lift in paired_lifts(users).values():
        assert lift.relative_lift == 0
        assert lift.standard_error == 0
        assert lift.interval() == (0, 0)


def test_what_is_looked_at_in_both_lives_is_liked_alike_wherever_it_stands(
    planned: World, ideal: Rankings
) -> None:
    everything = Behaviour(Pbm((1.0,) * 16), page_size=16)
    users = live_twice(replace(planned, behaviour=everything), planned.candidates, ideal, 0, 300)
    assert users.control[:, MEASURES.index("clicks")].sum() > 300
    np.testing.assert_array_equal(users.control, users.arm)


def test_users_who_are_pleased_come_back(reacting: World, ideal: Rankings) -> None:
    """Against users who live once, under one of the rankers."""
    size = 3_000
    users = live_twice(reacting, reacting.candidates, ideal, 0, size)
    others = live_twice(reacting, reacting.candidates, ideal, size, 3 * size)
    found = paired_lifts(users)
    apart = paired_lifts(PairedUsers(others.control[:size], others.arm[size:], 0))
    assert 0.5 < users.matched_pages < 0.99
    for metric in ("page_ctr", "user_ctr", "dwell_per_click", "sessions_per_unit"):
        lift = found[metric]
        assert lift.relative_lift - 4 * lift.standard_error > 0
        error = np.hypot(
            lift.standard_error,
            apart[metric].standard_error * np.sqrt(apart[metric].variance_ratio),
        )
        assert abs(lift.relative_lift - apart[metric].relative_lift) < 4 * error


def test_pages_match_by_user_visit_step_and_query(reacting: World, ideal: Rankings) -> None:
    logs = [compact_log(script(reacting, {"all": r}), 0, 200) for r in (reacting.candidates, ideal)]
    lives = [set(log.pages.select("page_id", "query").rows()) for log in logs]
    users = live_twice(reacting, reacting.candidates, ideal, 0, 200)
    assert users.matched == len(lives[0] & lives[1])
    assert users.control[:, MEASURES.index("pages")].sum() == len(lives[0])
    assert users.arm[:, MEASURES.index("pages")].sum() == len(lives[1])


def test_shards_and_workers_make_no_difference(reacting: World, ideal: Rankings) -> None:
    whole = live_twice(reacting, reacting.candidates, ideal, 0, 300, workers=2)
    shards = live_twice(reacting, reacting.candidates, ideal, 0, 90)
    shards = shards + live_twice(reacting, reacting.candidates, ideal, 90, 300)
    np.testing.assert_array_equal(whole.control, shards.control)
    np.testing.assert_array_equal(whole.arm, shards.arm)
    assert whole.matched == shards.matched
    assert paired_lifts(whole) == paired_lifts(shards)


def test_what_nobody_does_has_no_lift(reacting: World, ideal: Rankings) -> None:
    absent = replace(reacting, sessions=Sessions(visits_per_month=1e-9))
    users = live_twice(absent, absent.candidates, ideal, 0, 50)
    assert paired_lifts(users) == {}
    assert np.isnan(users.matched_pages)
