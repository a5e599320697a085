"""How many calls may be tried again: a part of them, so that retries never become a storm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A call earns the part `ratio` of a retry, a second `per_second`; up to `saved` are kept.

    In any span of time there are at most saved + ratio * calls + per_second * seconds retries.
    """

    ratio: float = 0.1
    per_second: float = 1.0
    saved: float = 10.0


class RetryBudget:
    """The retries that are left: a token bucket. `clock` tells seconds and never goes back."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._tokens = policy.saved
        self._filled = clock()

    def call(self) -> None:
        """Note a call, retries not counted."""
        self._add(self._policy.ratio)

    def take(self) -> bool:
        """Return whether a call may be tried again now, and count that it is."""
        self._add(0.0)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _add(self, tokens: float) -> None:
        now = self._clock()
        earned = tokens + (now - self._filled) * self._policy.per_second
        self._tokens = min(self._policy.saved, self._tokens + earned)
        self._filled = now
