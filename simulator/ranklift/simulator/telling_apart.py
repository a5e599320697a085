"""Can anybody tell real sessions from simulated ones? A classifier tries.

Ridge logistic regression on what users did on a page, or over a session, with the products of
all pairs of features, so that it sees which clicks go together; it sees no query and no document.
An area under the curve of 0.5 says that it cannot tell, 1 that it always can. Folds are drawn by
session, and the area is a mean over folds: scores of different folds do not compare. Its error is
clustered by session: Obuchowski, "Nonparametric analysis of clustered ROC curve data",
Biometrics 1997.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm, rankdata

from ranklift.clicks.results import Floats
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.realism_measures import (
    asked_again,
    click_flags,
    follows,
    session_numbers,
)

FOLDS = 5
PENALTY = 10.0  # for standardised features
_STEPS, _CLOSE = 25, 1e-4


@dataclass(frozen=True, slots=True)
class Auc:
    """Area under the curve with its standard error and 95 % interval."""

    value: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        reach = float(norm.ppf(0.975)) * self.error
        return max(0.0, self.value - reach), min(1.0, self.value + reach)


def page_features(log: SearchLog, ranks: int) -> Floats:
    """Return what is known of each page, shape (pages, features)."""
    clicked = click_flags(log, ranks)
    later = follows(log).to_numpy()
    count = clicked.sum(axis=1)
    before = np.concatenate([[0], count[:-1]]) * later
    step = _steps(later)
    return np.column_stack([clicked, count, later, asked_again(log), before, np.log1p(step)])


def session_features(log: SearchLog, ranks: int) -> Floats:
    """Return what is known of each session, shape (sessions, features)."""
    session = session_numbers(log)
    pages = np.bincount(session)
    of_pages = np.column_stack([click_flags(log, ranks), asked_again(log)]).astype(np.float64)
    none = ~of_pages[:, :ranks].any(axis=1)
    total = np.zeros((len(pages), of_pages.shape[1] + 1))
    np.add.at(total, session, np.column_stack([of_pages, none]))
    return np.column_stack([total / pages[:, None], np.log(pages), total[:, :ranks].sum(axis=1)])


def auc_of_pages(real: SearchLog, simulated: SearchLog, ranks: int, seed: int) -> Auc:
    """Return how well pages are told apart; sessions stay together in a fold."""
    return tell_apart(
        page_features(real, ranks),
        page_features(simulated, ranks),
        session_numbers(real),
        session_numbers(simulated),
        seed,
    )


def auc_of_sessions(real: SearchLog, simulated: SearchLog, ranks: int, seed: int) -> Auc:
    """Return how well sessions are told apart."""
    one, other = session_features(real, ranks), session_features(simulated, ranks)
    return tell_apart(one, other, np.arange(len(one)), np.arange(len(other)), seed)


def tell_apart(
    real: Floats,
    simulated: Floats,
    real_session: NDArray[np.int64],
    simulated_session: NDArray[np.int64],
    seed: int,
) -> Auc:
    """Return the cross-validated area under the curve; features one row a page or session.

    Raises:
        ValueError: either side has fewer than `FOLDS` sessions.
    """
    sessions = int(real_session.max()) + 1, int(simulated_session.max()) + 1
    if min(sessions) < FOLDS:
        raise ValueError(f"{min(sessions)} sessions, must be at least {FOLDS} on either side")
    rng = np.random.default_rng(seed)
    fold = [rng.permutation(np.arange(n) % FOLDS) for n in sessions]
    folds = np.concatenate([fold[0][real_session], fold[1][simulated_session]])
    x = _with_products(np.concatenate([real, simulated]))
    y = np.concatenate([np.ones(len(real)), np.zeros(len(simulated))])
    session = np.concatenate([real_session, sessions[0] + simulated_session])
    areas, variances = [], []
    for each in range(FOLDS):
        held = folds == each
        score = x[held] @ _logistic(x[~held], y[~held])
        area, variance = _area(score, y[held] == 1, session[held])
        areas.append(area)
        variances.append(variance)
    return Auc(float(np.mean(areas)), float(np.sqrt(np.sum(variances)) / FOLDS))


def _steps(later: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of each page in its session, from 0."""
    row = np.arange(len(later))
    return row - np.maximum.accumulate(np.where(later, 0, row))


def _with_products(features: Floats) -> Floats:
    """Return standardised features and products of pairs of them, behind a column of ones."""
    plain = _standard(features)
    one, other = np.triu_indices(plain.shape[1])
    return np.column_stack([np.ones(len(plain)), plain, _standard(plain[:, one] * plain[:, other])])


def _standard(features: Floats) -> Floats:
    spread = features.std(axis=0)
    varies = spread > 1e-9
    return np.asarray((features[:, varies] - features[:, varies].mean(axis=0)) / spread[varies])


def _logistic(x: Floats, y: Floats) -> Floats:
    """Return the weights, by Newton's method; both classes weigh the same."""
    weight = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    penalty = np.full(x.shape[1], PENALTY)
    penalty[0] = 1e-9
    w = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = expit(x @ w)
        gradient = x.T @ (weight * (y - p)) - penalty * w
        step = np.linalg.solve((x.T * (weight * p * (1 - p))) @ x + np.diag(penalty), gradient)
        w += step
        if np.abs(step).max() < _CLOSE:
            break
    return w


def _area(
    score: Floats, is_real: NDArray[np.bool_], session: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the area under the curve and its variance, clustered by session."""
    among = rankdata(score)
    real, simulated = score[is_real], score[~is_real]
    # Share of the other side that each one beats, ties as a half.
    beats = (among[is_real] - rankdata(real)) / len(simulated)
    beaten = 1 - (among[~is_real] - rankdata(simulated)) / len(real)
    area = float(beats.mean())
    variance = 0.0
    for share, of in ((beats, session[is_real]), (beaten, session[~is_real])):
        _, number = np.unique(of, return_inverse=True)
        sums = np.bincount(number, share - area)
        clusters = len(sums)
        variance += clusters / max(clusters - 1, 1) * float((sums**2).sum()) / len(share) ** 2
    return area, variance
