"""Can a classifier tell simulated pages from real ones? The AUC says how well: 1/2 is not at all.

Logistic regression on what happened on a page and before it in its session, with products of clicks
at pairs of ranks, so that dependence between clicks counts; penalised a little; scored on sessions
that it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from ranklift.clicks.keys import extend, uniform
from ranklift.clicks.results import Floats
from ranklift.simulator.logs.search_log import SearchLog

RANKS = 10
FOLDS = 5
PENALTY = 1.0  # on the sum of squared weights of standardised features
# Of the larger log so many sessions are drawn as the smaller one has, and at most this many.
MOST_SESSIONS = 20_000


@dataclass(frozen=True, slots=True)
class Auc:
    """The probability that a simulated page looks more simulated than a real one; with a standard
    error in which the pages of a session count as one."""

    value: float
    error: float


def tell_apart(real: SearchLog, simulated: SearchLog, *, seed: int = 0) -> Auc:
    """Return how well a classifier tells two logs apart."""
    ordered = real.has_order and simulated.has_order
    timed = real.has_dwell and simulated.has_dwell
    parts = [_features(log, ordered=ordered, timed=timed) for log in (real, simulated)]
    sessions = min(MOST_SESSIONS, *(int(session.max()) + 1 for _, session in parts))
    rng = np.random.default_rng(seed)
    kept = [
        np.isin(session, rng.permutation(int(session.max()) + 1)[:sessions]) for _, session in parts
    ]
    x = np.concatenate([part[keep] for (part, _), keep in zip(parts, kept, strict=True)])
    y = np.repeat([0.0, 1.0], [keep.sum() for keep in kept])
    session = np.concatenate(
        [2 * name[keep] + n for n, ((_, name), keep) in enumerate(zip(parts, kept, strict=True))]
    )
    fold = (uniform(extend(seed, session)) * FOLDS).astype(np.int64)
    areas = []
    for held in range(FOLDS):
        train = fold != held
        mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
        scaled = (x - mean) / np.where(spread > 0, spread, 1)
        weights = _fit(scaled[train], y[train])
        if len(np.unique(y[~train])) == 2:
            areas.append(_auc(scaled[~train] @ weights[1:], y[~train], session[~train]))
    # Scores of different folds do not compare: a fold that holds many real pages leaves few to
    # fit to, and all its scores lean the wrong way, which draws an area over all below 1/2.
    if not areas:
        return Auc(0.5, 0.5)
    errors = np.array([area.error for area in areas])
    value = float(np.mean([area.value for area in areas]))
    return Auc(value, float(np.sqrt((errors**2).sum()) / len(areas)))


def _features(log: SearchLog, *, ordered: bool, timed: bool) -> tuple[Floats, NDArray[np.int64]]:
    """Return features, shape (pages, features), and the session of each page by number."""
    clicked = np.zeros((log.pages.height, RANKS))
    near = log.clicks.filter(pl.col("rank") < RANKS)
    clicked[near["page"].to_numpy(), near["rank"].to_numpy()] = 1
    pairs = np.stack(
        [clicked[:, i] * clicked[:, j] for i in range(RANKS) for j in range(i)], axis=1
    )
    number = clicked.sum(axis=1)
    session = log.pages["session"].rle_id().to_numpy().astype(np.int64)
    opens = np.concatenate([[True], session[1:] != session[:-1]])
    first = np.maximum.accumulate(np.where(opens, np.arange(len(session)), 0))
    step = np.arange(len(session)) - first
    size = np.bincount(session)[session]
    before = np.where(opens, 0, np.concatenate([[0], number[:-1]]))
    columns = [number == 0, number, number**2, step == 0, step, size, size == 1, before]
    if ordered:
        moves = near.sort("page", "nth").with_columns(
            step=pl.col("rank").diff().over("page").fill_null(1)
        )
        for kind in (moves["step"] < 0, moves["step"] == 0):
            page = moves.filter(kind)["page"].to_numpy()
            columns.append(np.bincount(page, minlength=len(session)))
    if timed:
        dwell = log.clicks.drop_nulls("dwell_seconds")
        page = dwell["page"].to_numpy()
        logs = np.log1p(dwell["dwell_seconds"].to_numpy())
        for weights in (logs, logs**2):
            columns.append(np.bincount(page, weights, minlength=len(session)))
    others = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    return np.concatenate([clicked, pairs, others], axis=1), session


def _fit(x: Floats, y: Floats) -> Floats:
    """Return intercept and weights of the penalised logistic regression."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        z = x @ weights[1:] + weights[0]
        slope = expit(z) - y
        value = np.logaddexp(0, z).sum() - y @ z + PENALTY * (weights[1:] ** 2).sum() / 2
        gradient = np.concatenate([[slope.sum()], x.T @ slope + PENALTY * weights[1:]])
        return float(value), gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B")
    return np.asarray(found.x)


def _auc(score: Floats, y: Floats, session: NDArray[np.int64]) -> Auc:
    """Return the AUC with the error of Obuchowski, "Nonparametric analysis of clustered ROC curve
    data", Biometrics 1997; a session is in one log only."""
    is_simulated = y == 1
    m, n = int(is_simulated.sum()), int((~is_simulated).sum())
    rank = rankdata(score)
    within = np.empty(len(score))
    within[is_simulated] = rankdata(score[is_simulated])
    within[~is_simulated] = rankdata(score[~is_simulated])
    # Of each page: the share of the other log's pages that it lies above (or below).
    place = (rank - within) / np.where(is_simulated, n, m)
    value = float(place[is_simulated].mean())
    variance = 0.0
    for side, target in ((is_simulated, value), (~is_simulated, 1 - value)):
        total = np.bincount(session[side], place[side] - target)
        clusters = len(np.unique(session[side]))
        variance += clusters / max(clusters - 1, 1) * float((total**2).sum()) / side.sum() ** 2
    return Auc(value, float(np.sqrt(variance)))
