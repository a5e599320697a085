"""Device segments: which device each user searches with, and what that changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, extend, uniform
from ranklift.simulator.checks import refuse


@dataclass(frozen=True, slots=True)
class Segment:
    """The users of one kind of device.

    `log_propensity` is added to their log odds of a click. They look at the first `depth` results
    at most (None: all). `good_abandonment` is the share of their pages without a click that
    satisfied all the same, and `patience` is added to the log odds that their visit goes on; both
    count in worlds with sessions.
    """

    name: str
    share: float
    log_propensity: float = 0.0
    depth: int | None = None
    good_abandonment: float = 0.3
    patience: float = 0.0

    def __post_init__(self) -> None:
        refuse(
            f'segment "{self.name}"',
            self,
            {
                "share": (0 < self.share <= 1, "in (0, 1]"),
                "log_propensity": (abs(self.log_propensity) < np.inf, "a number"),
                "depth": (self.depth is None or self.depth >= 1, "at least 1, or None"),
                "good_abandonment": (0 <= self.good_abandonment <= 1, "in [0, 1]"),
                "patience": (abs(self.patience) < np.inf, "a number"),
            },
        )


# More good abandonment on mobile: Li, Huffman and Tokuda, "Good abandonment in mobile and PC
# internet search", SIGIR 2009. All numbers are assumed.
SEGMENTS = (
    Segment("desktop", 0.50),
    Segment("mobile", 0.45, log_propensity=-0.1, depth=8, good_abandonment=0.5, patience=-0.2),
    Segment("tablet", 0.05, good_abandonment=0.4),
)


@dataclass(frozen=True, slots=True)
class Devices:
    """The segments that users fall into; `share` of all sums to 1."""

    segments: tuple[Segment, ...] = SEGMENTS

    def __post_init__(self) -> None:
        shares = sum(segment.share for segment in self.segments)
        refuse("devices", self, {"segments": (abs(shares - 1) < 1e-9, "of shares that sum to 1")})

    def of(self, seed: int, user: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the segment of each user, an index into `segments`."""
        shares = np.cumsum([segment.share for segment in self.segments])[:-1]
        u = uniform(extend(np.uint64(seed), user, Purpose.DEVICE))
        return np.searchsorted(shares, u, side="right").astype(np.int64)

    def field(self, name: str, segment: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a number of the segment of each user; inf where it is None."""
        values = [getattr(one, name) for one in self.segments]
        return np.array([np.inf if v is None else float(v) for v in values])[segment]
