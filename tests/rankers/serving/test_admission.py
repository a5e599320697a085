"""Admission keeps its word: what it lets in is in time, as far as its forecasts are right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.serving.admission import check_room, check_time
from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.queue import SMALLEST_CALL_TOKENS, Job, Queue, key_of
from ranklift.v1.errors import InvalidRequest, Overloaded

SECONDS_PER_TOKEN = 0.001


@dataclass(frozen=True)
class Sized:
    tokens: int


def costing(seconds_per_token: float = SECONDS_PER_TOKEN) -> CostModel:
    cost = CostModel()
    cost.observe(1_000, 1_000 * seconds_per_token)
    return cost


def job(
    tokens: int,
    *,
    key: float | None = None,
    expires: float = math.inf,
    cost: CostModel | None = None,
) -> Job:
    made = Job("model", cost or costing(), expires if key is None else key, expires, 0)
    made.give([Sized(tokens)])
    return made


@dataclass(frozen=True)
class Arrival:
    """A request that comes `after` the one before, in seconds."""

    after: float
    lengths: Sequence[int]
    leaves: float | None
    model: str

    def job(self, now: float, patience: float) -> Job:
        expires = math.inf if self.leaves is None else now + self.leaves
        made = Job(self.model, costing(), key_of(now, expires, patience), expires, 0)
        made.give([Sized(tokens) for tokens in self.lengths])
        return made


arrivals = st.lists(
    st.builds(
        Arrival,
        after=st.floats(0, 0.1),
        lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
        leaves=st.none() | st.floats(0.05, 0.5),
        model=st.sampled_from("ab"),
    ),
    min_size=5,
    max_size=40,
)


@given(arrivals, st.floats(0.0, 1.0), st.integers(1, 200), st.booleans())
def test_everybody_who_is_admitted_is_in_time_when_the_forecasts_hold(
    some: list[Arrival], patience: float, budget: int, margin: bool
) -> None:
    """A worker that takes exactly as long as forecast, and a queue under any load."""
    queue: Queue[Job] = Queue()
    admitted: list[Job] = []
    ended: dict[int, float] = {}
    now, free = 0.0, 0.0

    def work_until(then: float) -> None:
        nonlocal free
        while len(queue) and free <= then:
            assert not [late for late in queue.drop_late(free) if late.expires <= free - 1e-9]
            batch = queue.take(free, budget)
            if batch is None:
                return
            free += batch.tokens * SECONDS_PER_TOKEN
            for part in batch.parts:
                if not part.job.waiting:
                    ended[part.job.number] = free

    for arrival in some:
        now += arrival.after
        work_until(now)
        free = max(free, now)
        new = arrival.job(now, patience)
        try:
            check_time(queue, new, now=now, busy=free - now, margin=margin)
        except Overloaded:
            continue
        queue.add(new)
        admitted.append(new)
        work_until(now)
    work_until(math.inf)
    for each in admitted:
        assert ended[each.number] <= each.expires + 1e-9


@given(st.lists(st.integers(1, 3_000)), st.integers(SMALLEST_CALL_TOKENS, 10_000))
def test_the_queue_never_holds_more_than_its_bound(sizes: list[int], room: int) -> None:
    queue: Queue[Job] = Queue()
    for tokens in sizes:
        new = job(tokens)
        try:
            check_room(queue, new, room)
        except (Overloaded, InvalidRequest):
            # Never without need.
            assert queue.tokens + new.room > room
            continue
        queue.add(new)
        assert queue.tokens <= room
        assert len(queue) <= room / SMALLEST_CALL_TOKENS


def refusal(jobs: Sequence[Job], new: Job, busy: float = 0.0) -> Overloaded:
    with pytest.raises(Overloaded) as caught:
        check_time(jobs, new, now=0.0, busy=busy)
    return caught.value


def test_the_refusal_states_the_predicted_time_and_when_to_try_again() -> None:
    # 0.3 s under way, 0.5 s before it, 0.2 s of its own: 1 s, and the margin of 0.105 s.
    error = refusal([job(500, key=0.0)], job(200, expires=0.9), busy=0.3)
    assert "would be scored in 1.00 s, the call leaves 0.90 s" in str(error)
    assert error.retry_seconds == pytest.approx(0.205)
    check_time([job(500, key=0.0)], job(200, expires=1.2), now=0.0, busy=0.3)


def test_what_comes_behind_does_not_delay_a_newcomer() -> None:
    check_time([job(5_000, key=9.0)], job(200, expires=0.9), now=0.0, busy=0.0)


def test_a_newcomer_is_refused_that_would_make_an_admitted_call_late() -> None:
    # It has time itself and an earlier key, but the other one has just enough.
    admitted = job(500, key=1.0, expires=0.6)
    error = refusal([admitted], job(200, key=0.5, expires=5.0))
    assert "admitted before" in str(error)
    assert error.retry_seconds == pytest.approx(0.1)
    check_time([admitted], job(99, key=0.5, expires=5.0), now=0.0, busy=0.0)


def test_a_call_that_is_late_anyway_keeps_nobody_out() -> None:
    lost = job(500, key=1.0, expires=0.4)
    check_time([lost], job(200, key=0.5, expires=5.0), now=0.0, busy=0.0)


def test_each_version_counts_with_its_own_cost() -> None:
    dear = job(100, key=0.0, cost=costing(0.01))
    assert "in 1.10 s" in str(refusal([dear], job(100, expires=1.0)))


def test_a_request_too_large_for_its_deadline_is_told_not_to_try_again() -> None:
    error = refusal([], job(2_000, expires=1.0))
    assert "would take 2.00 s by itself" in str(error)
    assert error.retry_seconds == -1.0


def test_an_idle_machine_tries_what_it_once_could_so_that_a_wrong_forecast_mends() -> None:
    cost = costing()
    for _ in range(100):
        cost.observe(1_000, 50.0)  # the machine was asleep
    new = job(100, expires=0.2, cost=cost)
    check_time([], new, now=0.0, busy=0.0)
    refusal([], new, busy=0.01)


def test_a_request_larger_than_the_queue_is_wrong_and_not_early() -> None:
    with pytest.raises(InvalidRequest, match="can never fit") as caught:
        check_room([], job(1_001), 1_000)
    assert caught.value.violations[0].field == "documents"


def test_a_full_queue_says_when_there_will_be_room() -> None:
    with pytest.raises(Overloaded, match="900 of 1000 tokens") as caught:
        check_room([job(900)], job(700), 1_000)
    assert caught.value.retry_seconds == pytest.approx(0.6)
