"""How a caller's deadline is shared between the arm's ranker, the champion and the log."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """How a deadline is divided.

    `default_seconds` holds for callers that set none. `margin_seconds` is kept back to
    record the page and to answer. While the champion can still step in, the arm's
    ranker gets `arm_part`, in (0, 1], of the rest.
    """

    default_seconds: float = 5.0
    margin_seconds: float = 0.02
    arm_part: float = 0.6


@dataclass(frozen=True, slots=True)
class Deadline:
    """The instant by which one caller wants an answer, on the monotonic clock."""

    policy: DeadlinePolicy
    at: float

    @classmethod
    def of(cls, policy: DeadlinePolicy, remaining_seconds: float | None) -> Deadline:
        """Return the deadline of a call; `remaining_seconds` is None when it has none."""
        remaining = policy.default_seconds if remaining_seconds is None else remaining_seconds
        return cls(policy, time.monotonic() + remaining)

    def budget_seconds(self, *, fallback: bool) -> float:
        """Return how long a ranker may take from now on, at least 0.

        With `fallback`, enough is left for the champion when the ranker takes it all.
        """
        rest = self.at - time.monotonic() - self.policy.margin_seconds
        return max(0.0, rest * (self.policy.arm_part if fallback else 1.0))
