"""Latency from when a request was due, by schedules worked out by hand. The clock is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from tests.rankers.bench.virtual_time import run

from ranklift.rankers.bench.load import REFUSED_PAUSE_SECONDS, closed_loop, open_loop
from ranklift.rankers.bench.outcomes import NOT_SENT, OK, Reply, Window, summarize


@dataclass
class Counter:
    """A server that takes one request after the other: `usual` seconds each, some of them longer.

    A request whose time is up leaves. `refusing` answers at once.
    """

    usual: float
    longer: Mapping[int, float] = field(default_factory=dict)
    refusing: bool = False
    asked: list[int] = field(default_factory=list)
    free: asyncio.Lock = field(default_factory=asyncio.Lock)

    def pairs(self, number: int) -> int:
        return 10

    async def ask(self, number: int, timeout: float) -> Reply:
        self.asked.append(number)
        if self.refusing:
            return Reply("RESOURCE_EXHAUSTED")
        try:
            async with asyncio.timeout(timeout), self.free:
                await asyncio.sleep(self.longer.get(number, self.usual))
        except TimeoutError:
            return Reply("DEADLINE_EXCEEDED")
        return Reply(OK, tokens=700)


EVERY_10_MS = [0.00, 0.01, 0.02, 0.03, 0.04, 0.05]


def latencies(window: Window) -> list[float]:
    """Return the latencies in the order in which requests were due, in ms."""
    due = sorted(window.outcomes, key=lambda each: each.intended)
    return [round(each.latency * 1e3, 6) for each in due]


def test_a_server_that_keeps_up_answers_in_its_own_time() -> None:
    window = run(open_loop(Counter(0.004), EVERY_10_MS, 0.06))
    assert latencies(window) == [4, 4, 4, 4, 4, 4]


# Request 1 takes 44 ms instead of 4. The ones behind it are done at 58, 62, 66 and 70 ms:
#   due      0    10    20    30    40    50
#   done     4    54    58    62    66    70
STALLED = [4, 44, 38, 32, 26, 20]


def test_a_stall_counts_for_everybody_who_had_to_wait_behind_it() -> None:
    window = run(open_loop(Counter(0.004, {1: 0.044}), EVERY_10_MS, 0.06))
    assert latencies(window) == STALLED
    assert summarize(window).late == 0
    assert window.seconds == pytest.approx(0.070), "until the last answer"


def test_latency_counts_from_when_a_request_was_due_even_if_it_is_sent_late() -> None:
    window = run(open_loop(Counter(0.004, {1: 0.044}), EVERY_10_MS, 0.06, under_way=1))
    due = sorted(window.outcomes, key=lambda each: each.intended)
    sent = [round(each.sent * 1e3, 6) for each in due]
    assert sent == [0, 10, 54, 58, 62, 66]
    assert latencies(window) == STALLED, "not the 4 ms from sending to answer"
    summary = summarize(window)
    assert summary.late == 4
    assert summary.latest_seconds == pytest.approx(0.034)


def test_the_deadline_too_counts_from_when_a_request_was_due() -> None:
    window = run(
        open_loop(Counter(0.004, {1: 0.044}), EVERY_10_MS, 0.06, deadline_seconds=0.04, under_way=1)
    )
    statuses = [each.reply.status for each in sorted(window.outcomes, key=lambda o: o.intended)]
    # Request 1 gives up at 50 ms, 40 after it was due; the others are done at 54, 58, 62 and 66.
    assert statuses == [OK, "DEADLINE_EXCEEDED", OK, OK, OK, OK]
    assert latencies(window) == [4, 40, 34, 28, 22, 16]


def test_what_is_too_late_to_be_sent_is_not_the_server_s_fault() -> None:
    class Deaf(Counter):
        async def ask(self, number: int, timeout: float) -> Reply:
            await asyncio.sleep(0.025)  # whatever the timeout
            return Reply(OK)

    window = run(open_loop(Deaf(0), EVERY_10_MS, 0.06, deadline_seconds=0.012, under_way=1))
    # 0 is under way until 25: what was due at 10 is out of time then, what was due at 20 is not
    # and takes until 50; that is too late for 30, and so on.
    assert summarize(window).refused == {NOT_SENT: 3}
    assert summarize(window).answered == 3


def test_clients_ask_one_question_after_the_other_until_the_time_is_over() -> None:
    server = Counter(0.010)
    window = run(closed_loop(server, clients=2, seconds=0.045, first=7))
    # One at a time: answers at 10, 20, 30, 40, 50, and the one asked at 40 at 60 ms.
    assert server.asked == [7, 8, 9, 10, 11, 12]
    assert latencies(window) == [10, 20, 20, 20, 20, 20]
    summary = summarize(window)
    assert summary.seconds == pytest.approx(0.060)
    assert summary.pairs_per_second == pytest.approx(60 / 0.060)
    assert summary.tokens_per_second == pytest.approx(4_200 / 0.060)


def test_a_refused_client_does_not_become_a_flood() -> None:
    seconds = 1.0
    window = run(closed_loop(Counter(0.0, refusing=True), clients=3, seconds=seconds))
    assert len(window.outcomes) <= 3 * (seconds / REFUSED_PAUSE_SECONDS + 1)
    summary = summarize(window)
    assert summary.refused == {"RESOURCE_EXHAUSTED": len(window.outcomes)}
    assert summary.answered == 0
    assert summary.latency is None
    assert summary.pairs_per_second == 0
    assert summary.tokens_per_second is None
