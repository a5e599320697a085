"""Censored dwell: after the last click of a visit nobody comes back to the results.

The log then has a lower bound, until when the page was last seen open, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.simulator.checks import refuse


@dataclass(frozen=True, slots=True)
class Censoring:
    """A page is last seen open an exponential time after the click, unless left before.

    That the last dwell of a visit is censored is the rule of logs that see the results page only,
    such as Baidu-ULTR; the mean is assumed.
    """

    mean_seconds: float = 60.0

    def __post_init__(self) -> None:
        refuse("censoring", self, {"mean_seconds": (0 < self.mean_seconds < np.inf, "above 0")})

    def seen(
        self, page_key: Keys, dwell_ms: NDArray[np.int64], last: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return what the log has of each dwell, and whether that is only a lower bound.

        `last` are the clicks after which their user did not come back to the results.
        """
        u = uniform(extend(page_key, Purpose.CENSOR))
        until = np.rint(-np.log(u) * self.mean_seconds * 1_000).astype(np.int64)
        censored = last & (until < dwell_ms)
        return np.where(censored, until, dwell_ms), censored


def last_clicks(
    user: NDArray[np.int64],
    visit: NDArray[np.int64],
    step: NDArray[np.int64],
    page: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which clicks are the last one on the last page of a visit.

    The first three have a row for each page, whole visits, in any order; `page` has the row of
    each click, ascending, and is read from the top of a page to its end.
    """
    order = np.lexsort((step, visit, user))
    ends = np.ones(len(order), dtype=bool)
    one, next_one = order[:-1], order[1:]
    ends[:-1] = (user[one] != user[next_one]) | (visit[one] != visit[next_one])
    is_last = np.zeros(len(order), dtype=bool)
    is_last[order[ends]] = True
    last = np.ones(len(page), dtype=bool)
    last[:-1] = page[1:] != page[:-1]
    return last & is_last[page]
