"""Bots: users who are programs. The log does not tell them from people; the world does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, extend, uniform
from ranklift.simulator.checks import refuse

ATTRACTED = 30.0  # log odds: to a bot every result that it gets to is attractive
NO_DWELL = -30.0  # on log dwell: to the millisecond it stays for 0 s


@dataclass(frozen=True, slots=True)
class Bots:
    """A share of the users clicks all they look at, stays nowhere and asks for many pages.

    They ask for `pages` times as many pages, or come so many times as often in worlds with
    sessions. How far down they look is the click model's. Both values are assumed.
    """

    share: float = 0.01
    pages: float = 20.0

    def __post_init__(self) -> None:
        refuse(
            "bots",
            self,
            {
                "share": (0 <= self.share <= 1, "in [0, 1]"),
                "pages": (0 < self.pages < np.inf, "above 0"),
            },
        )

    def are(self, seed: int, user: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which users are bots."""
        return np.asarray(uniform(extend(np.uint64(seed), user, Purpose.BOT)) < self.share)

    def activity(self, seed: int, user: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the activity of each user is multiplied by."""
        return np.where(self.are(seed, user), self.pages, 1.0)
