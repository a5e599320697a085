"""Click-through rates as models: what logs of a few pages say by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ranklift.clicks import dctr, gctr, rctr
from ranklift.clicks.em import BetaPrior
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.model import Fitted

# Two pairs in both orders; one page of one result. Clicks: pair 0 twice of three, pair 1 never.
LOG = click_log([[0, 1], [1, 0], [0, -1]], [[1, 0], [0, 0], [1, 0]])


def test_one_rate_for_everything() -> None:
    fitted = gctr.fit(LOG)
    assert fitted.parameters["rate"].value == pytest.approx(2 / 5)
    assert fitted.parameters["rate"].error == pytest.approx(np.sqrt(0.4 * 0.6 / 5))
    entropy = (2 * np.log(0.4) + 3 * np.log(0.6)) / 5
    assert fitted.score(LOG).log_likelihood == pytest.approx(entropy)
    assert fitted.log_likelihood.tolist() == pytest.approx([5 * entropy])


def test_a_rate_for_each_rank() -> None:
    fitted = rctr.fit(LOG)
    np.testing.assert_allclose(fitted.parameters["rate"].value, [2 / 3, 0])
    assert fitted.score(LOG).log_likelihood == pytest.approx(
        (2 * np.log(2 / 3) + np.log(1 / 3)) / 5
    )
    with pytest.raises(ValueError, match=r"rank 1 .* never shown"):
        rctr.fit(click_log([[0, -1]], [[1, 0]]))


def test_a_rate_for_each_pair() -> None:
    fitted = dctr.fit(LOG)
    np.testing.assert_allclose(fitted.attractiveness.value, [2 / 3, 0])
    credited = dctr.fit(LOG, prior=BetaPrior(1, 1)).attractiveness
    np.testing.assert_allclose(credited.value, [3 / 5, 1 / 4])
    np.testing.assert_allclose(credited.error[0], np.sqrt(0.6 * 0.4 / 5))


@pytest.mark.parametrize("fit", [gctr.fit, rctr.fit, dctr.fit])
def test_samples_have_the_rates_of_the_log(fit: Callable[[ClickLog], Fitted]) -> None:
    fitted = fit(LOG)
    pages = 20_000
    pair = np.tile(LOG.pair[:2], (pages // 2, 1))
    keys = np.random.default_rng(1).integers(0, 2**63, pair.shape).astype(np.uint64)
    drawn = fitted.sample(pair, keys).clicked
    expected = fitted.browsing.marginal(
        fitted.attractiveness.value[LOG.pair[:2]], np.zeros((2, 2))
    ).mean(axis=0)
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=4 * 0.5 / np.sqrt(pages))
