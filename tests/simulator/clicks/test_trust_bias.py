"""Trust bias: rates, what a log can tell, and recovery up to what it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranklift.clicks import pbm
from ranklift.clicks.em import NotIdentified
from ranklift.clicks.keys import extend
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.results import table
from ranklift.clicks.trust_bias import TrustBias, fit

# In the scale of a fit: plus 1, the lowest minus 0, the largest examination 1.
TRUE = TrustBias((1.0, 0.7, 0.5, 0.35), (1.0,) * 4, (0.4, 0.2, 0.1, 0.0))


def log_of(pages: int, *, pairs: int, seed: int) -> tuple[ClickLog, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(0.05, 0.95, pairs)
    shown = rng.permuted(np.tile(np.arange(pairs), (pages, 1)), axis=1)[:, :4]
    keys = extend(seed, np.arange(pages)[:, None], shown)
    return click_log(shown, TRUE.sample(table(keys, alpha[shown])).clicked), alpha


def test_samples_have_the_rates_of_the_formula() -> None:
    keys = extend(1, np.arange(60_000)[:, None], np.arange(4))
    alpha = np.array([0.2, 0.9, 0.5, 0.0])
    drawn = TRUE.sample(table(keys, alpha))
    expected = np.array([1.0 * (0.2 + 0.4 * 0.8), 0.7 * (0.9 + 0.2 * 0.1), 0.5 * (0.5 + 0.05), 0])
    np.testing.assert_allclose(TRUE.marginal(alpha[None], np.zeros((1, 4)))[0], expected)
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert (np.abs(drawn.clicked.mean(axis=0) - expected) <= 4 * error).all()
    assert not (drawn.clicked & ~drawn.examined).any()


def test_what_a_log_tells_is_recovered_with_honest_errors() -> None:
    log, alpha = log_of(60_000, pairs=60, seed=2)
    fitted = fit(log)
    for name, true in (("examination", TRUE.examination), ("minus", TRUE.minus)):
        found = fitted.parameters[name]
        assert (np.abs(found.value - true) <= 3 * found.error + 1e-9).all(), name
    z = (fitted.attractiveness.value - alpha) / fitted.attractiveness.error
    assert 0.7 < z.std() < 1.3
    assert np.abs(z).max() < 4


def test_clicks_are_predicted_better_than_without_trust() -> None:
    log, _ = log_of(20_000, pairs=30, seed=3)
    trusting, plain = fit(log).score(log), pbm.fit(log).score(log)
    assert trusting.log_likelihood > plain.log_likelihood + 1e-3


def test_the_model_that_made_a_log_scores_it_as_it_fits() -> None:
    log, _ = log_of(40_000, pairs=20, seed=4)
    fitted = fit(log)
    again = fitted.sample(log.pair, extend(5, np.arange(len(log))[:, None], log.pair)).clicked
    one, other = fitted.score(log), fitted.score(click_log(log.pair, again))
    assert abs(one.log_likelihood - other.log_likelihood) < 4 * 0.5 / np.sqrt(log.pair.size)
    np.testing.assert_allclose(one.log_likelihood * log.pair.size, fitted.log_likelihood[-1])


def test_likelihood_never_falls() -> None:
    trace = fit(log_of(3_000, pairs=12, seed=6)[0], max_iterations=100).log_likelihood
    assert (np.diff(trace) > -1e-9).all()


def test_a_log_of_one_deterministic_ranker_is_not_identified() -> None:
    with pytest.raises(NotIdentified, match="links rank 2 to rank 1"):
        fit(click_log([[0, 1]] * 4, [[1, 0], [0, 1], [1, 1], [0, 0]]))


@pytest.mark.parametrize(
    "change", [{"minus": (0.5,)}, {"plus": (2.0, 1, 1, 1)}, {"examination": ()}]
)
def test_impossible_values_are_refused(change: dict[str, Any]) -> None:
    values = {"examination": (1.0,) * 4, "plus": (1.0,) * 4, "minus": (0.0,) * 4}
    with pytest.raises(ValueError, match=r"must (be|have)"):
        TrustBias(**{**values, **change})
