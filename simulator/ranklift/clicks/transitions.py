"""The order of clicks, with clicks upwards and again: a layer on top of any click model.

Which results are clicked is the click model's; here is in which order, and which
ones again. Of those still to come, reading from the top, each one is passed over
with odds `pass_over` and left for later, which makes later clicks go up: the
multistage ranking of Fligner and Verducci, "Distance based ranking models", JRSS B
1986, and so Mallows' model,

    P(order) = pass_over^(pairs out of order) / Z

After each click:

    P(the same result once more)                                      = again
    P(back to another one clicked before | not the same, there is one) = back
    otherwise the next one of the order, or no more
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ranklift.clicks.keys import Keys, Purpose, extend, extend_mixed, mix, uniform
from ranklift.clicks.model import Estimate
from ranklift.clicks.results import Floats

_STEP = 1e-4  # of numerical derivatives


@dataclass(frozen=True, slots=True, eq=False)
class ClickSequence:
    """Clicks by page and then in time; arrays of shape (clicks,)."""

    page: NDArray[np.int64]  # row
    rank: NDArray[np.int64]  # 0-based
    nth: NDArray[np.int64]  # of the page's clicks, from 0


@dataclass(frozen=True, slots=True)
class Transitions:
    """How users get from click to click; with all three 0, down the page and each once.

    The defaults are set so that with 0, 1, 2, 3, 4, 5 distinct clicks on 32, 40,
    13, 6, 4, 5 % of pages, as on a web-search engine, 63 % of consecutive clicks go
    down, 18 % up and 19 % to the same result, as there. No share of clicks back to
    an earlier result is known, so `back` is 0.
    """

    again: float = 0.095
    back: float = 0.0
    pass_over: float = 0.285

    def __post_init__(self) -> None:
        for name in ("again", "back"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}, must be in [0, 1)")
        if not 0 <= self.pass_over <= 1:
            raise ValueError(f"pass_over {self.pass_over}, must be in [0, 1]")

    def order(self, clicked: NDArray[np.bool_], keys: Keys) -> ClickSequence:
        """Return the clicks on pages of shape (pages, ranks), each drawn from its result's key."""
        pages = np.flatnonzero(clicked.any(axis=1))
        clicked, draws = clicked[pages], extend(keys[pages], Purpose.TRANSITION)
        ordered = self._order(clicked, draws)
        length = clicked.sum(axis=1)
        done, row = np.zeros(len(pages), dtype=np.int64), np.arange(len(pages))
        times = np.zeros(clicked.shape, dtype=np.int64)
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], int]] = []
        current = ordered[:, 0]
        done += 1
        while len(row):
            found.append((row, current, len(found)))
            times[row, current] += 1
            key = extend(draws[row, current], times[row, current])
            same = _draw(key, 0) < self.again
            back = ~same & (done[row] > 1) & (_draw(key, 1) < self.back)
            fresh = ~same & ~back
            nth = (_draw(key, 2) * (done[row] - 1)).astype(np.int64)
            current = np.where(back, _other(times[row] > 0, current, nth), current)
            stays = ~fresh | (done[row] < length[row])
            fresh, row, current = fresh[stays], row[stays], current[stays]
            current[fresh] = ordered[row[fresh], done[row[fresh]]]
            done[row[fresh]] += 1
        if not found:
            none = np.zeros(0, dtype=np.int64)
            return ClickSequence(none, none, none)
        page = np.concatenate([rows for rows, _, _ in found])
        rank = np.concatenate([ranks for _, ranks, _ in found])
        step = np.repeat([step for _, _, step in found], [len(rows) for rows, _, _ in found])
        by_time = np.lexsort((step, page))
        return ClickSequence(pages[page[by_time]], rank[by_time], step[by_time])

    def _order(self, clicked: NDArray[np.bool_], draws: Keys) -> NDArray[np.int64]:
        """Return the ranks of the clicked results in the order of their first clicks; the rest
        of each row is arbitrary.

        From the bottom up, each result goes in front of those below it, or behind the first j
        of them with probability proportional to pass_over^j: the same law as passing over,
        but each draw belongs to one document.
        """
        pages, ranks = clicked.shape
        ordered = np.zeros((pages, ranks), dtype=np.int64)
        below = np.zeros(pages, dtype=np.int64)
        place = np.arange(ranks)
        for rank in range(ranks - 1, -1, -1):
            (rows,) = clicked[:, rank].nonzero()
            chance = self.pass_over ** np.arange(ranks) * (place <= below[rows, None])
            chance = np.cumsum(chance, axis=1)
            u = uniform(draws[rows, rank])[:, None] * chance[:, -1:]
            j = (u >= chance).sum(axis=1)[:, None]
            old = ordered[rows]
            later = np.concatenate([np.zeros_like(old[:, :1]), old[:, :-1]], axis=1)
            ordered[rows] = np.where(place < j, old, np.where(place == j, rank, later))
            below[rows] += 1
        return ordered


