"""When a ranker is left alone, and when it is tried again: told by a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.traffic.breaker import Breaker, BreakerPolicy, BreakerState

POLICY = BreakerPolicy(
    failures_in_a_row=3, failure_rate=0.5, calls=8, open_seconds=1.0, most_open_seconds=4.0
)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def call(breaker: Breaker, well: bool | None) -> bool:
    """Make one call and return whether it was let through."""
    admitted = breaker.admit()
    if admitted is not None:
        breaker.ended(admitted, well=well)
    return admitted is not None


def state_of(breaker: Breaker) -> BreakerState:
    """The state, which every call may change."""
    return breaker.state


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(POLICY, clock)
    for _ in range(POLICY.failures_in_a_row):
        assert call(breaker, well=False)
    return breaker


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ("xx", BreakerState.CLOSED),
        ("xxx", BreakerState.OPEN),
        ("xx.xx.xx", BreakerState.OPEN),  # six of eight
        ("xx.x...x", BreakerState.OPEN),  # half of eight
        ("x.x....x", BreakerState.CLOSED),
        ("x.x.x.x", BreakerState.CLOSED),  # half, but of seven
        ("xx.xx...." + "x", BreakerState.CLOSED),  # the first ones are forgotten
        ("xx?xx", BreakerState.OPEN),  # "?" says nothing, and does not break the row
        ("??????????", BreakerState.CLOSED),
    ],
)
def test_it_opens_by_a_row_and_by_a_rate(calls: str, state: BreakerState) -> None:
    breaker = Breaker(POLICY, Clock())
    for each in calls:
        call(breaker, well={"x": False, ".": True, "?": None}[each])
    assert breaker.state is state


def test_it_stays_open_then_lets_one_probe_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 0.99
    assert breaker.admit() is None
    clock.now += 0.01
    probe = breaker.admit()
    assert probe is not None
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.admit() is None
    breaker.ended(probe, well=True)
    assert state_of(breaker) is BreakerState.CLOSED
    # Rows and rates begin anew: what was before the probe is forgotten.
    for each in (True, True, False, True, False):
        assert call(breaker, well=each)
    assert state_of(breaker) is BreakerState.CLOSED


def test_each_failed_probe_doubles_the_wait_up_to_the_most() -> None:
    clock = Clock()
    breaker = opened(clock)
    for wait in (1.0, 2.0, 4.0, 4.0):
        clock.now += wait - 0.01
        assert not call(breaker, well=True)
        clock.now += 0.01
        assert call(breaker, well=False)
    clock.now += 4.0
    assert call(breaker, well=True)
    for _ in range(POLICY.failures_in_a_row):
        call(breaker, well=False)
    clock.now += 1.0  # once it has been well, the waits begin anew
    assert call(breaker, well=True)


def test_a_probe_that_says_nothing_gives_its_place_to_the_next() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1.0
    assert call(breaker, well=None)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert call(breaker, well=True)
    assert state_of(breaker) is BreakerState.CLOSED


def test_calls_of_before_it_opened_change_nothing() -> None:
    clock = Clock()
    breaker = Breaker(POLICY, clock)
    slow = [breaker.admit() for _ in range(2)]
    for _ in range(POLICY.failures_in_a_row):
        call(breaker, well=False)
    clock.now += 1.0
    probe = breaker.admit()
    assert probe is not None
    for well, admitted in zip((True, False), slow, strict=True):
        assert admitted is not None
        breaker.ended(admitted, well=well)
        assert state_of(breaker) is BreakerState.HALF_OPEN
        assert breaker.admit() is None
    breaker.ended(probe, well=True)
    assert state_of(breaker) is BreakerState.CLOSED


def test_the_last_resort_goes_through_whatever_the_state() -> None:
    clock = Clock()
    breaker = opened(clock)
    first, second = breaker.admit(last_resort=True), breaker.admit(last_resort=True)
    assert first is not None
    assert second is not None
    assert breaker.admit() is None  # others wait for the probes
    breaker.ended(first, well=False)
    assert state_of(breaker) is BreakerState.OPEN
    breaker.ended(second, well=True)  # of before it opened again
    assert state_of(breaker) is BreakerState.OPEN
    third = breaker.admit(last_resort=True)
    assert third is not None
    breaker.ended(third, well=True)
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_hint_lets_the_next_call_probe() -> None:
    breaker = opened(Clock())
    assert not breaker.ready
    breaker.try_now()
    assert breaker.ready
    assert call(breaker, well=True)
    assert state_of(breaker) is BreakerState.CLOSED


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from((True, False, None))), max_size=200))
def test_whatever_happens_it_lets_a_call_through_within_the_longest_wait(
    calls: list[tuple[float, bool | None]],
) -> None:
    clock = Clock()
    breaker = Breaker(POLICY, clock)
    last = clock.now
    for pause, well in calls:
        clock.now += pause
        if call(breaker, well):
            last = clock.now
        else:
            assert state_of(breaker) is BreakerState.OPEN
            assert clock.now - last < POLICY.most_open_seconds
    clock.now += POLICY.most_open_seconds
    assert call(breaker, well=True)
    assert state_of(breaker) is BreakerState.CLOSED
