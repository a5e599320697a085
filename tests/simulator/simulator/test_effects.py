"""What an arm does beyond its ranking: its size, how it fades, and the truth of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from ranklift.simulator.effects import Effect, affected
from ranklift.simulator.truth import effect_for, true_lifts, true_metrics
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import (
    Assignment,
    SimulatedRanker,
    simulate,
    simulate_experiment,
)
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

DAY_US = 86_400_000_000


def test_novelty_fades_and_primacy_grows() -> None:
    days = np.array([0, 5, 50]) * DAY_US
    new = Effect(0.1, novelty=1.0).at(days)
    np.testing.assert_allclose(new, 0.1 * (1 + np.exp([0.0, -1.0, -10.0])))
    learnt = Effect(0.1, novelty=-0.5).at(days)
    np.testing.assert_allclose(learnt, 0.1 * (1 - 0.5 * np.exp([0.0, -1.0, -10.0])))


@pytest.mark.parametrize("sessions", [None, Sessions()], ids=["planned", "reacting"])
def test_time_counts_from_the_first_page_of_the_user(
    world: World, sessions: Sessions | None
) -> None:
    """Half the effect is gone within a microsecond: the first page has all of it, no other has."""
    world = replace(world, sessions=sessions)
    pages = world.first_pages()
    users = world.users_at(pages)
    sudden = Effect(1.0, novelty=1.0, fades_after=timedelta(microseconds=1))
    arm = np.zeros(len(pages), dtype=np.int64)
    first = affected(world, users, pages, [sudden], arm)
    np.testing.assert_allclose(first.log_propensity - users.log_propensity, 2.0)
    later = replace(pages, time_us=pages.time_us + 1_000)
    second = affected(world, users, later, [sudden], arm)
    np.testing.assert_allclose(second.log_propensity - users.log_propensity, 1.0)


def test_an_effect_touches_its_own_arm_only(world: World) -> None:
    pages = world.pages()
    users = world.users_at(pages)
    arm = pages.user % 2
    both = affected(world, users, pages, [None, Effect(0.3)], arm)
    np.testing.assert_allclose(both.log_propensity - users.log_propensity, 0.3 * arm)


@pytest.mark.parametrize("lift", [0.0047, 0.012, -0.05])
@pytest.mark.parametrize("novelty", [0.0, 1.0])
def test_the_effect_for_a_lift_makes_it(
    world: World, ideal: Rankings, lift: float, novelty: float
) -> None:
    effect = effect_for(world, ideal, lift, Effect(1.0, novelty=novelty))
    made = true_lifts(world, ideal, ideal, effect)["page_ctr"].relative_lift
    assert made == pytest.approx(lift, abs=1e-7)
    assert effect.novelty == novelty


def test_no_effect_makes_more_clicks_than_looks(world: World, ideal: Rankings) -> None:
    with pytest.raises(InvalidRequest, match=r"lift: 9\.0, must be in"):
        effect_for(world, ideal, 9.0)


def test_the_log_shows_the_effect_that_the_truth_knows(world: World, ideal: Rankings) -> None:
    large = replace(world, population=Population(users=40_000))
    effect = Effect(0.3, novelty=1.0)
    truth = true_metrics(large, ideal, effect).page_ctr
    frames = simulate(large, SimulatedRanker(ideal, "ideal", "1", effect=effect))
    found = frames.clicks["impression_id"].n_unique() / len(frames.pages)
    assert truth > 1.05 * true_metrics(large, ideal).page_ctr
    assert abs(found - truth) < 4 * np.sqrt(truth * (1 - truth) / len(frames.pages))


def test_the_other_arm_lives_as_before(world: World, ideal: Rankings) -> None:
    def assign(user_id: str) -> Assignment:
        arm = "on" if int(user_id[-1]) % 2 else "off"
        return Assignment("e", 1, "default", arm, user_id, 0)

    plain = SimulatedRanker(ideal, "ideal", "1")
    lifted = replace(plain, effect=Effect(2.0))
    frames = simulate_experiment(world, {"off": plain, "on": lifted}, assign)
    alone = simulate(world, plain)
    by_arm: dict[bool, tuple[set[str], set[str]]] = {}
    for on in (False, True):

        def clicks(ids: Any, on: bool = on) -> set[str]:
            return {i for i in ids if bool(int(i.split("-")[1]) % 2) == on}

        by_arm[on] = (clicks(frames.clicks["event_id"]), clicks(alone.clicks["event_id"]))
    assert by_arm[False][0] == by_arm[False][1]
    assert by_arm[True][0] > by_arm[True][1]  # the same clicks and more: pairing is kept


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"log_odds": np.inf}, "effect.log_odds"),
        ({"novelty": np.nan}, "effect.novelty"),
        ({"fades_after": timedelta(0)}, "effect.fades_after"),
    ],
)
def test_impossible_effects_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        replace(Effect(0.1), **change)
    assert [violation.field for violation in raised.value.violations] == [field]
