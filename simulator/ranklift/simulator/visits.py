"""Visits: which page a user asks for next.

In a world with `Sessions` it depends on what the page before did to the user:

    page satisfied  = a click on it satisfied, or nobody clicked and the page itself said enough
    another query   ~ Bernoulli(logit^-1(logit(by satisfied) + patience of the user))
    the query       = the same again, or one near it, or any
    the next visit  = after a log-normal gap * exp(-return_effect * [last page satisfied])

Without them the pages are planned beforehand (`users.pages_of_users`): the next one is next.
Either way a row of the answer depends on one row of the question: it is the same alone, in any
batch and in any process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, logit, ndtri

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.simulator.behaviour import READING_US, Actions
from ranklift.simulator.users import (
    EPOCH,
    MICROSECOND,
    Pages,
    Population,
    Queries,
    gamma_quantile,
    pages_of_users,
)
from ranklift.v1.errors import InvalidRequest, Violation

_MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Sessions:
    """How users go on, from page to page and from visit to visit.

    After a page the user asks for another one with probability
    `go_on_satisfied` or `go_on_unsatisfied`, at the log odds of which a normal
    patience with standard deviation `patience_sigma` is added. A page without
    a click satisfies with probability `good_abandonment`. The next query is the
    same one with probability `same_query`, one near it with `near_query`, else
    drawn afresh. Near are the queries that `near` names, by query id; where it
    is None, those that share at least `near_share` of the query's candidates. A
    query with none near is followed by a fresh one.

    Visits per 30 days are Gamma-Poisson: `visits_per_month` is the mean of the
    users' own rates, `activity_shape` the Gamma's shape. The gap between two
    visits is log-normal with standard deviation `gap_sigma` of its logarithm;
    its mean is one over the rate, times exp(-`return_effect`) when the last
    page satisfied. Users are met amid their gaps, so the first visit has no
    better chance at the start of the span than later.

    Sources: going on, good abandonment and `return_effect` are assumed, and with half of the pages
    satisfied give visits of two pages (2 to 3 in Jansen and Spink, IPM 2006); the same query again
    is 14 % of the TianGong-ST demo; six visits a month are those of the Yandex relevance-prediction
    log; the absence after a visit as a measure of it is Dupret and Lalmas, WSDM 2013. The other
    values are assumed.
    """

    go_on_satisfied: float = 0.35
    go_on_unsatisfied: float = 0.65
    patience_sigma: float = 0.5
    good_abandonment: float = 0.3
    same_query: float = 0.14
    near_query: float = 0.36
    near_share: float = 0.125
    near: Mapping[str, tuple[str, ...]] | None = None
    visits_per_month: float = 6.0
    activity_shape: float = 1.0
    gap_sigma: float = 1.0
    return_effect: float = 0.05

    def __post_init__(self) -> None:
        checks = {
            "go_on_satisfied": (0 <= self.go_on_satisfied < 1, "in [0, 1)"),
            "go_on_unsatisfied": (0 <= self.go_on_unsatisfied < 1, "in [0, 1)"),
            "patience_sigma": (0 <= self.patience_sigma < np.inf, "at least 0"),
            "good_abandonment": (0 <= self.good_abandonment <= 1, "in [0, 1]"),
            "same_query": (0 <= self.same_query <= 1, "in [0, 1]"),
            "near_query": (
                0 <= self.near_query <= 1 - self.same_query,
                "at least 0, and at most 1 with same_query",
            ),
            "near_share": (0 < self.near_share <= 1, "in (0, 1]"),
            "visits_per_month": (0 < self.visits_per_month < np.inf, "above 0"),
            "activity_shape": (0 < self.activity_shape < np.inf, "above 0"),
            "gap_sigma": (0 <= self.gap_sigma < np.inf, "at least 0"),
            "return_effect": (abs(self.return_effect) < np.inf, "a number"),
        }
        violations = [
            Violation(f"sessions.{name}", f"{getattr(self, name)}, must be {allowed}")
            for name, (right, allowed) in checks.items()
            if not right
        ]
        if violations:
            raise InvalidRequest(violations)


class Course(Protocol):
    """Which pages follow on each other; made once for a world."""

    def first(self, who: NDArray[np.int64]) -> Pages:
        """Return the first page of the users `who`, ascending; some may never come."""

    def after(self, pages: Pages, actions: Actions) -> Pages:
        """Return the next page of those users of `pages` that go on, in the same order."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The course of a world that does not react: every page as planned."""

    population: Population
    queries: Queries
    seed: int

    def pages(self, who: NDArray[np.int64]) -> Pages:
        """Return all pages of the users `who`, ascending, by user and time."""
        return pages_of_users(self.population, self.queries, self.seed, who)

    def first(self, who: NDArray[np.int64]) -> Pages:
        pages = self.pages(who)
        return pages[((pages.visit == 0) & (pages.step == 0)).nonzero()[0]]

    def after(self, pages: Pages, actions: Actions) -> Pages:
        who, row = np.unique(pages.user, return_inverse=True)
        plan = self.pages(who)
        # Rows of the plan are sorted by these numbers, and each page's is there.
        visits, steps = int(plan.visit.max()) + 1, int(plan.step.max()) + 1
        planned = np.searchsorted(who, plan.user) * visits
        here = ((planned + plan.visit) * steps + plan.step).searchsorted(
            (row * visits + pages.visit) * steps + pages.step
        )
        following = here + 1
        goes_on = following < len(plan)
        goes_on[goes_on] = plan.user[following[goes_on]] == pages.user[goes_on]
        return plan[following[goes_on]]


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The queries near each query: those of query q are `query[start[q] : start[q + 1]]`."""

    start: NDArray[np.int64]  # (queries + 1,)
    query: NDArray[np.int64]

    def count(self, of: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.start[of + 1] - self.start[of]

    def draw(self, of: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return one of the queries near each query, all alike; none may be without."""
        return self.query[self.start[of] + (u * self.count(of)).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class Reacting:
    """The course of a world whose users react to what they see."""

    sessions: Sessions
    population: Population
    queries: Queries
    near: Near
    seed: int

    def first(self, who: NDArray[np.int64]) -> Pages:
        # The gap that a moment falls into is drawn in proportion to its length, and the moment
        # is anywhere in it: Feller, "An Introduction to Probability Theory" II, section XI.4.
        sigma = self.sessions.gap_sigma
        gap = self._gap(who, np.zeros_like(who)) * np.exp(sigma**2)
        arrival = uniform(extend(np.uint64(self.seed), who, 0, Purpose.ARRIVAL)) * gap
        comes = arrival < self.population.span // MICROSECOND
        user = who[comes]
        none = np.zeros_like(user)
        clock = self.population.clock()
        offset = clock.real(arrival[comes]) if clock else arrival[comes]
        time = offset.astype(np.int64) + (self.population.start - EPOCH) // MICROSECOND
        key = extend(np.uint64(self.seed), user, none, none)
        return Pages(user, none, none, self._fresh(key, time), time, key)

    def after(self, pages: Pages, actions: Actions) -> Pages:
        satisfied = satisfied_pages(
            self.sessions, pages.key, actions, self._abandons_well(pages.user)
        )
        left = pages.time_us + time_on_page_us(len(pages), actions)
        on = self._goes_on(pages, satisfied)
        visit, step = np.where(on, pages.visit, pages.visit + 1), np.where(on, pages.step + 1, 0)
        key = extend(np.uint64(self.seed), pages.user, visit, step)
        gap = np.empty(len(pages))
        (stays,), (leaves,) = on.nonzero(), (~on).nonzero()
        mean_gap = self.population.mean_gap / MICROSECOND
        gap[stays] = -np.log(uniform(extend(key[stays], Purpose.GAP))) * mean_gap
        gap[leaves] = self._gap(pages.user[leaves], visit[leaves])
        gap[leaves] *= np.exp(-self.sessions.return_effect * satisfied[leaves])
        end = (self.population.start + self.population.span - EPOCH) // MICROSECOND
        # A float may be beyond all integers.
        time = left + np.minimum(gap, end).astype(np.int64)
        clock = self.population.clock()
        if clock:
            start = (self.population.start - EPOCH) // MICROSECOND
            even = clock.even((left[leaves] - start).astype(np.float64)) + gap[leaves]
            time[leaves] = start + clock.real(even).astype(np.int64)
        comes = (time < end).nonzero()[0]
        key = key[comes]
        time = time[comes]
        fresh = self._fresh(key, time)
        query = np.where(on[comes], self._reformulated(pages.query[comes], key, fresh), fresh)
        return Pages(pages.user[comes], visit[comes], step[comes], query, time, key)

    def _goes_on(self, pages: Pages, satisfied: NDArray[np.bool_]) -> NDArray[np.bool_]:
        patience = ndtri(uniform(extend(np.uint64(self.seed), pages.user, Purpose.PATIENCE)))
        odds = logit(np.array([self.sessions.go_on_unsatisfied, self.sessions.go_on_satisfied]))
        log_odds = odds[satisfied.astype(np.int64)] + self.sessions.patience_sigma * patience
        if self.population.devices:
            device = self.population.devices.of(self.seed, pages.user)
            log_odds += self.population.devices.field("patience", device)
        chance = expit(log_odds)
        return np.asarray(uniform(extend(pages.key, Purpose.GO_ON)) < chance)

    def _gap(self, user: NDArray[np.int64], visit: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the time before each visit after a page that did not satisfy, in microseconds."""
        key = extend(np.uint64(self.seed), user)
        shape, sigma = self.sessions.activity_shape, self.sessions.gap_sigma
        activity = gamma_quantile(shape, uniform(extend(key, Purpose.ACTIVITY))) / shape
        if self.population.bots:
            activity = activity * self.population.bots.activity(self.seed, user)
        z = ndtri(uniform(extend(key, visit, Purpose.RETURN)))
        with np.errstate(divide="ignore"):  # with a small shape, some never come
            mean = (_MONTH / MICROSECOND) / (self.sessions.visits_per_month * activity)
        return np.asarray(mean * np.exp(sigma * z - sigma**2 / 2))

    def _abandons_well(self, user: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the good abandonment on each user's device; None: devices are all alike."""
        devices = self.population.devices
        if devices is None:
            return None
        return devices.field("good_abandonment", devices.of(self.seed, user))

    def _fresh(self, key: Keys, time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.queries.draw(uniform(extend(key, Purpose.QUERY)), time_us)

    def _reformulated(
        self, query: NDArray[np.int64], key: Keys, fresh: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        u = uniform(extend(key, Purpose.REFORMULATE))
        same = u < self.sessions.same_query
        near = ~same & (u < self.sessions.same_query + self.sessions.near_query)
        near &= self.near.count(query) > 0
        following = np.where(same, query, fresh)
        following[near] = self.near.draw(query[near], uniform(extend(key[near], Purpose.QUERY)))
        return following


def satisfied_pages(
    sessions: Sessions,
    key: Keys,
    actions: Actions,
    good_abandonment: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Return whether each page satisfied its user, by a click or without any.

    `good_abandonment` (pages,) comes before that of the sessions.
    """
    satisfied = np.zeros(len(key), dtype=bool)
    satisfied[actions.page[actions.satisfied]] = True
    abandoned = np.ones(len(key), dtype=bool)
    abandoned[actions.page] = False
    chance = np.full(len(key), sessions.good_abandonment)
    if good_abandonment is not None:
        chance = good_abandonment
    well = uniform(extend(key[abandoned], Purpose.ABANDON_WELL)) < chance[abandoned]
    satisfied[abandoned] = well
    return satisfied


def time_on_page_us(pages: int, actions: Actions) -> NDArray[np.int64]:
    """Return how long users stay: down to the last click at a reader's pace, and all dwells."""
    last = np.zeros(pages, dtype=np.int64)
    np.maximum.at(last, actions.page, actions.rank + 1)
    dwell_ms = np.bincount(actions.page, weights=actions.dwell_ms, minlength=pages)
    return last * READING_US + dwell_ms.astype(np.int64) * 1_000


def near_queries(sessions: Sessions, candidates: Mapping[str, tuple[str, ...]]) -> Near:
    """Return the queries near each one of `candidates`, in their order.

    Raises:
        InvalidRequest: `sessions.near` names a query without candidates.
    """
    number = {query_id: n for n, query_id in enumerate(candidates)}
    if sessions.near is None:
        return _sharing(list(candidates.values()), sessions.near_share)
    for query_id in {*sessions.near, *(q for near in sessions.near.values() for q in near)}:
        if query_id not in number:
            raise InvalidRequest.of(
                f'sessions.near["{query_id}"]', "is not a query with candidates"
            )
    near = [[number[q] for q in sessions.near.get(query_id, ())] for query_id in number]
    start = np.cumsum([0, *map(len, near)])
    return Near(start, np.array([q for row in near for q in row], dtype=np.int64))


def _sharing(candidates: list[tuple[str, ...]], share: float) -> Near:
    documents = {d: n for n, d in enumerate(dict.fromkeys(d for row in candidates for d in row))}
    size = np.array([len(row) for row in candidates])
    holds = sparse.csr_array(
        (
            np.ones(size.sum()),
            np.array([documents[d] for row in candidates for d in row]),
            np.concatenate([[0], np.cumsum(size)]),
        ),
        shape=(len(candidates), len(documents)),
    )
    shared = sparse.coo_array(holds @ holds.T)
    near = (shared.row != shared.col) & (shared.data >= share * size[shared.row])
    row, col = shared.row[near].astype(np.int64), shared.col[near].astype(np.int64)
    order = np.lexsort((col, row))
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(candidates)))])
    return Near(start, col[order])
