"""The queue's laws: the order, the batches, who is dropped, and that nobody starves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.queue import SMALLEST_CALL_TOKENS, Batch, Job, Queue, key_of, weight

SECONDS_PER_TOKEN = 0.001
NEVER = math.inf


@dataclass(frozen=True)
class Sized:
    tokens: int


def job(
    lengths: Sequence[int], *, key: float = 0.0, expires: float = NEVER, model: object = "a"
) -> Job:
    cost = CostModel()
    cost.observe(1_000, 1_000 * SECONDS_PER_TOKEN)
    made = Job(model, cost, key, expires, 0)
    made.give([Sized(tokens) for tokens in lengths])
    return made


def queue_of(jobs: Sequence[Job]) -> Queue[Job]:
    queue: Queue[Job] = Queue()
    for each in jobs:
        queue.add(each)
    return queue


def taken(batch: Batch[Job] | None) -> list[list[int]]:
    """Return the lengths of a batch's pairs, part by part."""
    assert batch is not None
    return [[part.job.pairs[i].tokens for i in part.positions] for part in batch.parts]


lengths = st.lists(st.integers(0, 40), min_size=1, max_size=8)
jobs = st.lists(
    st.builds(job, lengths, key=st.floats(0, 10), model=st.sampled_from("ab")),
    min_size=1,
    max_size=8,
)


@given(jobs, st.integers(1, 100))
def test_every_pair_is_taken_once_in_batches_of_one_model_within_the_budget(
    some: list[Job], budget: int
) -> None:
    queue = queue_of(some)
    seen: list[tuple[int, int]] = []
    while batch := queue.take(0.0, budget):
        weights = [weight(part.job.pairs[i]) for part in batch.parts for i in part.positions]
        assert batch.tokens == sum(weights)
        assert batch.tokens <= budget or len(weights) == 1
        assert len({part.job.model for part in batch.parts}) == 1
        seen += [(part.job.number, i) for part in batch.parts for i in part.positions]
    assert not len(queue)
    assert sorted(seen) == sorted((each.number, i) for each in some for i in range(len(each.pairs)))
    assert all(each.tokens == 0 for each in some)


@given(jobs, st.integers(1, 100))
def test_jobs_end_in_the_order_of_their_keys(some: list[Job], budget: int) -> None:
    queue = queue_of(some)
    ended: list[int] = []
    while batch := queue.take(0.0, budget):
        ended += [part.job.number for part in batch.parts if not part.job.waiting]
    assert ended == [each.number for each in sorted(some, key=lambda each: each.order)]


@given(
    st.lists(st.tuples(st.floats(0, 0.1), st.none() | st.floats(0.01, 5)), min_size=1),
    st.floats(0, 2),
)
def test_nobody_starves(arrivals: list[tuple[float, float | None]], patience: float) -> None:
    """Under a load that the worker does not keep up with, for ever."""
    queue = queue_of([])
    arrived: dict[int, float] = {}
    served: list[Job] = []
    now = 0.0
    for turn, (after, leaves) in enumerate(arrivals):
        now += after
        expires = NEVER if leaves is None else now + leaves
        new = job([10], key=key_of(now, expires, patience), expires=expires)
        arrived[new.number] = now
        queue.add(new)
        if turn % 3 == 0 and (batch := queue.take(now, 10)):
            served.append(batch.parts[0].job)
    while batch := queue.take(now, 10):
        served.append(batch.parts[0].job)
    for place, each in enumerate(served):
        overtakers = [one for one in served[:place] if arrived[one.number] > arrived[each.number]]
        assert all(arrived[one.number] <= arrived[each.number] + patience for one in overtakers)


def test_a_long_pair_is_a_batch_of_its_own() -> None:
    queue = queue_of([job([5, 500, 7])])
    assert taken(queue.take(0.0, 10)) == [[500]]
    assert taken(queue.take(0.0, 20)) == [[7, 5]]


def test_followers_are_taken_along_until_another_model_comes() -> None:
    some = [
        job([4], key=1.0),
        job([3, 3, 3], key=2.0),
        job([9], key=3.0, model="b"),
        job([1], key=4.0),
    ]
    queue = queue_of(some)
    assert taken(queue.take(0.0, 10)) == [[4], [3, 3]]
    assert taken(queue.take(0.0, 10)) == [[3]]  # the last one may not overtake "b"
    assert taken(queue.take(0.0, 10)) == [[9]]
    assert taken(queue.take(0.0, 10)) == [[1]]


def test_a_follower_makes_nobody_late() -> None:
    # At 1 ms a token: ten tokens are there by 0.010, the follower's would take until 0.015.
    def batch(expires: float) -> list[list[int]]:
        first = job([10], key=1.0, expires=expires)
        return taken(queue_of([first, job([5], key=2.0)]).take(0.0, 100))

    assert batch(0.012) == [[10]]
    assert batch(0.016) == [[10], [5]]


def test_jobs_that_cannot_be_in_time_are_dropped() -> None:
    expired = job([1], expires=1.0)
    hopeless = job([500], expires=1.2)
    fine = job([100], expires=1.2)
    without = job([500])
    queue = queue_of([expired, hopeless, fine, without])
    assert queue.drop_late(1.0) == [expired, hopeless]
    assert list(queue) == [fine, without]


def test_a_hopeless_job_is_given_its_chance_when_nobody_else_waits() -> None:
    hopeless = job([500], expires=1.2)
    queue = queue_of([hopeless])
    assert queue.drop_late(1.0) == []
    assert queue.drop_late(1.2) == [hopeless]


def test_a_place_without_pairs_is_kept_and_not_taken() -> None:
    place = Job(None, CostModel(), 0.0, NEVER, 1_000)
    queue = queue_of([place, job([3], key=1.0)])
    assert queue.tokens == 1_000 + SMALLEST_CALL_TOKENS
    assert taken(queue.take(0.0, 10)) == [[3]]
    assert list(queue) == [place]
    queue.discard(place)
    queue.discard(place)
    assert queue.take(0.0, 10) is None


def test_the_cost_model_follows_the_machine_and_remembers_the_best() -> None:
    cost = CostModel()
    assert cost.seconds(100) == 0.0
    cost.observe(1_000, 1.0)
    assert cost.seconds(100) == 0.1
    for _ in range(200):
        cost.observe(1_000, 2.0)
    assert math.isclose(cost.seconds(100), 0.2, rel_tol=1e-3)
    assert cost.best_seconds(100) == 0.1
    # One slow batch of a few tokens says little.
    cost.observe(10, 0.1)
    assert cost.seconds(100) < 0.21
