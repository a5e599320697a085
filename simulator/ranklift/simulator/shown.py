"""What pages show, as click models look at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ranklift.clicks.keys import Keys, extend
from ranklift.clicks.results import Floats, Rows
from ranklift.simulator.users import Users


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What some rankings show, best first: arrays of shape (page_size, rankings), padded.

    By rank first: whoever reads down many pages takes one rank at a time.
    """

    document: Keys  # hash of the document id
    log_odds: Floats  # of attraction, for a user with propensity 1; -inf: no result
    satisfaction: Floats  # P(satisfied | clicked)
    log_dwell: Floats | None = None  # added to log dwell; None: nothing
    # Added to the log odds by day, (days, page_size, rankings); None: nothing.
    drift: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The results of some pages as `clicks.results.Results`."""

    of_pages: Keys  # (pages,)
    users: Users  # (pages,)
    shown: Shown
    ranking: NDArray[np.int64]  # (pages,), column in `shown`

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.of_pages), len(self.shown.document)

    def page_keys(self, rows: Rows) -> Keys:
        return self.of_pages[rows]

    def keys(self, rank: int, rows: Rows) -> Keys:
        return extend(self.of_pages[rows], self.shown.document[rank, self.ranking[rows]])

    def attractiveness(self, rank: int, rows: Rows) -> Floats:
        column, users = self.ranking[rows], self.users
        log_odds = self.shown.log_odds[rank, column] + users.log_propensity[rows]
        if users.taste is not None:
            log_odds += users.taste.log_odds(rows, self.shown.document[rank, column])
        if self.shown.drift is not None and users.day is not None:
            log_odds += self.shown.drift[users.day[rows], rank, column]
        if users.depth is not None:
            log_odds[rank >= users.depth[rows]] = -np.inf
        return np.asarray(expit(log_odds))

    def satisfaction(self, rank: int, rows: Rows) -> Floats:
        return np.asarray(self.shown.satisfaction[rank, self.ranking[rows]])
