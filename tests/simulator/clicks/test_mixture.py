"""A mixture: probabilities by brute force, one kind of user for each page, and recovery."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ranklift.clicks.dbn import Dbn
from ranklift.clicks.keys import extend
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.mixture import Mixture, fit
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.pbm import fit as fit_pbm
from ranklift.clicks.results import table
from ranklift.clicks.ubm import Ubm

PATIENT, HASTY = (1.0, 0.9, 0.8, 0.7, 0.6), (0.9, 0.4, 0.15, 0.06, 0.03)
TWO = Mixture((Pbm(PATIENT), Pbm(HASTY)), (0.6, 0.4))
START = Mixture((Pbm((0.8,) * 5), Pbm((0.8, 0.6, 0.4, 0.2, 0.1))), (0.5, 0.5))


def log_of(browsing: Mixture, pages: int, *, pairs: int, seed: int) -> tuple[ClickLog, np.ndarray]:
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(0.2, 0.9, pairs)
    shown = rng.permuted(np.tile(np.arange(pairs), (pages, 1)), axis=1)[:, :5]
    keys = extend(seed, np.arange(pages)[:, None], shown)
    return click_log(shown, browsing.sample(table(keys, alpha[shown])).clicked), alpha


def test_conditional_and_marginal_are_those_of_all_click_patterns() -> None:
    mixed = Mixture((Pbm((1.0, 0.5, 0.2)), Dbn(0.8)), (0.3, 0.7))
    attraction, satisfaction = np.array([[0.3, 0.9, 0.5]]), np.array([[0.5, 0.2, 0.9]])
    total, by_rank = 0.0, np.zeros(3)
    for pattern in product((False, True), repeat=3):
        clicked = np.array([pattern])
        p = mixed.conditional(attraction, satisfaction, clicked)
        joint = np.where(clicked, p, 1 - p).prod()
        parts = [one.conditional(attraction, satisfaction, clicked) for one in mixed.components]
        apart = [np.where(clicked, one, 1 - one).prod() for one in parts]
        assert joint == pytest.approx(0.3 * apart[0] + 0.7 * apart[1])
        total += joint
        by_rank += joint * clicked[0]
    assert total == pytest.approx(1)
    np.testing.assert_allclose(mixed.marginal(attraction, satisfaction)[0], by_rank)


def test_samples_have_the_marginal_rates_and_score() -> None:
    mixed = Mixture((Pbm((1.0, 0.5, 0.2)), Dbn(0.8)), (0.3, 0.7))
    attraction, satisfaction = np.array([0.3, 0.9, 0.5]), np.array([0.5, 0.2, 0.9])
    keys = extend(5, np.arange(60_000)[:, None], np.arange(3))
    clicked = mixed.sample(table(keys, attraction, satisfaction)).clicked
    expected = mixed.marginal(attraction[None], satisfaction[None])[0]
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert (np.abs(clicked.mean(axis=0) - expected) < 4 * error).all()


def test_a_page_keeps_its_component_whatever_it_shows() -> None:
    pages = extend(6, np.arange(10_000))
    one = table(extend(pages[:, None], np.arange(5)), 0.5, page_keys=pages)
    other = table(extend(pages[:, None], np.arange(7, 2, -1)), 0.5, page_keys=pages)
    kinds = TWO.component(one.page_keys(slice(None)))
    np.testing.assert_array_equal(kinds, TWO.component(other.page_keys(slice(None))))
    assert kinds.mean() == pytest.approx(0.4, abs=0.02)
    # Documents 3 and 4 are at ranks 4 and 5, then at 5 and 4: attraction does not change.
    drawn, again = TWO.sample(one), TWO.sample(other)
    both = drawn.examined[:, 3] & again.examined[:, 4]
    np.testing.assert_array_equal(drawn.attracted[both, 3], again.attracted[both, 4])


def test_one_component_is_sampled_as_it_is_alone() -> None:
    keys = extend(7, np.arange(500)[:, None], np.arange(5))
    alone = Pbm(HASTY).sample(table(keys, 0.5))
    mixed = Mixture((Pbm(HASTY),), (1.0,)).sample(table(keys, 0.5))
    np.testing.assert_array_equal(alone.clicked, mixed.clicked)


def test_sampled_parameters_are_recovered_with_honest_errors() -> None:
    log, alpha = log_of(TWO, 60_000, pairs=30, seed=1)
    fitted = fit(log, START)
    errors = {
        "weights": TWO.weights,
        "0.examination": PATIENT,
        "1.examination": HASTY,
    }
    for name, truth in errors.items():
        found = fitted.parameters[name]
        z = (found.value - np.array(truth)) / np.where(found.error > 0, found.error, np.inf)
        assert np.abs(z).max() < 3, (name, z)
    z = (fitted.attractiveness.value - alpha) / fitted.attractiveness.error
    assert np.abs(z).max() < 3.5


def test_one_component_fits_as_em_does() -> None:
    log, _ = log_of(Mixture((Pbm(PATIENT),), (1.0,)), 5_000, pairs=10, seed=2)
    ours, em = fit(log, Mixture((Pbm((0.5,) * 5),), (1.0,))), fit_pbm(log, tolerance=1e-13)
    assert ours.log_likelihood[-1] == pytest.approx(em.log_likelihood[-1], abs=1e-3)
    np.testing.assert_allclose(ours.attractiveness.value, em.attractiveness.value, atol=2e-3)
    # One from the outer product of gradients, one from the observed information.
    np.testing.assert_allclose(ours.attractiveness.error, em.attractiveness.error, rtol=0.1)


def test_a_mixture_of_pbm_and_ubm_explains_more_than_a_pbm() -> None:
    ubm = Ubm(((0.9,), (0.2, 0.8), (0.1, 0.2, 0.8), (0.1,) * 3 + (0.8,), (0.1,) * 4 + (0.8,)))
    log, _ = log_of(Mixture((Pbm(PATIENT), ubm), (0.5, 0.5)), 5_000, pairs=12, seed=3)
    both = fit(log, Mixture((Pbm((0.8,) * 5), ubm), (0.5, 0.5)))
    alone = fit_pbm(log)
    assert both.log_likelihood[-1] > alone.log_likelihood[-1] + 100
    np.testing.assert_allclose(
        both.score(log).log_likelihood * log.pair.size, both.log_likelihood[-1], rtol=1e-6
    )


def test_a_weight_counts_as_that_many_pages() -> None:
    log, _ = log_of(TWO, 2_000, pairs=8, seed=4)
    twice = ClickLog(log.pair, log.clicked, 2 * log.weight, log.pairs)
    one, two = fit(log, START), fit(twice, START)
    np.testing.assert_allclose(two.log_likelihood[-1], 2 * one.log_likelihood[-1], rtol=1e-6)
    np.testing.assert_allclose(
        two.attractiveness.error, one.attractiveness.error / np.sqrt(2), rtol=0.05
    )


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5)])
def test_impossible_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="weight"):
        Mixture((Pbm(PATIENT), Pbm(HASTY)), weights)


def test_components_that_cannot_be_fitted_are_named() -> None:
    log, _ = log_of(TWO, 100, pairs=8, seed=4)
    with pytest.raises(ValueError, match="Dbn"):
        fit(log, Mixture((Pbm(PATIENT), Dbn()), (0.5, 0.5)))
    with pytest.raises(ValueError, match="3 ranks and the log 5"):
        fit(log, Mixture((Pbm((1.0, 0.5, 0.2)),), (1.0,)))
