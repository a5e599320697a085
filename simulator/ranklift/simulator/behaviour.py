"""What a user does with the results on a page: clicks, satisfaction, dwell.

    odds of attraction = odds of the grade * propensity of the user
    clicked            = examined at this rank and attracted by this document
    satisfied          ~ Bernoulli(by grade), after a click
    dwell              = min(cap, log-normal by satisfaction * factor of the user)

The world knows no censored dwell: the capped value is the dwell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr, ndtri

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.clicks.pbm import DEFAULT_EXAMINATION, sample
from ranklift.v1.errors import InvalidRequest, Violation

NO_DOCUMENT = -1  # the grade of padding
READING_US = 2_000_000  # for each result


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A dwell in seconds whose logarithm has mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    def quantile(self, u: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the dwell below which a share `u` lies, with `shift` added to `mu`."""
        return np.exp(self.mu + shift + self.sigma * ndtri(u))

    def mean_below(self, cap: float, shift: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return E[min(X, cap)] with `shift` added to `mu`.

        exp(mu + sigma^2 / 2) Phi((ln cap - mu - sigma^2) / sigma)
            + cap (1 - Phi((ln cap - mu) / sigma))
        """
        mu = self.mu + np.asarray(shift, dtype=np.float64)
        z = (np.log(cap) - mu) / self.sigma
        below = np.exp(mu + self.sigma**2 / 2) * ndtr(z - self.sigma)
        return np.asarray(below + cap * ndtr(-z))


def _all(values: tuple[float, ...], right: Callable[[float], bool]) -> bool:
    return bool(values) and all(right(value) for value in values)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How users treat what they see.

    `examination` gives the probability at each rank and with its length the
    size of a page: what is ranked below is not shown. `attractiveness` and
    `satisfaction` are probabilities by grade, from grade 0; higher grades count
    as the last one. Dwell: medians 74 s and 10 s, P(dwell >= 30 s) = 0.82 and
    0.16, near the 30 s threshold of Fox et al., "Evaluating implicit measures to
    improve web search", TOIS 2005. All levels but examination are assumed, not fitted.
    """

    examination: tuple[float, ...] = DEFAULT_EXAMINATION
    attractiveness: tuple[float, ...] = (0.04, 0.10, 0.30)
    satisfaction: tuple[float, ...] = (0.10, 0.45, 0.80)
    satisfied_dwell: LogNormal = LogNormal(4.3, 1.0)
    unsatisfied_dwell: LogNormal = LogNormal(2.3, 1.1)
    dwell_cap_seconds: float = 1_800.0

    def __post_init__(self) -> None:
        checks = {
            "examination": (_all(self.examination, lambda p: 0 <= p <= 1), "some in [0, 1]"),
            "attractiveness": (_all(self.attractiveness, lambda p: 0 < p < 1), "some in (0, 1)"),
            "satisfaction": (_all(self.satisfaction, lambda p: 0 <= p <= 1), "some in [0, 1]"),
            "dwell_cap_seconds": (self.dwell_cap_seconds > 0, "above 0"),
        }
        violations = [
            Violation(f"behaviour.{name}", f"{getattr(self, name)}, must be {allowed}")
            for name, (right, allowed) in checks.items()
            if not right
        ]
        if violations:
            raise InvalidRequest(violations)

    @property
    def page_size(self) -> int:
        return len(self.examination)


# For collections that only tell relevant (1) from not (0).
BINARY_GRADES = Behaviour(attractiveness=(0.04, 0.30), satisfaction=(0.10, 0.80))


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The results of some pages, best first; arrays of shape (pages, page_size), padded."""

    document: Keys  # hash of the document id
    grade: NDArray[np.int64]  # NO_DOCUMENT where the page has no result

    def __getitem__(self, rows: NDArray[np.int64]) -> Shown:
        return Shown(self.document[rows], self.grade[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """What users did, with what they thought.

    `examined`, `attracted` and `clicked` have shape (pages, page_size). The
    others have shape (clicks,), by page and rank.
    """

    examined: NDArray[np.bool_]
    attracted: NDArray[np.bool_]
    clicked: NDArray[np.bool_]
    page: NDArray[np.int64]  # row
    rank: NDArray[np.int64]  # 0-based
    satisfied: NDArray[np.bool_]
    dwell_ms: NDArray[np.int64]


def behave(
    behaviour: Behaviour,
    page_keys: Keys,
    log_propensity: NDArray[np.float64],
    log_dwell: NDArray[np.float64],
    shown: Shown,
) -> Actions:
    """Return what the users of some pages do; each page depends on its own row only.

    `page_keys`, `log_propensity` and `log_dwell` have shape (pages,): the key
    of the page, and what sets its user apart.
    """
    keys = extend(page_keys[:, None], shown.document)
    clicks = sample(
        behaviour.examination,
        attractiveness_of(behaviour, shown.grade, log_propensity[:, None]),
        keys,
    )
    page, rank = clicks.clicked.nonzero()
    clicked_keys, shift = keys[page, rank], log_dwell[page]
    satisfied = uniform(extend(clicked_keys, Purpose.SATISFY)) < satisfaction_of(
        behaviour, shown.grade[page, rank]
    )
    u = uniform(extend(clicked_keys, Purpose.DWELL))
    seconds = np.where(
        satisfied,
        behaviour.satisfied_dwell.quantile(u, shift),
        behaviour.unsatisfied_dwell.quantile(u, shift),
    )
    capped = np.minimum(seconds, behaviour.dwell_cap_seconds)
    return Actions(
        examined=clicks.examined,
        attracted=clicks.attracted,
        clicked=clicks.clicked,
        page=page,
        rank=rank,
        satisfied=satisfied,
        dwell_ms=np.rint(capped * 1_000).astype(np.int64),
    )


def click_time_us(
    page_time_us: NDArray[np.int64], position: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return when the result at a 1-based position is clicked, in microseconds since 1970.

    Users read down the page at an even pace.
    """
    return page_time_us + position * READING_US


def attractiveness_of(
    behaviour: Behaviour, grade: NDArray[np.int64], log_propensity: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return P(attracted), 0 where there is no document."""
    by_grade = logit(np.array(behaviour.attractiveness))
    probability = expit(_of_grade(by_grade, grade) + log_propensity)
    return np.where(grade == NO_DOCUMENT, 0.0, probability)


def satisfaction_of(behaviour: Behaviour, grade: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return P(satisfied | clicked)."""
    return _of_grade(np.array(behaviour.satisfaction), grade)


def mean_dwell_seconds(
    behaviour: Behaviour, grade: NDArray[np.int64], log_dwell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return E[dwell | clicked]; `grade` and `log_dwell` broadcast."""
    satisfied = satisfaction_of(behaviour, grade)
    cap = behaviour.dwell_cap_seconds
    return np.asarray(
        satisfied * behaviour.satisfied_dwell.mean_below(cap, log_dwell)
        + (1 - satisfied) * behaviour.unsatisfied_dwell.mean_below(cap, log_dwell)
    )


def _of_grade(table: NDArray[np.float64], grade: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(table[np.clip(grade, 0, len(table) - 1)])
