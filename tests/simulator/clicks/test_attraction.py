"""Attractiveness from features: unseen pairs, shrinkage by hand, calibration in a known world."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from ranklift.clicks.attraction import cells_of, fit, shrink
from ranklift.clicks.counts import CellCounts, count
from ranklift.clicks.dbn import Dbn
from ranklift.clicks.log import click_log
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.ubm import Ubm

GAMMA = np.array([1.0, 0.6, 0.4, 0.25])
W, STRENGTH = np.array([0.8, -0.5, -0.7]), 8.0


def world(
    pairs: int, seed: int, gamma: np.ndarray = GAMMA
) -> tuple[CellCounts, np.ndarray, np.ndarray]:
    """Return counts with very unequal impressions, features and attractiveness."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((pairs, 2))
    m = expit(np.column_stack([x, np.ones(pairs)]) @ W)
    alpha = rng.beta(STRENGTH * m, STRENGTH * (1 - m))
    shown = rng.poisson(40 * rng.gamma(0.5, 2, (pairs, 1)) * np.ones(4) / 4)
    clicks = rng.binomial(shown, gamma * alpha[:, None])
    cell = np.broadcast_to(np.arange(4), shown.shape)
    pair = np.broadcast_to(np.arange(pairs)[:, None], shown.shape)
    counts = count(pair, cell, shown, clicks)
    full = CellCounts(counts.pair, counts.cell, counts.impressions, counts.clicks, pairs, 4)
    return full, x, alpha


def test_a_rare_pair_shrinks_as_worked_by_hand() -> None:
    # Always examined: looks are impressions, and 3 clicks of 4 with 6 looks at 1/2 are 6 of 10.
    alpha, looks = shrink(count([0], [0], [4], [3]), np.ones(1), np.array([0.5]), 6.0)
    np.testing.assert_allclose([alpha[0], looks[0]], [0.6, 4])
    # One skip where half look: looks = (1 - a) / (2 - a) and a = 1 / (looks + 2), so that
    # 3 a^2 - 6 a + 2 = 0.
    alpha, _ = shrink(count([0], [0], [1], [0]), np.full(1, 0.5), np.array([0.5]), 2.0)
    assert alpha[0] == pytest.approx(1 - 1 / np.sqrt(3))


def test_a_pair_without_impressions_has_what_its_features_say() -> None:
    counts, x, _ = world(500, 1)
    more = CellCounts(counts.pair, counts.cell, counts.impressions, counts.clicks, 501, 4)
    fitted = fit(more, GAMMA, np.vstack([x, [[0.3, 0.2]]]))
    np.testing.assert_allclose(fitted.attractiveness.value[500], fitted.predict([[0.3, 0.2]]).value)


def test_a_frequent_pair_has_its_own_clicks() -> None:
    many = count([0, 0], [0, 1], [1e6, 1e6], [3e5, 1.5e5])
    alpha, _ = shrink(many, np.array([1.0, 0.5]), np.array([0.9]), 50.0)
    assert alpha[0] == pytest.approx(0.3, abs=1e-4)


def test_coefficients_are_recovered_within_three_errors() -> None:
    counts, x, _ = world(4_000, 2)
    fitted = fit(counts, GAMMA, x)
    assert (np.abs(fitted.coefficients.value - W) < 3 * fitted.coefficients.error).all()


def test_strength_is_recovered_where_everything_is_examined_and_is_near_elsewhere() -> None:
    counts, x, _ = world(4_000, 2, np.ones(4))
    found = fit(counts, np.ones(4), x).strength
    assert abs(found.value - STRENGTH) < 3 * found.error
    counts, x, _ = world(4_000, 2)
    assert STRENGTH < fit(counts, GAMMA, x).strength.value < 1.25 * STRENGTH


def test_errors_of_coefficients_are_the_spread_of_fits() -> None:
    fits = [
        fit(*world(300, 100 + seed)[:1], GAMMA, world(300, 100 + seed)[1]) for seed in range(60)
    ]
    values = np.array([one.coefficients.value for one in fits])
    errors = np.array([one.coefficients.error for one in fits])
    # The deviation of 60 is itself known to 9 %.
    ratio = values.std(axis=0) / errors.mean(axis=0)
    assert ((ratio > 0.7) & (ratio < 1.3)).all(), ratio


def test_unseen_pairs_of_the_world_are_predicted_and_errors_calibrated() -> None:
    counts, x, alpha = world(4_000, 3)
    fitted = fit(counts, GAMMA, x)
    _, new_x, new_alpha = world(4_000, 4)
    for found, truth in (
        (fitted.attractiveness, alpha),
        (fitted.predict(new_x), new_alpha),
    ):
        z = (found.value - truth) / found.error
        assert abs(z.mean()) < 0.1
        assert 0.9 < z.std() < 1.1
        assert 0.93 < (np.abs(z) < 1.96).mean() < 0.98
    # Of unseen pairs predicted to be alike, the mean is the prediction.
    predicted = fitted.predict(new_x).value
    for tenth in np.array_split(np.argsort(predicted), 10):
        assert predicted[tenth].mean() == pytest.approx(new_alpha[tenth].mean(), abs=0.03)


def test_shrinkage_beats_features_alone_and_clicks_alone() -> None:
    counts, x, alpha = world(4_000, 5)
    fitted = fit(counts, GAMMA, x)
    alone, looks = shrink(counts, GAMMA, np.full(4_000, 0.5), 1e-6)
    there = looks > 0
    error = [
        np.sqrt(((estimate - alpha)[there] ** 2).mean())
        for estimate in (fitted.attractiveness.value, fitted.predict(x).value, alone)
    ]
    assert error[0] < 0.8 * min(error[1:])


def test_a_log_and_a_browsing_give_counts_and_examination() -> None:
    log = click_log([[0, 1], [1, 0]], [[1, 0], [0, 1]])
    counts, gamma = cells_of(log, Pbm((1.0, 0.5)))
    assert (counts.cells, gamma.tolist()) == (2, [1.0, 0.5])
    counts, gamma = cells_of(log, Ubm(((1.0,), (0.5, 0.7))))
    assert (counts.cells, gamma.tolist()) == (3, [1.0, 0.5, 0.7])
    with pytest.raises(ValueError, match="Dbn"):
        cells_of(log, Dbn())


def test_what_does_not_match_is_refused() -> None:
    counts, x, _ = world(50, 6)
    with pytest.raises(ValueError, match="49 rows"):
        fit(counts, GAMMA, x[1:])
    with pytest.raises(ValueError, match="examination must be"):
        fit(counts, 0 * GAMMA, x)
    with pytest.raises(ValueError, match="row 3"):
        fit(counts, GAMMA, np.where(np.arange(50)[:, None] == 3, np.nan, x))