DOWNWARD = Transitions(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class FittedTransitions:
    """Transitions as sequences taught them, with standard errors by field name."""

    transitions: Transitions
    parameters: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Moves:
    """Shares of the moves from one click of a page to the next."""

    down: float
    up: float
    same: float


def fit(clicks: ClickSequence) -> FittedTransitions:
    """Fit by maximum likelihood: two binomials and the odds of passing over.

    Errors are from the observed information; NaN where nothing could tell.

    Raises:
        ValueError: no clicks.
    """
    seen = _seen(clicks)
    again = _share(seen.same, seen.clicks)
    back = _share(seen.back, seen.could_go_back)
    pass_over = _fit_pass_over(seen)
    return FittedTransitions(
        Transitions(
            min(float(again.value), 1 - 1e-9),
            min(float(np.nan_to_num(back.value)), 1 - 1e-9),
            float(np.nan_to_num(pass_over.value)),
        ),
        {"again": again, "back": back, "pass_over": pass_over},
    )


def score(transitions: Transitions, clicks: ClickSequence) -> float:
    """Return the mean over clicks of log P(order and repeats | which are clicked), in nats.

    It is -inf where the transitions rule out what happened.
    """
    seen = _seen(clicks)
    total = (
        _binomial(seen.same, seen.clicks, transitions.again)
        + _binomial(seen.back, seen.could_go_back, transitions.back)
        + _mallows(seen, transitions.pass_over)
    )
    return total / seen.clicks


def moves(clicks: ClickSequence) -> Moves:
    """Return which way consecutive clicks of a page go; NaN where no page has two clicks."""
    step = np.diff(clicks.rank)[np.diff(clicks.page) == 0]
    if not len(step):
        return Moves(np.nan, np.nan, np.nan)
    return Moves(float((step > 0).mean()), float((step < 0).mean()), float((step == 0).mean()))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """All that the likelihood depends on."""

    clicks: int
    same: int
    could_go_back: int
    back: int
    inversions: int
    pages_with: NDArray[np.int64]  # [k]: pages with k distinct results


def _seen(clicks: ClickSequence) -> _Seen:
    if not len(clicks.page):
        raise ValueError("no clicks; give the sequences of at least one page with a click")
    by_time = np.lexsort((clicks.nth, clicks.page))
    page, rank = clicks.page[by_time], clicks.rank[by_time]
    starts = np.concatenate([[True], np.diff(page) != 0])
    _, first = np.unique(np.stack([page, rank]), axis=1, return_index=True)
    fresh = np.zeros(len(page), dtype=bool)
    fresh[first] = True
    same = np.concatenate([[False], np.diff(rank) == 0]) & ~starts
    back = ~fresh & ~same
    number = np.cumsum(starts) - 1
    row = np.arange(len(page))
    distinct = np.cumsum(fresh)  # over all pages
    distinct = distinct - (distinct[starts] - 1)[number]  # of the page, so far
    ends = np.concatenate([starts[1:], [True]])
    next_same = np.concatenate([same[1:], [False]]) & ~ends
    table = np.full((number[-1] + 1, int(distinct.max())), -1, dtype=np.int64)
    table[number[fresh], distinct[fresh] - 1] = rank[fresh]
    there = table >= 0
    inversions = sum(
        int(((table[:, i] > table[:, j]) & there[:, j]).sum())
        for j in range(table.shape[1])
        for i in range(j)
    )
    return _Seen(
        clicks=len(row),
        same=int(same.sum()),
        could_go_back=int(((distinct > 1) & ~next_same).sum()),
        back=int(back.sum()),
        inversions=inversions,
        pages_with=np.bincount(there.sum(axis=1)),
    )


def _mallows(seen: _Seen, pass_over: float) -> float:
    """Return inversions log(pass_over) - sum over pages and m <= k of log(1 + ... + odds^(m-1))."""
    stages = np.log(np.cumsum(pass_over ** np.arange(len(seen.pages_with))))
    log_z = np.concatenate([[0.0], np.cumsum(stages)])[: len(seen.pages_with)]
    if not seen.inversions:
        return float(-seen.pages_with @ log_z)
    if pass_over == 0:
        return -np.inf
    return float(seen.inversions * np.log(pass_over) - seen.pages_with @ log_z)


def _fit_pass_over(seen: _Seen) -> Estimate:
    if len(seen.pages_with) <= 2:
        return Estimate(np.array(np.nan), np.array(np.nan))
    if not seen.inversions:
        return Estimate(np.array(0.0), np.array(0.0))
    log_odds = minimize_scalar(
        lambda x: -_mallows(seen, float(np.exp(x))), bounds=(-20, 0), method="bounded",
        options={"xatol": 1e-10},
    ).x  # fmt: skip
    around = [_mallows(seen, float(np.exp(log_odds + d))) for d in (-_STEP, 0.0, _STEP)]
    information = -(around[0] - 2 * around[1] + around[2]) / _STEP**2
    value = float(np.exp(log_odds))
    return Estimate(np.array(value), np.array(value / np.sqrt(information)))


def _share(successes: int, trials: int) -> Estimate:
    if not trials:
        return Estimate(np.array(np.nan), np.array(np.nan))
    p = successes / trials
    return Estimate(np.array(p), np.array(np.sqrt(p * (1 - p) / trials)))


def _binomial(successes: int, trials: int, p: float) -> float:
    with np.errstate(divide="ignore"):
        clicked = successes * np.log(p) if successes else 0.0
        skipped = (trials - successes) * np.log1p(-p) if trials > successes else 0.0
    return float(clicked + skipped)


def _draw(keys: Keys, decision: int) -> Floats:
    return uniform(extend_mixed(keys, mix(decision)))


def _other(
    clicked: NDArray[np.bool_], current: NDArray[np.int64], nth: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the nth (from 0) clicked rank other than the current one, where there is one."""
    others = clicked.copy()
    others[np.arange(len(others)), current] = False
    return np.asarray((np.cumsum(others, axis=1) > nth[:, None]).argmax(axis=1))
