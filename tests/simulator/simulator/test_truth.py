"""The closed-form truth, against a page worked by hand and against what users do."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ranklift.clicks.pbm import Pbm
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.dwell import LogNormal
from ranklift.simulator.frames import EventFrames
from ranklift.simulator.truth import TrueMetrics, true_lifts, true_metrics
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.world import Rankings, World

# Two documents, one query, two users with one page each, and no difference between users.
COLLECTION = Collection(
    {"good": Document("good", "g", ""), "bad": Document("bad", "b", "")},
    {"q": "query"},
    {"q": {"good": 1}},
)
BY_HAND = World(
    "hand",
    1,
    COLLECTION,
    {"q": ("bad", "good")},
    Population(users=2, pages_per_user=1, propensity_sigma=0, dwell_sigma=0),
    Behaviour(
        browsing=Pbm((1.0, 0.5)),
        page_size=2,
        attractiveness=(0.2, 0.6),
        satisfaction=(0.0, 1.0),
        satisfied_dwell=LogNormal(np.log(100), 1e-6),
        unsatisfied_dwell=LogNormal(np.log(10), 1e-6),
    ),
)


def test_a_page_is_worked_by_hand() -> None:
    # bad, good: clicks .2 and .3; 1 - .8 * .7 = .44; (.2 * 10 + .3 * 100) / .5 = 64 s
    # good, bad: clicks .6 and .1; 1 - .4 * .9 = .64; (.6 * 100 + .1 * 10) / .7 = 87.1 s
    lifts = true_lifts(BY_HAND, {"q": ("bad", "good")}, {"q": ("good", "bad")})
    assert lifts["page_ctr"].control_value == pytest.approx(0.44)
    assert lifts["page_ctr"].arm_value == pytest.approx(0.64)
    assert lifts["page_ctr"].relative_lift == pytest.approx(0.64 / 0.44 - 1)
    assert lifts["user_ctr"].control_value == pytest.approx(0.44)  # one page each
    assert lifts["dwell_per_click"].control_value == pytest.approx(64)
    assert lifts["dwell_per_click"].arm_value == pytest.approx(61 / 0.7)


def test_a_user_clicks_unless_no_page_is_clicked() -> None:
    world = replace(BY_HAND, population=replace(BY_HAND.population, users=50, pages_per_user=4))
    pages = np.bincount(world.pages().user)
    metrics = true_metrics(world, world.candidates)
    assert metrics.page_ctr == pytest.approx(0.44)
    assert metrics.user_ctr == pytest.approx((1 - 0.56**pages).mean())


def test_the_same_ranking_has_no_lift(world: World, ideal: Rankings) -> None:
    assert [lift.relative_lift for lift in true_lifts(world, ideal, ideal).values()] == [0, 0, 0]


def observed(world: World, frames: EventFrames) -> TrueMetrics:
    user_of = frames.pages.select("impression_id", "user_id")
    return TrueMetrics(
        page_ctr=frames.clicks["impression_id"].n_unique() / len(frames.pages),
        user_ctr=frames.clicks.join(user_of, on="impression_id")["user_id"].n_unique()
        / world.population.users,
        dwell_per_click=frames.dwells.select(pl.col("dwell_ms").sum()).item()
        / len(frames.dwells)
        / 1_000,
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_the_truth_is_what_a_large_simulation_finds(
    world: World, ideal: Rankings, seed: int
) -> None:
    large = replace(world, seed=seed, population=Population(users=40_000))
    truth = true_metrics(large, ideal)
    frames = simulate(large, SimulatedRanker(ideal, "ideal", "1"))
    found = observed(large, frames)
    # Given the pages, clicks on different pages are independent: binomial errors are upper bounds.
    page_error = np.sqrt(truth.page_ctr * (1 - truth.page_ctr) / len(frames.pages))
    user_error = np.sqrt(truth.user_ctr * (1 - truth.user_ctr) / large.population.users)
    seconds = frames.dwells["dwell_ms"].to_numpy() / 1_000
    dwell_error = seconds.std() / np.sqrt(len(seconds))
    assert abs(found.page_ctr - truth.page_ctr) < 3.5 * page_error
    assert abs(found.user_ctr - truth.user_ctr) < 3.5 * user_error
    # The same user's clicks share a dwell factor, hence a little more than the binomial error.
    assert abs(found.dwell_per_click - truth.dwell_per_click) < 4 * dwell_error


def test_a_better_order_lifts_every_metric(
    world: World, as_sent: Rankings, ideal: Rankings
) -> None:
    lifts = true_lifts(world, as_sent, ideal)
    assert lifts["page_ctr"].relative_lift > 0.1
    assert lifts["user_ctr"].relative_lift > 0.03
    assert lifts["dwell_per_click"].relative_lift > 0.03
