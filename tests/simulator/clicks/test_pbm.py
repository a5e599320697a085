"""The position-based model: EM on counts against EM on sessions, recovery, errors, scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranklift.clicks.counts import by_rank, count
from ranklift.clicks.em import BetaPrior, NotIdentified
from ranklift.clicks.keys import extend, hash_id
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.pbm import DEFAULT_EXAMINATION, Pbm, examination_from_counts, fit
from ranklift.clicks.results import table

THETA = np.array([1.0, 0.6, 0.4, 0.25])


def log_of(pages: int, *, pairs: int, seed: int) -> tuple[ClickLog, NDArray[np.float64]]:
    """Return a log in random orders, and the attractiveness behind it."""
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(0.1, 0.9, pairs)
    shown = rng.permuted(np.tile(np.arange(pairs), (pages, 1)), axis=1)[:, : len(THETA)]
    keys = extend(seed, np.arange(pages)[:, None], shown)
    clicked = Pbm(tuple(THETA)).sample(table(keys, alpha[shown])).clicked
    return click_log(shown, clicked, pairs=pairs), alpha


def examination(fitted: Fitted) -> Estimate:
    return fitted.parameters["examination"]


def em_by_session(log: ClickLog, pairs: int, iterations: int) -> tuple[list[float], list[float]]:
    """Return theta and alpha by EM as the book has it: every result of every page on its own."""
    shown, clicked = log.pair, log.clicked
    ranks = shown.shape[1]
    theta, alpha = [0.5] * ranks, [0.5] * pairs
    for _ in range(iterations):
        examined, attracted = [0.0] * ranks, [0.0] * pairs
        at_rank, of_pair = [0] * ranks, [0] * pairs
        for page, clicks in zip(shown.tolist(), clicked.tolist(), strict=True):
            for rank, (pair, click) in enumerate(zip(page, clicks, strict=True)):
                t, a = theta[rank], alpha[pair]
                # P(examined | skip) and P(attracted | skip); both 1 after a click.
                examined[rank] += 1 if click else t * (1 - a) / (1 - t * a)
                attracted[pair] += 1 if click else a * (1 - t) / (1 - t * a)
                at_rank[rank] += 1
                of_pair[pair] += 1
        theta = [e / n for e, n in zip(examined, at_rank, strict=True)]
        alpha = [e / n for e, n in zip(attracted, of_pair, strict=True)]
    return [t / theta[0] for t in theta], [a * theta[0] for a in alpha]


def test_fit_equals_em_on_every_session() -> None:
    log, _ = log_of(300, pairs=8, seed=1)
    fitted = fit(log, max_iterations=50, tolerance=0)
    theta, alpha = em_by_session(log, 8, 50)
    np.testing.assert_allclose(examination(fitted).value, theta, atol=1e-8, rtol=0)
    np.testing.assert_allclose(fitted.attractiveness.value, alpha, atol=1e-8, rtol=0)


def test_one_pair_at_two_ranks_is_solved_by_hand() -> None:
    # 60 of 100 clicked at the first rank, 30 of 100 at the second: theta_2 = 1/2.
    fitted = fit(count([0, 0], [0, 1], [100, 100], [60, 30]), tolerance=1e-14)
    np.testing.assert_allclose(examination(fitted).value, [1.0, 0.5], atol=1e-4)
    np.testing.assert_allclose(fitted.attractiveness.value, [0.6], atol=1e-4)


def test_likelihood_never_falls() -> None:
    log, _ = log_of(200, pairs=10, seed=2)
    trace = fit(log, max_iterations=100, tolerance=0).log_likelihood
    assert len(trace) == 101
    assert (np.diff(trace) > -1e-9).all()


def test_sampled_parameters_are_recovered_with_honest_errors() -> None:
    log, alpha = log_of(20_000, pairs=200, seed=3)
    fitted = fit(log)
    theta = examination(fitted)
    z_theta = (theta.value - THETA)[1:] / theta.error[1:]
    z_alpha = (fitted.attractiveness.value - alpha) / fitted.attractiveness.error
    assert np.abs(z_theta).max() < 3.5
    assert theta.error[0] == 0
    # 200 standard normals: their standard deviation is 1 +- .05, four of these either way.
    assert 0.8 < z_alpha.std() < 1.2
    assert 0.9 < (np.abs(z_alpha) < 1.96).mean() < 0.99


def test_errors_are_those_of_the_observed_information() -> None:
    counts = by_rank(log_of(400, pairs=5, seed=4)[0])
    fitted = fit(counts, max_iterations=20_000, tolerance=0)
    theta = examination(fitted)
    at = np.concatenate([theta.value[1:], fitted.attractiveness.value])

    def log_likelihood(values: NDArray[np.float64]) -> float:
        theta, alpha = np.concatenate([[1.0], values[:3]]), values[3:]
        click = theta[counts.cell] * alpha[counts.pair]
        skips = counts.impressions - counts.clicks
        return float((counts.clicks * np.log(click) + skips * np.log(1 - click)).sum())

    step = 1e-4 * np.eye(len(at))
    hessian = [
        [
            (
                log_likelihood(at + i + j)
                - log_likelihood(at + i - j)
                - log_likelihood(at - i + j)
                + log_likelihood(at - i - j)
            )
            / 4e-8
            for j in step
        ]
        for i in step
    ]
    expected = np.sqrt(np.diag(np.linalg.inv(-np.array(hessian))))
    errors = np.concatenate([theta.error[1:], fitted.attractiveness.error])
    np.testing.assert_allclose(errors, expected, rtol=1e-3)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
        min_size=2,
        max_size=30,
    ),
    st.data(),
)
def test_counts_of_two_logs_add_up(
    rows: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    rows = [(pair, rank, clicks + skips + 1, clicks) for pair, rank, clicks, skips in rows]
    cut = data.draw(st.integers(1, len(rows) - 1))
    whole = count(*zip(*rows, strict=True))
    added = count(*zip(*rows[:cut], strict=True)) + count(*zip(*rows[cut:], strict=True))
    for column in ("pair", "cell", "impressions", "clicks"):
        np.testing.assert_array_equal(getattr(whole, column), getattr(added, column))


def test_examination_from_plain_arrays_is_that_of_the_fit() -> None:
    log, _ = log_of(5_000, pairs=20, seed=5)
    counts = by_rank(log)
    theta = examination_from_counts(counts.pair, counts.cell, counts.impressions, counts.clicks)
    np.testing.assert_array_equal(theta, examination(fit(counts)).value)
    np.testing.assert_allclose(theta, THETA, atol=0.06)


def test_a_log_of_one_deterministic_ranker_is_not_identified() -> None:
    with pytest.raises(NotIdentified, match="links rank 2 to rank 1"):
        examination_from_counts([0, 1, 2], [0, 1, 2], [100, 100, 100], [50, 20, 10])
    # Pairs 0 and 1 change places, which links the first two ranks; the third stays alone.
    with pytest.raises(NotIdentified, match="links rank 3 to rank 1"):
        examination_from_counts([0, 1, 0, 1, 2], [0, 1, 1, 0, 2], [9] * 5, [3] * 5)
    # A pair that nobody ever clicks says nothing about ranks.
    with pytest.raises(NotIdentified, match="links rank 2 to rank 1"):
        examination_from_counts([0, 1, 2, 2], [0, 1, 0, 1], [9] * 4, [3, 3, 0, 0])


def test_a_prior_credits_every_parameter() -> None:
    # One iteration from 1/2, where a skip is P(attracted | skip) = P(examined | skip) = 1/3:
    # ten clicks and ten skips with a prior of one each are (10 + 10/3 + 1) / 22 = 43/66.
    counts = count([0], [0], [20], [10])
    fitted = fit(counts, max_iterations=1, prior=BetaPrior(clicks=1, skips=1))
    np.testing.assert_allclose(fitted.attractiveness.value, [(43 / 66) ** 2])


def test_sample_returns_the_latents_and_depends_on_the_document_not_its_rank() -> None:
    documents = np.array([hash_id(d) for d in "abcd"], dtype=np.uint64)
    keys = extend(1, np.arange(5_000)[:, None], documents)
    everywhere = Pbm((1.0,) * 4)
    drawn = everywhere.sample(table(keys, 0.5))
    np.testing.assert_array_equal(drawn.clicked, drawn.examined & drawn.attracted)
    backwards = everywhere.sample(table(keys[:, ::-1], 0.5))
    np.testing.assert_array_equal(drawn.clicked, backwards.clicked[:, ::-1])
    assert not everywhere.sample(table(keys, 0.0)).clicked.any()


def test_examination_and_attraction_are_independent_with_the_given_rates() -> None:
    keys = extend(2, np.arange(40_000)[:, None], np.arange(4))
    drawn = Pbm(tuple(THETA)).sample(table(keys, 0.3, 0.5))
    error = np.sqrt(0.25 / 40_000)
    np.testing.assert_allclose(drawn.examined.mean(axis=0), THETA, atol=4 * error)
    np.testing.assert_allclose(drawn.clicked.mean(axis=0), 0.3 * THETA, atol=4 * error)
    np.testing.assert_allclose(drawn.satisfied.mean(axis=0), 0.15 * THETA, atol=4 * error)


def known(theta: tuple[float, ...], alpha: NDArray[np.float64]) -> Fitted:
    return Fitted(Pbm(theta), {}, Estimate(alpha, np.zeros_like(alpha)), None, np.zeros(1))


def test_score_is_worked_by_hand() -> None:
    # P(click) is 1/2 at rank 1 and 1/4 at rank 2; one click and one skip at each.
    log = click_log([[0, 0], [0, 0]], [[1, 0], [0, 1]])
    scored = known((1, 0.5), np.array([0.5])).score(log)
    np.testing.assert_allclose(scored.log_likelihood, np.log(1 / 2 * 1 / 2 * 1 / 4 * 3 / 4) / 4)
    np.testing.assert_allclose(scored.perplexity, [2.0, (1 / 4 * 3 / 4) ** -0.5])
    np.testing.assert_array_equal(scored.perplexity, scored.conditional_perplexity)


def test_the_model_that_made_a_log_scores_its_entropy() -> None:
    log, alpha = log_of(20_000, pairs=20, seed=6)
    scored = known(tuple(THETA), alpha).score(log)
    p = THETA * alpha[log.pair]
    surprise = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert abs(scored.log_likelihood + surprise.mean()) < 4 * 0.5 / np.sqrt(p.size)


def test_the_scale_is_that_of_the_rank_most_looked_at() -> None:
    fitted = fit(count([0, 0], [0, 1], [100, 100], [30, 60]), tolerance=1e-14)
    np.testing.assert_allclose(examination(fitted).value, [0.5, 1.0], atol=1e-4)
    np.testing.assert_allclose(fitted.attractiveness.value, [0.6], atol=1e-4)
    relative = examination_from_counts([0, 0], [0, 1], [100, 100], [30, 60])
    np.testing.assert_allclose(relative, [1.0, 2.0], atol=1e-3)


def test_default_examination_falls_like_a_power_of_the_rank() -> None:
    rank = np.arange(1, 11)
    np.testing.assert_allclose(DEFAULT_EXAMINATION, rank**-0.67, atol=0.09)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0], [0, 1], [1], [1]), "lengths differ"),
        (([0, -1], [0, 0], [1, 1], [0, 0]), "row 1: pair -1"),
        (([0], [0], [1], [2]), "clicks lie in"),
        (([0], [0], [float("nan")], [0]), "row 0"),
        (([0], [0], [0], [0]), "no impressions"),
    ],
)
def test_malformed_counts_are_refused(columns: tuple[list[float], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count(*columns)


def test_ranks_are_numbered_without_a_gap() -> None:
    with pytest.raises(ValueError, match=r"rank 1 .* was never shown"):
        fit(count([0, 0], [0, 2], [1, 1], [1, 1]))


def test_a_pair_that_was_never_shown_is_not_known() -> None:
    log = click_log([[0], [0]], [[1], [0]], pairs=2)
    assert np.isnan(fit(log).attractiveness.value[1])
    credited = fit(log, prior=BetaPrior(clicks=1, skips=3)).attractiveness
    scale = examination(fit(log, prior=BetaPrior(clicks=1, skips=3))).value[0]
    assert scale == 1
    assert np.isnan(credited.error[1])
    assert 0 < credited.value[1] < 0.25
