"""The misspecification matrix: fitted models as worlds, and what they forecast."""

from dataclasses import replace

import numpy as np
import pytest

from ranklift.clicks import pbm
from ranklift.clicks.em import BetaPrior
from ranklift.clicks.log import NO_PAIR
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.pbm import Pbm
from ranklift.simulator.calibration.matrix import (
    Matrix,
    Outcome,
    explored,
    forecast,
    forecasts,
    outcome_of,
    pairs_shown,
    true_lift,
    world_as,
    worlds_of,
)
from ranklift.simulator.calibration.rates import Rate
from ranklift.simulator.calibration.readout import Reading, Readings
from ranklift.simulator.users import Population
from ranklift.simulator.world import Rankings, World

PRIOR = BetaPrior(0.01, 0.09)


@pytest.fixture(scope="module")
def alike(world: World) -> World:
    """Users who differ in nothing, so that a fitted model can be exactly right."""
    return replace(world, population=Population(propensity_sigma=0, pages_per_user=4))


def known(attractiveness: list[float], examination: tuple[float, ...]) -> Fitted:
    values = np.array(attractiveness)
    return Fitted(Pbm(examination), {}, Estimate(values, 0 * values), None, np.zeros(1))


def test_a_forecast_is_worked_by_hand() -> None:
    fitted = known([0.2, 0.6, 0.4], (1.0, 0.5))
    control = np.array([[0, 1], [2, NO_PAIR]], dtype=np.int32)
    arm = np.array([[1, 0], [2, NO_PAIR]], dtype=np.int32)
    # Query 0, asked 3 times: 1 - .8 * .7 = .44, then 1 - .4 * .9 = .64. Query 1, once: .4.
    lift = (3 * 0.64 + 0.4) / (3 * 0.44 + 0.4) - 1
    assert forecast(fitted, np.array([3.0, 1.0]), control, arm) == pytest.approx(lift)


def test_pairs_are_numbered_by_query_and_candidate(world: World) -> None:
    shown = pairs_shown(world, world.candidates)
    first, second = (len(world.candidates[query_id]) for query_id in world.query_ids[:2])
    size = min(first, second, world.behaviour.page_size)
    assert shown[0, :size].tolist() == list(range(size))
    assert shown[1, :size].tolist() == list(range(first, first + size))


def test_the_explored_log_shows_results_at_several_ranks(alike: World) -> None:
    seen = explored(alike, alike.candidates, 500)
    assert len(seen.log) == seen.asked.sum()
    rank = np.broadcast_to(np.arange(seen.log.ranks), seen.log.pair.shape)
    ranks = {(p, r) for p, r in zip(seen.log.pair.ravel(), rank.ravel(), strict=True)}
    assert len(ranks) > 3 * len({p for p, _ in ranks})


def test_the_right_model_forecasts_the_truth_and_makes_the_same_world(
    alike: World, ideal: Rankings
) -> None:
    control = alike.candidates
    truth = true_lift(alike, control, ideal)
    fits = {"pbm": lambda log: pbm.fit(log, prior=PRIOR)}
    assert forecasts(alike, control, ideal, 20_000, fits)["pbm"] == pytest.approx(truth, rel=0.08)
    world = worlds_of(alike, control, 20_000, fits)["pbm"]
    assert true_lift(world, control, ideal) == pytest.approx(truth, rel=0.08)


def test_a_model_without_satisfaction_leaves_the_worlds(alike: World) -> None:
    pairs = sum(len(documents) for documents in alike.candidates.values())
    fitted = known([0.3] * pairs, alike.behaviour.browsing.examination)  # type: ignore[attr-defined]
    world = world_as(alike, fitted)
    for query_id in alike.query_ids[:3]:
        for document_id in alike.candidates[query_id]:
            appeal = world.appeal(query_id, document_id)
            assert appeal.attractiveness == 0.3
            assert appeal.satisfaction == alike.appeal(query_id, document_id).satisfaction


def test_a_pair_that_the_log_never_showed_is_an_average_one(alike: World) -> None:
    pairs = sum(len(documents) for documents in alike.candidates.values())
    values = [float("nan"), *[0.2] * (pairs - 1)]
    world = world_as(alike, known(values, (1.0,) * 10))
    query_id = alike.query_ids[0]
    assert world.appeal(query_id, alike.candidates[query_id][0]).attractiveness == pytest.approx(
        0.2
    )


def readings(decision: str, lift: float) -> Readings:
    return Readings({"page_ctr": Reading(lift, -1, 1, 0.5)}, decision=decision)


def test_a_decision_is_robust_when_most_experiments_share_it_in_every_world() -> None:
    a = outcome_of("a", 0.02, [readings("ship", 0.01), readings("ship", 0.03)], {"m": 0.01})
    found = [readings("ship", 0.0), readings("ship", 0.0), readings("none", 0.0)]
    b = outcome_of("b", 0.01, found, {"m": -0.01})
    assert a.mean_lift == pytest.approx(0.02)
    assert b.decisions == {"ship": Rate(2, 3), "none": Rate(1, 3)}
    matrix = Matrix(3, (a, b))
    assert matrix.robust
    assert matrix.least_share == pytest.approx(2 / 3)
    assert matrix.misled == (("b", "m"),)
    c = Outcome("c", 0.01, 0.0, {"none": Rate(3, 3)}, {})
    assert not Matrix(3, (a, b, c)).robust
