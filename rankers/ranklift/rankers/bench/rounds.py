"""Several endpoints in turns, so that what the machine does meanwhile meets all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.bench.arrivals import evenly, poisson
from ranklift.rankers.bench.load import (
    MAX_REQUESTS,
    MAX_UNDER_WAY,
    Endpoint,
    closed_loop,
    open_loop,
)
from ranklift.rankers.bench.outcomes import Summary, Window
from ranklift.v1.errors import Violation, refuse_if_any

MAX_RATE = 10_000.0
MAX_SECONDS = 3_600.0
WARM_UP = 10_000  # the number of a round that is not counted; it only chooses arrivals


@dataclass(frozen=True, slots=True)
class Plan:
    """The load of one round: `rate` requests a second, or `clients` in a closed loop.

    Of a rate, requests are due as a Poisson process drawn from `seed`, or `even`ly. Every round
    gives every endpoint `seconds` of it, after `warm_up` seconds each that are not counted.
    """

    rate: float | None = None
    clients: int | None = None
    even: bool = False
    seconds: float = 10.0
    rounds: int = 1
    warm_up: float = 1.0
    deadline_seconds: float | None = None
    seed: int = 0

    def check(self, endpoints: int) -> None:
        """Check that the load is possible and comes to an end.

        Raises:
            InvalidRequest: it is not.
        """
        refuse_if_any(self._violations(endpoints))

    def _violations(self, endpoints: int) -> list[Violation]:
        found = []

        def need(field: str, value: float, low: float, high: float) -> None:
            if not low <= value <= high:
                found.append(Violation(field, f"is {value:g}, must be {low:g} to {high:,g}"))

        if (self.rate is None) == (self.clients is None):
            found.append(Violation("rate", "give either a rate or a number of clients"))
        if self.rate is not None:
            need("rate", self.rate, 0.01, MAX_RATE)
        if self.clients is not None:
            need("clients", self.clients, 1, MAX_UNDER_WAY)
            if self.even:
                found.append(Violation("even", "is about a rate; clients ask when they are free"))
        need("seconds", self.seconds, 0.1, MAX_SECONDS)
        need("rounds", self.rounds, 1, 1_000)
        need("warm_up", self.warm_up, 0, 60)
        if self.deadline_seconds is not None and not 0 < self.deadline_seconds <= 60:
            found.append(Violation("deadline_ms", "must be above 0 and at most 60,000"))
        if not found:
            total = endpoints * (self.rounds * self.seconds + self.warm_up)
            if total > MAX_SECONDS:
                found.append(
                    Violation("seconds", f"come to {total:,.0f} in all, at most {MAX_SECONDS:,.0f}")
                )
            if (self.rate or 0) * self.seconds > MAX_REQUESTS / 2:
                found.append(
                    Violation("rate", f"times seconds is above {MAX_REQUESTS // 2:,} requests")
                )
        return found


Told = Callable[[int, int], None]


async def alternate(
    endpoints: Mapping[str, Endpoint], plan: Plan, told: Told = lambda done, total: None
) -> dict[str, list[Window]]:
    """Give every endpoint its load in turns, A B A B, and return its windows, one a round.

    In a round all endpoints get the same questions at the same times; each round goes on where the
    fastest of the one before ended. `told` hears how many windows of how many are done.
    """
    windows: dict[str, list[Window]] = {name: [] for name in endpoints}
    first, total = 0, plan.rounds * len(endpoints)
    if plan.warm_up:
        warmed = [await one_window(e, plan, WARM_UP, 0, plan.warm_up) for e in endpoints.values()]
        first = max(len(each.outcomes) for each in warmed)
    for round_ in range(plan.rounds):
        for done, (name, endpoint) in enumerate(endpoints.items(), round_ * len(endpoints)):
            told(done, total)
            windows[name].append(await one_window(endpoint, plan, round_, first, plan.seconds))
        first += max(len(each[-1].outcomes) for each in windows.values())
    told(total, total)
    return windows


async def one_window(
    endpoint: Endpoint, plan: Plan, round_: int, first: int, seconds: float
) -> Window:
    """Give one endpoint its load of one round, from question number `first` on."""
    if plan.clients is not None:
        return await closed_loop(
            endpoint, plan.clients, seconds, first=first, deadline_seconds=plan.deadline_seconds
        )
    rate = plan.rate or 0.0
    if plan.even:
        times = evenly(rate, seconds)
    else:
        times = poisson(rate, seconds, rng=np.random.default_rng((plan.seed, round_)))
    return await open_loop(
        endpoint, times.tolist(), seconds, first=first, deadline_seconds=plan.deadline_seconds
    )


@dataclass(frozen=True, slots=True)
class Ratio:
    """A quantity of one endpoint divided by another's, over the rounds that have both."""

    median: float
    min: float
    max: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return the ratios round by round: what the machine did meanwhile cancels out."""
    found = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(found), min(found), max(found))


def ratios(ours: Sequence[Summary], theirs: Sequence[Summary]) -> dict[str, Ratio]:
    """Return our pairs a second, p50 and p99 divided by theirs, of the rounds answered by both."""
    both = [
        ((a.pairs_per_second, a.latency), (b.pairs_per_second, b.latency))
        for a, b in zip(ours, theirs, strict=True)
        if a.latency is not None and b.latency is not None
    ]
    if not both:
        return {}
    return {
        "pairs_per_second": ratio([a for (a, _), _ in both], [b for _, (b, _) in both]),
        "p50": ratio([a.p50 for (_, a), _ in both], [b.p50 for _, (_, b) in both]),
        "p99": ratio([a.p99 for (_, a), _ in both], [b.p99 for _, (_, b) in both]),
    }
