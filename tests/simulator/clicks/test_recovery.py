"""One table over all click models that are fitted: fit, sample, fit again; and scores.

The rule for recovery: 99.73 % of standard normals lie within 3. Of n parameters
of a family, so many may lie beyond 3 standard errors as a binomial(n, 0.0027) reaches
with probability above 1 in 100: none of up to 3, one of up to 55.
Attractiveness, satisfaction and each parameter of browsing are families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from ranklift.clicks import cascade, ccm, dbn, dcm, dctr, gctr, mixture, pbm, rctr, sdbn, ubm
from ranklift.clicks.keys import Keys, extend
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.mixture import Mixture
from ranklift.clicks.model import Browsing, Estimate, Fitted
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.results import table
from ranklift.clicks.ubm import Ubm

PAGES, PAIRS, RANKS = 30_000, 24, 5
BEYOND_3 = 0.0027
KINDS = Mixture((Pbm((1.0, 0.9, 0.8, 0.7, 0.6)), Pbm((0.9, 0.4, 0.15, 0.06, 0.03))), (0.6, 0.4))
START = Mixture((Pbm((0.8,) * RANKS), Pbm((0.8, 0.6, 0.4, 0.2, 0.1))), (0.5, 0.5))


@dataclass(frozen=True)
class Case:
    """A model: how users browse in the first log, and how it is fitted."""

    name: str
    browsing: Browsing
    fit: Callable[[ClickLog], Fitted]


CASES = [
    Case("gctr", Pbm((1.0,) * RANKS), gctr.fit),
    Case("rctr", Pbm((1.0, 0.6, 0.4, 0.3, 0.2)), rctr.fit),
    Case("dctr", Pbm((1.0,) * RANKS), dctr.fit),
    Case("pbm", Pbm((1.0, 0.6, 0.4, 0.3, 0.2)), pbm.fit),
    Case("ubm", Ubm(ubm.DEFAULT_EXAMINATION[:RANKS]), ubm.fit),
    Case("cascade", cascade.Cascade(), cascade.fit),
    Case("dcm", dcm.Dcm((0.8, 0.7, 0.6, 0.5)), dcm.fit),
    Case("ccm", ccm.Ccm(0.9, 0.8, 0.5), ccm.fit),
    Case("dbn", dbn.Dbn(0.85), dbn.fit),
    Case("sdbn", sdbn.Sdbn(), sdbn.fit),
    Case("mixture", KINDS, lambda log: mixture.fit(log, START)),
]


def first_log(case: Case) -> tuple[ClickLog, Keys]:
    rng = np.random.default_rng(1)
    alpha = rng.uniform(0.2, 0.9, PAIRS)
    pair = rng.permuted(np.tile(np.arange(PAIRS), (PAGES, 1)), axis=1)[:, :RANKS]
    page = np.arange(PAGES)[:, None]
    sigma = rng.uniform(0.1, 0.8, PAIRS)
    keys = extend(2, page, pair)
    clicked = case.browsing.sample(table(keys, alpha[pair], sigma[pair])).clicked
    return click_log(pair, clicked, pairs=PAIRS), extend(3, page, pair)


def beyond(found: Estimate, truth: Estimate) -> tuple[int, int]:
    """Return how many values are further than 3 errors from the truth, of how many with one."""
    there = np.isfinite(found.error) & (found.error > 0)
    z = (found.value[there] - truth.value[there]) / found.error[there]
    return int((np.abs(z) > 3).sum()), int(there.sum())


def of_results(model: Fitted, log: ClickLog) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return attractiveness and satisfaction, (pages, ranks)."""
    satisfaction = np.zeros(PAIRS) if model.satisfaction is None else model.satisfaction.value
    return model.attractiveness.value[log.pair], satisfaction[log.pair]


def surprise(model: Fitted, log: ClickLog) -> NDArray[np.float64]:
    """Return log P of each page under the model."""
    p = model.browsing.conditional(*of_results(model, log), log.clicked)
    return np.asarray(np.log(np.where(log.clicked, p, 1 - p)).sum(axis=1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_fitted_is_sampled_and_fitted_again(case: Case) -> None:
    log, keys = first_log(case)
    model = case.fit(log)
    drawn = click_log(log.pair, model.sample(log.pair, keys).clicked, pairs=PAIRS)
    again = case.fit(drawn)

    families = {"attractiveness": (again.attractiveness, model.attractiveness)}
    if again.satisfaction is not None and model.satisfaction is not None:
        families["satisfaction"] = (again.satisfaction, model.satisfaction)
    for name, found in again.parameters.items():
        families[name] = (found, model.parameters[name])
    for name, (found, truth) in families.items():
        outside, of = beyond(found, truth)
        assert binom.sf(outside - 1, of, BEYOND_3) > 0.01, (name, outside, of)

    # The mean log-likelihood of what the model itself drew is minus its entropy; two
    # logs of it differ by sampling alone.
    other_keys = extend(4, keys)
    other = click_log(log.pair, model.sample(log.pair, other_keys).clicked, pairs=PAIRS)
    one, two = surprise(model, drawn), surprise(model, other)
    assert abs(one.mean() - two.mean()) < 4 * np.sqrt((one.var() + two.var()) / PAGES)
    # ... and is what `score` says, and what every page's pattern has as its probability.
    assert model.score(drawn).log_likelihood == pytest.approx(one.mean() / RANKS)
    p = model.browsing.marginal(*of_results(model, log))
    rate = drawn.clicked.mean(axis=0)
    assert (np.abs(rate - p.mean(axis=0)) < 4 * np.sqrt(0.25 / PAGES)).all()
