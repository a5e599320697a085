"""Whether an open-loop replay kept to its schedule, and what its users waited.

A client that waits for an answer before it sends the next request never meets the requests that a
stalled server would have kept waiting ("coordinated omission"). So latency counts from when a
page was to be sent, and the latency from when it was sent stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

LATE_AFTER_MS = 5.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds: some percentiles and the most; NaN of nothing."""

    p50: float
    p90: float
    p99: float
    max: float


class Why(IntEnum):
    """What a page waited for when it was due."""

    NOTHING = 0  # but the sender's own turn
    USER = 1  # who had no answer to the page before
    ROOM = 2  # as many calls as allowed were in flight


@dataclass(frozen=True, slots=True)
class Send:
    """One page that went out; instants in seconds since the start, `answered` NaN if it failed."""

    due: float
    sent: float
    answered: float
    why: Why


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How far the sends of a replay were behind their times, and the latency of those answered.

    `late` sends were more than `late_after_ms` behind: of them `late_for_user` waited for their
    own user's answer and `late_for_room` for a call in flight to end; the others show that the
    sending machine is too slow. `held` is how often as many calls as allowed were in flight.
    Rates are sends a second until the last one, as due and as made.
    """

    sends: int
    late_after_ms: float
    late: int
    late_for_user: int
    late_for_room: int
    held: int
    lag: Spread
    from_due: Spread
    from_sent: Spread
    scheduled_rate: float
    achieved_rate: float

    @property
    def late_share(self) -> float:
        return self.late / self.sends if self.sends else 0.0

    @property
    def late_for_sender(self) -> int:
        return self.late - self.late_for_user - self.late_for_room


def spread(milliseconds: ArrayLike) -> Spread:
    """Return how some times are spread."""
    values = np.asarray(milliseconds, dtype=np.float64)
    if not len(values):
        return Spread(*[float("nan")] * 4)
    return Spread(*np.percentile(values, [50, 90, 99, 100]).tolist())


def punctuality(sends: list[Send], late_after_ms: float) -> Punctuality:
    """Return what the sends of a replay come to."""
    due, sent, answered = (
        np.array([(send.due, send.sent, send.answered) for send in sends], dtype=np.float64)
        .reshape(-1, 3)
        .T
        * 1_000
    )
    why = np.array([send.why for send in sends], dtype=np.int64)
    late = sent - due > late_after_ms
    back = np.isfinite(answered)
    return Punctuality(
        sends=len(sends),
        late_after_ms=late_after_ms,
        late=int(late.sum()),
        late_for_user=int((late & (why == Why.USER)).sum()),
        late_for_room=int((late & (why == Why.ROOM)).sum()),
        held=int((why == Why.ROOM).sum()),
        lag=spread(sent - due),
        from_due=spread((answered - due)[back]),
        from_sent=spread((answered - sent)[back]),
        scheduled_rate=_rate(due),
        achieved_rate=_rate(sent),
    )


def _rate(milliseconds: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    last = float(milliseconds.max(initial=0.0))
    return len(milliseconds) / last * 1_000 if last > 0 else float("nan")
