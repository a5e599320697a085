"""The user browsing model: EM on counts against EM on sessions, brute force, recovery."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from ranklift.clicks.counts import by_last_click, last_click_cell
from ranklift.clicks.em import BetaPrior, NotIdentified
from ranklift.clicks.keys import extend
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.results import table
from ranklift.clicks.ubm import DEFAULT_EXAMINATION, Ubm, fit

GAMMA = ((1.0,), (0.6, 0.8), (0.4, 0.3, 0.75))


def log_of(pages: int, *, pairs: int, seed: int) -> tuple[ClickLog, NDArray[np.float64]]:
    """Return a log in random orders, and the attractiveness behind it."""
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(0.1, 0.9, pairs)
    shown = rng.permuted(np.tile(np.arange(pairs), (pages, 1)), axis=1)[:, : len(GAMMA)]
    keys = extend(seed, np.arange(pages)[:, None], shown)
    return click_log(shown, Ubm(GAMMA).sample(table(keys, alpha[shown])).clicked), alpha


def em_by_session(
    log: ClickLog, iterations: int
) -> tuple[dict[tuple[int, int], float], list[float]]:
    """Return gamma by (rank, last click; 0: none) and alpha, by EM over every page."""
    gamma = {(rank, last): 0.5 for rank in range(log.ranks) for last in range(rank + 1)}
    alpha = [0.5] * log.pairs
    for _ in range(iterations):
        examined, attracted = dict.fromkeys(gamma, 0.0), [0.0] * log.pairs
        in_cell, of_pair = dict.fromkeys(gamma, 0), [0] * log.pairs
        for page, clicks in zip(log.pair.tolist(), log.clicked.tolist(), strict=True):
            last = 0
            for rank, (pair, click) in enumerate(zip(page, clicks, strict=True)):
                g, a = gamma[rank, last], alpha[pair]
                examined[rank, last] += 1 if click else g * (1 - a) / (1 - g * a)
                attracted[pair] += 1 if click else a * (1 - g) / (1 - g * a)
                in_cell[rank, last] += 1
                of_pair[pair] += 1
                last = rank + 1 if click else last
        gamma = {cell: examined[cell] / in_cell[cell] for cell in gamma}
        alpha = [a / n for a, n in zip(attracted, of_pair, strict=True)]
    return gamma, alpha


def test_fit_equals_em_on_every_session() -> None:
    log, _ = log_of(300, pairs=8, seed=1)
    fitted = fit(log, max_iterations=50, tolerance=0)
    gamma, alpha = em_by_session(log, 50)
    scale = max(gamma.values())
    for (rank, last), value in gamma.items():
        found = fitted.parameters["examination"].value[rank, last]
        assert found == pytest.approx(value / scale, abs=1e-8)
    np.testing.assert_allclose(fitted.attractiveness.value, np.array(alpha) * scale, atol=1e-8)


def test_sampled_parameters_are_recovered_with_honest_errors() -> None:
    log, alpha = log_of(60_000, pairs=100, seed=2)
    fitted = fit(log)
    found = fitted.parameters["examination"]
    for rank, row in enumerate(GAMMA):
        for last, value in enumerate(row):
            if (rank, last) != (0, 0):
                assert abs(found.value[rank, last] - value) < 3 * found.error[rank, last]
    z = (fitted.attractiveness.value - alpha) / fitted.attractiveness.error
    # 100 standard normals, not independent of each other: the scale of all is that of gamma.
    assert 0.75 < z.std() < 1.25
    assert np.abs(z).max() < 4


def test_the_model_that_made_a_log_scores_it_as_it_fits() -> None:
    log, _ = log_of(60_000, pairs=20, seed=3)
    fitted = fit(log)
    again = fitted.sample(log.pair, extend(4, np.arange(len(log))[:, None], log.pair)).clicked
    one, other = fitted.score(log), fitted.score(click_log(log.pair, again))
    assert abs(one.log_likelihood - other.log_likelihood) < 4 / np.sqrt(log.pair.size)
    np.testing.assert_allclose(one.log_likelihood * log.pair.size, fitted.log_likelihood[-1])


def test_marginal_and_conditional_are_those_of_all_click_patterns() -> None:
    """Eight patterns on three ranks: probabilities that sum to 1, and clicks of each rank."""
    attraction = np.array([[0.3, 0.9, 0.5]])
    total, by_rank = 0.0, np.zeros(3)
    for pattern in product((False, True), repeat=3):
        clicked = np.array([pattern])
        p = Ubm(GAMMA).conditional(attraction, np.zeros((1, 3)), clicked)
        joint = np.where(clicked, p, 1 - p).prod()
        total += joint
        by_rank += joint * clicked[0]
    assert total == pytest.approx(1)
    np.testing.assert_allclose(Ubm(GAMMA).marginal(attraction, np.zeros((1, 3)))[0], by_rank)


def test_samples_have_the_marginal_rates() -> None:
    attraction = np.array([0.3, 0.9, 0.5])
    keys = extend(5, np.arange(60_000)[:, None], np.arange(3))
    drawn = Ubm(GAMMA).sample(table(keys, attraction))
    expected = Ubm(GAMMA).marginal(attraction[None], np.zeros((1, 3)))[0]
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert (np.abs(drawn.clicked.mean(axis=0) - expected) < 4 * error).all()
    assert not (drawn.clicked & ~drawn.examined).any()


def test_cells_go_by_rank_and_last_click_above() -> None:
    cells = last_click_cell(np.array([[True, False, True, False], [False, False, False, True]]))
    # Rank 1: 0. Rank 2: 1, 2. Rank 3: 3, 4, 5. Rank 4: 6, 7, 8, 9.
    assert cells.tolist() == [[0, 2, 4, 9], [0, 1, 3, 6]]


def test_what_never_occurred_has_no_error_and_the_value_of_no_click() -> None:
    # Two pairs in both orders, and no click at rank 1 but where rank 2 is clicked too.
    log = click_log([[0, 1], [1, 0], [0, 1], [1, 0]], [[0, 1], [0, 0], [0, 0], [0, 1]])
    found = fit(log, prior=BetaPrior(1, 1)).parameters["examination"]
    assert found.value[1, 1] == found.value[1, 0]
    assert np.isnan(found.error[1, 1])
    assert np.isnan(found.value[0, 1])


def test_a_log_of_one_deterministic_ranker_is_not_identified() -> None:
    log = click_log([[0, 1]] * 4, [[1, 0], [0, 1], [1, 1], [0, 0]])
    with pytest.raises(NotIdentified, match="no clicked pair links rank 2"):
        fit(log)


def test_the_default_has_the_shape_of_the_log_it_came_from() -> None:
    default = Ubm(DEFAULT_EXAMINATION)
    assert default.ranks == 10
    directly_above = [row[-1] for row in default.examination[1:]]
    assert min(directly_above) > 0.65
    assert max(directly_above) == directly_above[-1] == 0.91
    for row in default.examination[2:]:
        assert row[1] < row[0]  # a click at the top keeps users from looking further down


@pytest.mark.parametrize("table_", [(), ((0.5, 0.5),), ((1.0,), (0.5,)), ((1.0,), (0.5, 1.5))])
def test_impossible_tables_are_refused(table_: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="examination"):
        Ubm(table_)


def test_counts_of_days_add_up_to_a_refit() -> None:
    log, _ = log_of(4_000, pairs=12, seed=6)
    both = by_last_click(log[:1_500]) + by_last_click(log[1_500:])
    whole = fit(log, max_iterations=30, tolerance=0)
    refit = fit(both, max_iterations=30, tolerance=0)
    np.testing.assert_allclose(refit.attractiveness.value, whole.attractiveness.value, rtol=1e-12)
