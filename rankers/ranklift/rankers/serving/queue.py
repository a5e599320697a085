"""The requests that wait for the model, as plain data; nothing here knows a clock or a thread.

Earliest deadline first, with ageing (`key_of`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from ranklift.rankers.base import Sized
from ranklift.rankers.serving.cost import CostModel

# A call takes room beside its tokens: it counts as at least so many. That bounds the number of
# calls as well, and with it the time that an admission takes.
SMALLEST_CALL_TOKENS = 512

_numbers = count()


def key_of(arrived: float, expires: float, patience: float) -> float:
    """Return what a job is ordered by.

    Whoever arrives after a job's key has a later key itself: once `patience` is
    over nobody is put in front any more, and nobody starves.
    """
    return min(expires, arrived + patience)


def weight(pair: Sized) -> int:
    """Return what a pair counts: its tokens, and 1 where a ranker read none."""
    return max(pair.tokens, 1)


@dataclass(slots=True, eq=False)
class Job:
    """The pairs of one request that are still to be scored.

    `model` tells whose batches it may share; `expires` is infinite without a
    deadline. `waiting` holds the positions of the pairs that no batch has taken,
    longest last, and `tokens` is what they weigh. While the request is being
    tokenised it has a place but no pairs, and `tokens` is an estimate.
    """

    model: object
    cost: CostModel
    key: float
    expires: float
    tokens: int
    pairs: Sequence[Sized] = ()
    waiting: list[int] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def order(self) -> tuple[float, int]:
        return self.key, self.number

    @property
    def seconds(self) -> float:
        """The forecast for what waits."""
        return self.cost.seconds(self.tokens)

    @property
    def room(self) -> int:
        """What it takes of the queue's room, in tokens."""
        return max(self.tokens, SMALLEST_CALL_TOKENS)

    def give(self, pairs: Sequence[Sized]) -> None:
        """Replace the estimate by the pairs themselves."""
        self.pairs = pairs
        self.waiting = sorted(range(len(pairs)), key=lambda i: (pairs[i].tokens, -i))
        self.tokens = sum(map(weight, pairs))


JobT = TypeVar("JobT", bound=Job)


@dataclass(frozen=True, slots=True)
class Part(Generic[JobT]):
    """Some pairs of one job, by position."""

    job: JobT
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch(Generic[JobT]):
    """Pairs that are scored together, all by one model."""

    parts: tuple[Part[JobT], ...]
    tokens: int


class Queue(Generic[JobT]):
    """Jobs in the order in which they are served."""

    def __init__(self) -> None:
        self._jobs: list[JobT] = []

    def __iter__(self) -> Iterator[JobT]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def tokens(self) -> int:
        """The room that is taken."""
        return sum(job.room for job in self._jobs)

    def add(self, job: JobT) -> None:
        insort(self._jobs, job, key=lambda each: each.order)

    def discard(self, job: JobT) -> None:
        """Let go of a job; one that is not here any more does not matter."""
        if job in self._jobs:
            self._jobs.remove(job)

    def drop_late(self, now: float) -> list[JobT]:
        """Remove and return the jobs that expired, or that would even if they were next.

        Without anyone else waiting, a job is given its chance: it takes nothing
        from others, and tells whether the forecast is still right.
        """
        alone = len(self._jobs) == 1
        late = [
            job
            for job in self._jobs
            if job.expires <= now or (not alone and job.waiting and now + job.seconds > job.expires)
        ]
        for job in late:
            self._jobs.remove(job)
        return late

    @property
    def ready(self) -> int:
        """The tokens of the pairs that a batch could take."""
        return sum(job.tokens for job in self._jobs if job.waiting)

    def take(self, now: float, budget: int, workers: int = 1) -> Batch[JobT] | None:
        """Remove and return the next batch, of at most `budget` tokens; None when nothing waits.

        It is for one of `workers`, and will take so many times the forecast,
        which is for all of them together.

        The first job's model decides, and its followers in the queue are taken
        along as long as they are of the same model, so that nobody is overtaken.
        A follower must not make the batch too late for one that ends in it. A
        pair longer than the budget is a batch of its own.
        """
        parts: list[Part[JobT]] = []
        tokens, latest = 0, float("inf")
        for job in [each for each in self._jobs if each.waiting]:
            if parts and job.model is not parts[0].job.model:
                break
            positions: list[int] = []
            while job.waiting:
                more = weight(job.pairs[job.waiting[-1]])
                ends = now + job.cost.seconds(tokens + more) * workers
                if tokens and (tokens + more > budget or ends > latest):
                    break
                positions.append(job.waiting.pop())
                job.tokens -= more
                tokens += more
            if positions:
                parts.append(Part(job, tuple(positions)))
            if job.waiting:
                break
            self._jobs.remove(job)
            latest = min(latest, job.expires)
        return Batch(tuple(parts), tokens) if parts else None
