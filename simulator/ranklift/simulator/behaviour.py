"""What a user does with the results on a page: clicks, satisfaction, dwell.

    odds of attraction = odds of the result * propensity of the user
    clicked            = as the click model browses
    satisfied          ~ Bernoulli(by result), after a click
    dwell              = min(cap, drawn by satisfaction * factor of the user and the result)

A dwell is how long users really stay. The log may see less: `censoring`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.clicks.model import Browsing
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.results import Floats
from ranklift.simulator.censoring import Censoring
from ranklift.simulator.dwell import SATISFIED_DWELL, UNSATISFIED_DWELL, DwellLaw, DwellShifts
from ranklift.simulator.shown import Seen, Shown
from ranklift.simulator.users import Users
from ranklift.v1.errors import InvalidRequest, Violation

READING_US = 2_000_000  # for each result


def _all(values: tuple[float, ...], right: Callable[[float], bool]) -> bool:
    return bool(values) and all(right(value) for value in values)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How users treat what they see.

    `browsing` is the click model; of a ranking the first `page_size` results are
    shown. `attractiveness` and `satisfaction` are probabilities by grade, from
    grade 0; higher grades count as the last one. Dwell: medians 74 s and 10 s,
    P(dwell >= 30 s) = 0.82 and 0.16, near the 30 s threshold of Fox et al.,
    "Evaluating implicit measures to improve web search", TOIS 2005. All levels
    but examination are assumed, not fitted. `dwell_shifts` and `censoring` are off
    by default.
    """

    browsing: Browsing = field(default_factory=Pbm)
    page_size: int = 10
    attractiveness: tuple[float, ...] = (0.04, 0.10, 0.30)
    satisfaction: tuple[float, ...] = (0.10, 0.45, 0.80)
    satisfied_dwell: DwellLaw = SATISFIED_DWELL
    unsatisfied_dwell: DwellLaw = UNSATISFIED_DWELL
    dwell_cap_seconds: float = 1_800.0
    dwell_shifts: DwellShifts | None = None
    censoring: Censoring | None = None

    def __post_init__(self) -> None:
        longest = self.browsing.ranks
        checks = {
            "page_size": (
                1 <= self.page_size <= (longest or self.page_size),
                f"in [1, {longest}], the ranks of the browsing" if longest else "at least 1",
            ),
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


# For collections that only tell relevant (1) from not (0).
BINARY_GRADES = Behaviour(attractiveness=(0.04, 0.30), satisfaction=(0.10, 0.80))


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
    users: Users,
    shown: Shown,
    ranking: NDArray[np.int64],
) -> Actions:
    """Return what the users of some pages do; each page depends on its own row only.

    `page_keys`, `users` and `ranking` have one row for each page: its key, who
    asked for it, and which column of `shown` it shows.
    """
    seen = Seen(page_keys, users, shown, ranking)
    sample = behaviour.browsing.sample(seen)
    (at,) = sample.clicked.ravel().nonzero()  # in one dimension: several times as fast as in two
    page, rank = np.divmod(at, sample.clicked.shape[1])
    satisfied = sample.satisfied.ravel().take(at)
    clicked_keys = extend(page_keys[page], shown.document[rank, ranking[page]])
    u = uniform(extend(clicked_keys, Purpose.DWELL))
    shift = users.log_dwell[page]
    if shown.log_dwell is not None:
        shift = shift + shown.log_dwell[rank, ranking[page]]
    if behaviour.dwell_shifts:
        first = np.ones(len(page), dtype=bool)
        first[1:] = page[1:] != page[:-1]
        shift = shift + behaviour.dwell_shifts.first_click * first
    seconds = np.empty(len(page))
    for law, clicks in (
        (behaviour.satisfied_dwell, satisfied.nonzero()[0]),
        (behaviour.unsatisfied_dwell, (~satisfied).nonzero()[0]),
    ):
        seconds[clicks] = law.quantile(u.take(clicks), shift.take(clicks))
    capped = np.minimum(seconds, behaviour.dwell_cap_seconds)
    if users.depth is not None:
        # To a click model what is further down is not there; some look at it all the same.
        sample.examined[np.arange(sample.examined.shape[1]) >= users.depth[:, None]] = False
    return Actions(
        examined=sample.examined,
        attracted=sample.attracted,
        clicked=sample.clicked,
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


def mean_dwell_seconds(
    behaviour: Behaviour, satisfaction: Floats, log_dwell: ArrayLike
) -> NDArray[np.float64]:
    """Return E[dwell | clicked]; `satisfaction` and `log_dwell` broadcast."""
    cap = behaviour.dwell_cap_seconds
    return np.asarray(
        satisfaction * behaviour.satisfied_dwell.mean_below(cap, log_dwell)
        + (1 - satisfaction) * behaviour.unsatisfied_dwell.mean_below(cap, log_dwell)
    )


def of_grade(table: tuple[float, ...], grade: int) -> float:
    """Return the value of a grade; grades beyond the table count as its last one."""
    return table[min(grade, len(table) - 1)]
