"""Fits of models that read down the page: derivatives, recovery, honest errors, limits."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from ranklift.clicks import cascade, ccm, dbn, dcm, sdbn
from ranklift.clicks.em import NO_PRIOR, BetaPrior
from ranklift.clicks.keys import extend
from ranklift.clicks.likelihood import Formula, probability
from ranklift.clicks.log import NO_PAIR, ClickLog, click_log
from ranklift.clicks.model import Browsing, Fitted, score_of
from ranklift.clicks.newton import _likelihood
from ranklift.clicks.results import Floats, table
from ranklift.clicks.tails import tails_of

WORLDS: dict[str, tuple[ModuleType, Browsing]] = {
    "cascade": (cascade, cascade.Cascade()),
    "DCM": (dcm, dcm.Dcm((0.7, 0.5, 0.6, 0.4, 0.8))),
    "CCM": (ccm, ccm.Ccm(0.85, 0.9, 0.3)),
    "DBN": (dbn, dbn.Dbn(0.8)),
    "SDBN": (sdbn, sdbn.Sdbn()),
}
every_world = pytest.mark.parametrize("name", WORLDS)
QUERIES, CANDIDATES, RANKS = 25, 8, 6
PAIRS = QUERIES * CANDIDATES


def truth(seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.15, 0.7, PAIRS), rng.uniform(0.15, 0.8, PAIRS)


def log_of(name: str, pages: int, seed: int, *, short: bool = False) -> ClickLog:
    """Return a log of six rankings for each query."""
    rng = np.random.default_rng(seed)
    attractiveness, satisfaction = truth(seed)
    rankings = rng.permuted(np.tile(np.arange(CANDIDATES), (QUERIES, 6, 1)), axis=2)[:, :, :RANKS]
    query = rng.integers(0, QUERIES, pages)
    pair = rankings[query, rng.integers(0, 6, pages)] + query[:, None] * CANDIDATES
    keys = extend(np.uint64(seed), np.arange(pages)[:, None], pair)
    there = np.arange(RANKS) < (rng.integers(1, RANKS + 1, pages)[:, None] if short else RANKS)
    shown = table(keys, np.where(there, attractiveness[pair], 0.0), satisfaction[pair])
    drawn = WORLDS[name][1].sample(shown)
    return click_log(np.where(there, pair, NO_PAIR), drawn.clicked, pairs=PAIRS)


def fit(name: str, log: ClickLog, prior: BetaPrior = NO_PRIOR) -> Fitted:
    fitted = WORLDS[name][0].fit(log, prior=prior)
    assert isinstance(fitted, Fitted)
    return fitted


def errors_of(name: str, fitted: Fitted, seed: int) -> tuple[Floats, Floats]:
    """Return (estimate - truth) / error of the browsing's parameters and of all pairs'."""
    attractiveness, satisfaction = truth(seed)
    browsing = [
        (estimate.value - np.atleast_1d(getattr(WORLDS[name][1], field))) / estimate.error
        for field, estimate in fitted.parameters.items()
    ]
    pairs = [(fitted.attractiveness.value - attractiveness) / fitted.attractiveness.error]
    if fitted.satisfaction is not None:
        pairs.append((fitted.satisfaction.value - satisfaction) / fitted.satisfaction.error)
    return np.concatenate([*browsing, np.zeros(0)]), np.concatenate(pairs)


@every_world
def test_what_made_a_log_is_recovered_with_honest_errors(name: str) -> None:
    browsing, pairs = zip(
        *(errors_of(name, fit(name, log_of(name, 40_000, seed)), seed) for seed in range(10)),
        strict=True,
    )
    assert (np.abs(np.concatenate(browsing)) < 3).all()
    z = np.concatenate(pairs)
    # 2,000 or 4,000 of them: 95 +- 0.5 % within 1.96.
    assert (np.abs(z) > 3).mean() < 0.01
    assert 0.93 < (np.abs(z) < 1.96).mean() < 0.97


@every_world
def test_the_model_that_made_a_log_scores_its_own_entropy(name: str) -> None:
    log = log_of(name, 20_000, 4)
    attractiveness, satisfaction = (values[log.pair] for values in truth(4))
    browsing = WORLDS[name][1]
    p = browsing.conditional(attractiveness, satisfaction, log.clicked)
    scored = score_of(log, p, browsing.marginal(attractiveness, satisfaction))
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = np.where((p > 0) & (p < 1), -(p * np.log(p) + (1 - p) * np.log1p(-p)), 0.0)
    assert abs(scored.log_likelihood + surprise.mean()) < 4 * 0.6 / np.sqrt(p.size)
    rate = log.clicked.mean(axis=0)
    expected = browsing.marginal(attractiveness, satisfaction).mean(axis=0)
    assert (np.abs(rate - expected) < 4 * 0.5 / np.sqrt(len(log))).all()


@every_world
def test_the_log_likelihood_is_that_of_the_score(name: str) -> None:
    log = log_of(name, 3_000, 5, short=True)
    fitted = fit(name, log)
    expected = fitted.score(log).log_likelihood * log.shown.sum()
    np.testing.assert_allclose(fitted.log_likelihood[-1], expected, rtol=1e-7)


@every_world
def test_fit_of_what_a_fit_samples_is_the_fit(name: str) -> None:
    log = log_of(name, 40_000, 6)
    fitted = fit(name, log)
    keys = extend(np.uint64(7), np.arange(len(log))[:, None], log.pair)
    again = fit(name, click_log(log.pair, fitted.sample(log.pair, keys).clicked, pairs=PAIRS))
    for field, first in fitted.parameters.items():
        second = again.parameters[field]
        assert (np.abs(second.value - first.value) < 3 * second.error).all()
    z = (again.attractiveness.value - fitted.attractiveness.value) / again.attractiveness.error
    assert (np.abs(z) > 3).mean() < 0.02


FORMULAS: dict[str, Callable[[int], Formula]] = {
    "DCM": lambda pairs: Formula(
        5, pairs, False, None, lambda rank: (np.clip(rank, 0, 4),), dcm.after_click
    ),
    "CCM": lambda pairs: Formula(3, pairs, False, 0, lambda rank: (1, 2), ccm.after_click),
    "DBN": lambda pairs: Formula(1, pairs, True, 0, lambda rank: (0,), dbn.after_click),
    "SDBN": lambda pairs: Formula(0, pairs, True, None, lambda rank: (), sdbn.after_click),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_the_value(name: str) -> None:
    log = log_of(name, 400, 8, short=True)
    formula = FORMULAS[name](log.pairs)
    likelihood = _likelihood(tails_of(log), formula, BetaPrior(0.5, 1.5))
    angle = np.random.default_rng(9).uniform(0.3, 1.2, formula.size)
    here = likelihood.derivatives(angle)
    assert here.value == pytest.approx(likelihood.value(angle), rel=1e-12)
    k, h = formula.browsing, 1e-5
    blocks = here.information.blocks
    for i in [*range(k), k, k + 3, formula.size - 1]:
        aside = np.zeros(formula.size)
        aside[i] = h
        slope = (likelihood.value(angle + aside) - likelihood.value(angle - aside)) / (2 * h)
        assert here.gradient[i] == pytest.approx(slope, abs=1e-4)
        bend = (
            likelihood.derivatives(angle - aside).gradient
            - likelihood.derivatives(angle + aside).gradient
        ) / (2 * h)
        if i < k:
            found = np.concatenate([here.information.corner[i], here.information.border[:, i]])
        else:
            inner = np.zeros(formula.size - k)
            (same,) = (blocks.start == blocks.start[i - k]).nonzero()
            inner[same] = here.information.inner[blocks.at(np.full(len(same), i - k), same)]
            found = np.concatenate([here.information.border[i - k], inner])
        np.testing.assert_allclose(found, bend, atol=1e-4)


def test_errors_are_those_of_the_whole_information_matrix() -> None:
    log = log_of("DBN", 3_000, 10)
    formula = FORMULAS["DBN"](log.pairs)
    likelihood = _likelihood(tails_of(log), formula, BetaPrior(1, 1))
    information = likelihood.derivatives(np.full(formula.size, 0.7)).information
    whole = np.zeros((formula.size, formula.size))
    whole[:1, :1], whole[1:, :1], whole[:1, 1:] = (
        information.corner,
        information.border,
        information.border.T,
    )
    for parameters, entries in information.blocks.by_size():
        for own, at in zip(parameters, entries, strict=True):
            whole[np.ix_(1 + own, 1 + own)] = information.inner[at]
    assert np.linalg.eigvalsh(whole).min() > 0
    np.testing.assert_allclose(
        information.inverse_diagonal(), np.diag(np.linalg.inv(whole)), rtol=1e-8
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_likelihood_never_falls_and_ends_flat(name: str) -> None:
    trace = fit(name, log_of(name, 20_000, 11)).log_likelihood
    assert (np.diff(trace) > -1e-9 * abs(trace[-1])).all()
    assert trace[-1] - trace[-2] < 1e-2
    assert len(trace) < 20


@every_world
def test_a_weight_is_so_many_pages(name: str) -> None:
    log = log_of(name, 2_000, 12)
    weighted = ClickLog(log.pair, log.clicked, np.full(len(log), 3.0), log.pairs)
    repeated = log[np.repeat(np.arange(len(log)), 3)]
    one, other = fit(name, weighted), fit(name, repeated)
    np.testing.assert_allclose(
        one.attractiveness.value, other.attractiveness.value, atol=1e-6, equal_nan=True
    )
    np.testing.assert_allclose(one.log_likelihood[-1], other.log_likelihood[-1])


def test_one_result_is_solved_by_hand() -> None:
    # One result, clicked on 3 pages of 4: no tail says anything else.
    log = click_log([[0]] * 4, [[1], [1], [1], [0]])
    for name in WORLDS:
        fitted = fit(name, log)
        np.testing.assert_allclose(fitted.attractiveness.value, [0.75], atol=1e-6)
        np.testing.assert_allclose(fitted.attractiveness.error, [np.sqrt(3 / 16 / 4)], atol=1e-6)


def test_two_results_of_the_simplified_dbn_are_solved_by_hand() -> None:
    # 40 clicks on both, 40 on the first only, 20 on the second only, 10 on none. P(first) = 8/11;
    # second = 20/30 from the pages that skip the first, as everybody then looks at it; and
    # after a click on the first 1/2 = (1 - s) 2/3, so s = 1/4. Six equations, one maximum:
    # the second's attractiveness is 2/3 in both, so nothing pulls it aside.
    patterns = [[1, 1], [1, 0], [0, 1], [0, 0]]
    log = click_log([[0, 1]] * 4, patterns, [40, 40, 20, 10])
    fitted = fit("SDBN", log)
    assert fitted.satisfaction is not None
    np.testing.assert_allclose(fitted.attractiveness.value, [8 / 11, 2 / 3], atol=1e-5)
    np.testing.assert_allclose(fitted.satisfaction.value[0], 1 / 4, atol=1e-5)
    # The closed form takes the second for not looked at after a click on the first only.
    assert fitted.attractiveness.value[1] + 0.1 < 60 / 70


def test_a_dbn_fitted_to_users_who_never_give_up_is_the_simplified_one() -> None:
    log = log_of("SDBN", 20_000, 13)
    full, simple = fit("DBN", log), fit("SDBN", log)
    assert isinstance(full.browsing, dbn.Dbn)
    assert full.browsing.continuation > 0.995
    gained = full.log_likelihood[-1] - simple.log_likelihood[-1]
    assert -0.1 < gained < 5  # nats, for one parameter more


def test_a_cascade_is_counted_by_hand_and_rules_out_second_clicks() -> None:
    log = click_log([[0, 1, 2]] * 4, [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
    fitted = fit("cascade", log)
    # The third is looked at on one page only, the second on three.
    np.testing.assert_allclose(fitted.attractiveness.value, [1 / 4, 2 / 3, 0])
    expected = np.log(1 / 4) + 3 * np.log(3 / 4) + 2 * np.log(2 / 3) + np.log(1 / 3)
    np.testing.assert_allclose(fitted.log_likelihood, [expected])
    twice = click_log([[0, 1, 2]] * 2, [[0, 1, 0], [1, 0, 1]])
    assert fit("cascade", twice).log_likelihood[-1] == -np.inf
    scored = fitted.score(twice)
    assert scored.log_likelihood == -np.inf
    assert scored.conditional_perplexity[2] == np.inf
    assert scored.perplexity[1] < np.inf


@every_world
def test_what_a_log_says_nothing_about_has_no_error(name: str) -> None:
    patterns = [[1, 0], [0, 1], [0, 0], [1, 1] if name != "cascade" else [1, 0]]
    log = click_log([[0, 1]] * 4, patterns, [5, 5, 5, 5], pairs=3)
    fitted = fit(name, log)
    assert np.isnan([fitted.attractiveness.value[2], fitted.attractiveness.error[2]]).all()
    held = fit(name, log, BetaPrior(1, 3))
    assert held.attractiveness.value[2] == pytest.approx(1 / 4, abs=1e-4)
    assert np.isnan(held.attractiveness.error[2])


@every_world
def test_a_result_that_nobody_clicks_attracts_nobody(name: str) -> None:
    log = click_log([[0, 1]] * 2, [[1, 0], [0, 0]], [5, 5])
    assert fit(name, log).attractiveness.value[1] == 0
    shrunk = fit(name, log, BetaPrior(1, 1)).attractiveness
    assert 0.05 < shrunk.value[1] < 0.5


def test_angles_are_of_probabilities() -> None:
    np.testing.assert_allclose(probability(np.array([0.0, np.pi / 6, np.pi / 4])), [0, 0.25, 0.5])


def test_pairs_that_queries_share_are_refused_when_too_many() -> None:
    pages = np.arange(2_500)
    pair = np.stack([pages, (pages + 1) % 2_500], axis=1)
    log = click_log(pair, np.zeros_like(pair))
    with pytest.raises(ValueError, match=r"5000 parameters .* number pairs by query and document"):
        fit("SDBN", log)
