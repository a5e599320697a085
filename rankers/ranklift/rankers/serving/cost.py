"""What a token costs: the forecast behind every admission."""

from __future__ import annotations

# The memory of the average: after so much work an observation counts half. Short, so that a machine
# that slows down is noticed before many deadlines are missed; but one batch is never everything.
HALF_LIFE_SECONDS = 1.0
MOST_FORGOTTEN = 0.25
# Below this, a batch tells more of its fixed costs than of its tokens.
FULL_BATCH_TOKENS = 512


class CostModel:
    """Seconds per token of one loaded version: a moving average, older tokens counting less.

    It lives on one thread, the event loop's. It knows nothing, and forecasts 0,
    until a first observation, which is the warm-up's.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._best: float | None = None

    def seconds(self, tokens: int) -> float:
        """Return how long `tokens` will take."""
        return tokens * self._seconds / self._tokens if self._tokens else 0.0

    def best_seconds(self, tokens: int) -> float:
        """Return how long `tokens` took at the quickest ever seen: a bound, not a forecast."""
        return tokens * self._best if self._best is not None else self.seconds(tokens)

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn that `tokens` (1 or more) took `seconds`."""
        kept = max(0.5 ** (seconds / HALF_LIFE_SECONDS), 1 - MOST_FORGOTTEN)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + seconds
        if tokens >= FULL_BATCH_TOKENS:
            rate = seconds / tokens
            self._best = rate if self._best is None else min(self._best, rate)
