"""A circuit breaker: who keeps failing is left alone for a while, then tried with one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether calls go through: all, none, or one to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It opens after `failures_in_a_row`, or when the part `failure_rate`, in (0, 1], of the last
    `calls` failed. It stays open for `open_seconds`, and twice as long after each probe that fails,
    up to `most_open_seconds`.
    """

    failures_in_a_row: int = 5
    failure_rate: float = 0.5
    calls: int = 20
    open_seconds: float = 0.5
    most_open_seconds: float = 8.0


class Breaker:
    """The breaker of one callee. `clock` tells seconds and never goes back.

    Every call is one `admit` and one `ended` with what that gave. What a call of before the last
    change of state tells is too old to count.
    """

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._state = BreakerState.CLOSED
        self._era = 0  # grows with every change of state
        self._in_a_row = 0
        self._failed: deque[bool] = deque(maxlen=policy.calls)
        self._closed_until = 0.0
        self._open_seconds = policy.open_seconds
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """What happens to calls. An open breaker becomes half-open with its first probe."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether `admit` would let a call go now that is no last resort."""
        if self._state is BreakerState.OPEN:
            return self._clock() >= self._closed_until
        return not self._probing

    def admit(self, *, last_resort: bool = False) -> int | None:
        """Return what `ended` wants to know of a call that may go now, None when it may not.

        With `last_resort` any call may: there is nobody else to ask.
        """
        if not (self.ready or last_resort):
            return None
        if self._state is BreakerState.OPEN:
            self._enter(BreakerState.HALF_OPEN)
        self._probing = self._state is BreakerState.HALF_OPEN
        return self._era

    def ended(self, admitted: int, *, well: bool | None) -> None:
        """Say how a call ended: answered, failed by the callee's fault, or None for neither."""
        if admitted != self._era:
            return
        self._probing = False
        if well is None:
            return
        if self._state is BreakerState.HALF_OPEN:
            if well:
                self._close()
            else:
                self._open(min(2 * self._open_seconds, self._policy.most_open_seconds))
            return
        self._in_a_row = 0 if well else self._in_a_row + 1
        self._failed.append(not well)
        if not well and self._fails():
            self._open(self._policy.open_seconds)

    def try_now(self) -> None:
        """Let the next call be a probe: there is reason to think that it is answered."""
        self._closed_until = self._clock()

    def _fails(self) -> bool:
        calls = self._policy.calls
        return self._in_a_row >= self._policy.failures_in_a_row or (
            len(self._failed) == calls and sum(self._failed) >= self._policy.failure_rate * calls
        )

    def _open(self, seconds: float) -> None:
        self._enter(BreakerState.OPEN)
        self._open_seconds = seconds
        self._closed_until = self._clock() + seconds

    def _close(self) -> None:
        self._enter(BreakerState.CLOSED)
        self._in_a_row = 0
        self._failed.clear()

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
        self._probing = False
