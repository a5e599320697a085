"""What became of the requests of one window of load, and its sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

OK = "OK"
NOT_SENT = "NOT_SENT"  # our own failing: its deadline had passed before we came to send it
LATE_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered.

    `status` is "OK", the name of a gRPC status, "HTTP 429" and the like, or what was wrong with
    the answer. `tokens`, `numerics` and `digest` stand where the endpoint tells.
    """

    status: str
    tokens: int | None = None
    numerics: str = ""
    digest: str = ""

    @property
    def answered(self) -> bool:
        return self.status == OK


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was due, sent and over, in seconds on one clock."""

    intended: float
    sent: float
    finished: float
    pairs: int
    reply: Reply

    @property
    def latency(self) -> float:
        """Seconds from when the request was due.

        Counted from when it was sent, a server that stalls would be measured by the few requests
        that met the stall and not by those that had to wait behind them ("coordinated omission").
        """
        return self.finished - self.intended


@dataclass(frozen=True, slots=True)
class Window:
    """The requests to one endpoint in the order they were over, when their load began, and how many
    seconds of it were planned."""

    started: float
    planned: float
    outcomes: tuple[Outcome, ...]

    @property
    def seconds(self) -> float:
        """From the start to the end of the plan, or to the last answer if that was later.

        What was under way when the load ended is work that was asked for, and so is its time.
        """
        last = max((each.finished for each in self.outcomes), default=self.started)
        return max(self.planned, last - self.started)

    @property
    def answered(self) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.reply.answered)


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of latencies in seconds, each the latency of some request."""

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums of one window.

    `latency` is that of answered requests, None when there is none; of fewer than 100 answers p99
    is the slowest. `refused` counts the others by status. `late` requests were sent more than 1 ms
    after they were due, the latest by `latest_seconds`. `tokens_per_second` is None when a reply
    did not tell its tokens.
    """

    seconds: float
    requests: int
    answered: int
    refused: Mapping[str, int]
    late: int
    latest_seconds: float
    latency: Latency | None
    pairs_per_second: float
    tokens_per_second: float | None
    numerics: tuple[str, ...]


def quantiles(latencies: Sequence[float]) -> Latency:
    """Return the smallest latencies that 50, 90, 99 and 100 % of the requests do not exceed."""
    p50, p90, p99, most = np.quantile(latencies, (0.5, 0.9, 0.99, 1.0), method="inverted_cdf")
    return Latency(float(p50), float(p90), float(p99), float(most))


def summarize(window: Window) -> Summary:
    """Return the sums of a window."""
    answered = window.answered
    seconds = window.seconds
    tokens = [each.reply.tokens for each in answered if each.reply.tokens is not None]
    told = bool(answered) and len(tokens) == len(answered)
    lateness = [each.sent - each.intended for each in window.outcomes]
    statuses = Counter(each.reply.status for each in window.outcomes)
    return Summary(
        seconds=seconds,
        requests=len(window.outcomes),
        answered=len(answered),
        refused={status: n for status, n in sorted(statuses.items()) if status != OK},
        late=sum(each > LATE_SECONDS for each in lateness),
        latest_seconds=max(lateness, default=0.0),
        latency=quantiles([each.latency for each in answered]) if answered else None,
        pairs_per_second=sum(each.pairs for each in answered) / seconds,
        tokens_per_second=sum(tokens) / seconds if told else None,
        numerics=tuple(sorted({each.reply.numerics for each in answered} - {""})),
    )
