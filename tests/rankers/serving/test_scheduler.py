"""The scheduler with rankers: order, batches, faults, deadlines and callers that leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.rankers.serving.gate import Gate, Word

from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.base import Ranker, Text, Values, score_texts
from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.scheduler import Answered, Scheduler
from ranklift.v1.errors import Expired, InvalidRequest, Overloaded


def costing(seconds_per_token: float) -> CostModel:
    cost = CostModel()
    if seconds_per_token:
        cost.observe(1_000, 1_000 * seconds_per_token)
    return cost


def acting(story: Callable[[Scheduler, Gate], Awaitable[None]], **settings: Any) -> None:
    """Let `story` play while the worker is busy with the request "first"."""

    async def act() -> None:
        scheduler, gate = Scheduler(ServingOptions(**settings)), Gate()
        first = asyncio.ensure_future(scheduler.score(gate, CostModel(), [Word("first")], None))
        try:
            assert await asyncio.to_thread(gate.entered.wait, 30)
            await asyncio.wait_for(story(scheduler, gate), 30)
            gate.opened.set()
            await first
        finally:
            gate.opened.set()

    asyncio.run(act())


def ask(
    scheduler: Scheduler,
    gate: Gate,
    pairs: Sequence[Word],
    expires: float | None = None,
    cost: CostModel | None = None,
) -> asyncio.Task[Answered]:
    return asyncio.ensure_future(scheduler.score(gate, cost or CostModel(), pairs, expires))


async def turns(count: int = 3) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["bm25", "decoder", "encoder"])
def test_many_requests_at_once_get_the_scores_that_each_gets_alone(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    ranker: Ranker[Any] = load_ranker(artefacts[kind])
    queries = ["cbaba ababo", "fbafi", "cbabe abade cbabu"]
    requests = [(query, documents[i:]) for query in queries for i in range(len(documents))]

    async def act() -> list[Answered]:
        scheduler, cost = Scheduler(ServingOptions(batch_tokens=64)), CostModel()
        return await asyncio.gather(
            *(
                scheduler.score(ranker, cost, ranker.encode(query, some).pairs, None)
                for query, some in requests
            )
        )

    for (query, some), answered in zip(requests, asyncio.run(act()), strict=True):
        alone = score_texts(ranker, query, some).values
        np.testing.assert_allclose(answered.values, alone, atol=1e-5)
        assert answered.inference_seconds > 0
        assert answered.queue_seconds >= 0


def test_scores_come_back_in_the_order_of_the_pairs() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        call = ask(scheduler, gate, [Word("a", tokens) for tokens in (3, 9, 1, 7)])
        gate.opened.set()
        assert (await call).values.tolist() == [3, 9, 1, 7]
        # Longest first, and no more than the budget in a batch.
        assert [[pair.tokens for pair in batch] for batch in gate.batches[1:]] == [[9], [7, 3], [1]]

    acting(story, batch_tokens=10)


def test_earlier_deadlines_go_first_and_share_batches() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        now = time.perf_counter()
        calls = [
            ask(scheduler, gate, [Word(name)] * 2, now + left)
            for name, left in (("late", 60.0), ("soon", 20.0), ("middle", 40.0))
        ]
        await turns()
        gate.opened.set()
        await asyncio.gather(*calls)
        assert gate.order == ["first", "soon", "middle", "late"]
        assert len(gate.batches) == 2

    acting(story, patience_seconds=600.0)


def test_nothing_waits_for_a_batch_to_fill() -> None:
    async def act() -> None:
        scheduler, gate = Scheduler(), Gate()
        gate.opened.set()
        for name in ("a", "b"):
            await scheduler.score(gate, CostModel(), [Word(name)], None)
        assert len(gate.batches) == 2

    asyncio.run(act())


def test_a_request_whose_pairs_fail_fails_alone() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        gate.broken = frozenset({"bad"})
        calls = [ask(scheduler, gate, [Word(name)] * 2) for name in ("good", "bad", "fine")]
        await turns()
        gate.opened.set()
        good, bad, fine = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(bad, ArithmeticError)
        assert isinstance(good, Answered)
        assert isinstance(fine, Answered)

    acting(story)


def test_a_model_that_loses_scores_is_found_out() -> None:
    class Losing(Gate):
        def scores(self, pairs: Sequence[Word]) -> Values:
            return super().scores(pairs)[1:]

    async def act() -> None:
        losing = Losing()
        losing.opened.set()
        with pytest.raises(ValueError, match="1 scores of 2 pairs"):
            await Scheduler().score(losing, CostModel(), [Word("a")] * 2, None)

    asyncio.run(act())


def test_a_request_that_failed_wastes_no_further_batch() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        gate.broken = frozenset({"bad"})
        call = ask(scheduler, gate, [Word("bad", 10)] * 5)
        gate.opened.set()
        with pytest.raises(ArithmeticError):
            await call
        await ask(scheduler, gate, [Word("next")])
        assert [len(batch) for batch in gate.batches] == [1, 1, 1]

    acting(story, batch_tokens=10)


def test_callers_that_leave_and_deadlines_that_pass_cost_nothing() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        leaving = ask(scheduler, gate, [Word("leaving")])
        expiring = ask(scheduler, gate, [Word("expiring")], time.perf_counter() + 0.05)
        await turns()
        assert scheduler.queued_tokens == 2
        leaving.cancel()
        await turns()
        assert scheduler.queued_tokens == 1
        while time.perf_counter() < expiring_at:
            await asyncio.sleep(0.005)
        gate.opened.set()
        with pytest.raises(Expired):
            await expiring
        await ask(scheduler, gate, [Word("last")])
        assert gate.order == ["first", "last"]

    expiring_at = time.perf_counter() + 1.0
    acting(story)


def test_a_request_that_cannot_be_in_time_is_refused_with_the_predicted_time() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        cost = costing(0.01)
        now = time.perf_counter()
        admitted = ask(scheduler, gate, [Word("admitted")] * 100, now + 30, cost)
        await turns()
        with pytest.raises(Overloaded, match=r"2\.00 s.* leaves 1\.[45]") as caught:
            scheduler.admit(cost, 100, time.perf_counter() + 1.5)
        assert 0 < (caught.value.retry_seconds or 0) < 1.0
        scheduler.admit(cost, 100, time.perf_counter() + 30)
        scheduler.admit(cost, 100, None)
        gate.opened.set()
        await admitted

    acting(story, patience_seconds=0.0, batch_tokens=10)


def test_places_are_held_while_requests_are_tokenised() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        cost = costing(0.01)
        with scheduler.reserve(cost, 100, time.perf_counter() + 30) as place:
            with pytest.raises(Overloaded):
                scheduler.admit(cost, 100, time.perf_counter() + 1.5)
            call = asyncio.ensure_future(
                scheduler.score(gate, cost, [Word("placed")] * 20, None, place)
            )
            await turns()
            assert scheduler.queued_tokens == 20
            gate.opened.set()
            assert len((await call).values) == 20
        assert scheduler.queued_tokens == 0

    acting(story, patience_seconds=0.0)


def test_the_queue_is_bounded_for_calls_without_a_deadline_too() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        waiting = ask(scheduler, gate, [Word("a")] * 2_000)
        await turns()
        with pytest.raises(Overloaded, match="2000 of 3000 tokens"):
            await ask(scheduler, gate, [Word("b")] * 1_001)
        with pytest.raises(InvalidRequest, match="never fit"):
            await ask(scheduler, gate, [Word("c")] * 3_001)
        gate.opened.set()
        await waiting

    acting(story, queue_tokens=3_000)


def test_the_worker_teaches_the_cost_model() -> None:
    async def act() -> None:
        scheduler, gate, cost = Scheduler(), Gate(), CostModel()
        gate.opened.set()
        await scheduler.warm(gate, cost, [Word("warm", 600)])
        assert cost.seconds(600) > 0

    asyncio.run(act())


def test_as_many_batches_are_scored_at_once_as_there_are_workers() -> None:
    async def story(scheduler: Scheduler, gate: Gate) -> None:
        calls = [ask(scheduler, gate, [Word(name, 200)]) for name in ("second", "third")]
        async with asyncio.timeout(30):
            while len(gate.batches) < 2:
                await asyncio.sleep(0.001)
        await turns()
        assert gate.order == ["first", "second"]  # both under way; the third waits for a worker
        gate.opened.set()
        assert [(await call).values.tolist() for call in calls] == [[200], [200]]

    acting(story, workers=2)


def test_what_there_is_is_split_among_idle_workers() -> None:
    async def batches(tokens: Sequence[int]) -> list[list[int]]:
        scheduler, gate = Scheduler(ServingOptions(workers=2)), Gate()
        gate.opened.set()
        words = [Word("a", each) for each in tokens]
        answered = await scheduler.score(gate, CostModel(), words, None)
        assert answered.values.tolist() == list(tokens)
        return sorted([pair.tokens for pair in batch] for batch in gate.batches)

    assert asyncio.run(batches([100] * 4)) == [[100, 100], [100, 100]]
    # Too little to be worth it.
    assert asyncio.run(batches([40] * 3)) == [[40, 40, 40]]


def test_a_forecast_is_of_all_workers_together() -> None:
    async def act() -> None:
        scheduler, gate = Scheduler(ServingOptions(workers=2)), Gate()
        cost = costing(0.01)  # of both: each takes 0.02 s a token
        busy = ask(scheduler, gate, [Word("busy", 1_000)], cost=cost)
        assert await asyncio.to_thread(gate.entered.wait, 30)
        # The other worker is idle, so half of what is under way stands before a newcomer.
        now = time.perf_counter()
        scheduler.admit(cost, 1_000, now + 30.0)
        with pytest.raises(Overloaded, match="would be scored in"):
            scheduler.admit(cost, 1_000, now + 15.0)
        gate.opened.set()
        await busy

    asyncio.run(act())
