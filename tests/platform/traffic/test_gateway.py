"""The gateway: the ranking of the arm, a page on record, refusals that name the field."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from ranklift.store.values import ModelRef, RegisteredExperiment
from ranklift.traffic.deadlines import DeadlinePolicy
from ranklift.traffic.routing import ServingConfig
from ranklift.v1.errors import InvalidRequest, Violation
from ranklift.v1.ranking_pb2 import (
    FALLBACK_REASON_ERROR,
    Document,
    ModelSelector,
    RankResponse,
)
from ranklift.v1.status import violations_of

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
CONTROLLED, TREATED = "user-6", "user-1"  # by docs/assignment.md
Running = Callable[..., RegisteredExperiment]


@pytest.fixture
def halves(running: Running) -> ServingConfig:
    """bm25@1 against student@1, half of the users each; bm25@1 is the champion."""
    return ServingConfig.of([running()], CHAMPION)


def ids(reply: RankResponse) -> list[str]:
    return [result.id for result in reply.results]


def test_a_unit_is_served_by_its_arm(install: Any, toy_ranker: Any, halves: ServingConfig) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION, CHALLENGER), config=halves) as ranklift:
            controlled = await ranklift.rank(user_id=CONTROLLED)
            treated = await ranklift.rank(user_id=TREATED)
            assert (ids(controlled), ids(treated)) == (["a", "b", "c"], ["c", "b", "a"])
            assert (controlled.model.name, treated.model.name) == ("bm25", "student")
            (assignment,) = treated.assignments
            assert (assignment.experiment, assignment.revision) == ("title-boost", 2)
            assert (assignment.layer, assignment.arm) == ("default", "treatment")
            assert (assignment.unit_id, assignment.bucket) == (TREATED, 5_949)
            assert not treated.fallback_reason

    asyncio.run(scenario())


def test_rankers_are_told_which_calls_belong_to_an_experiment(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker(CHALLENGER)
        async with install(*rankers, config=halves) as ranklift:
            for user in (CONTROLLED, TREATED, ""):
                await ranklift.rank(user_id=user)
            # The champion that steps in for an arm answers for the experiment, too.
            rankers[1].trouble = grpc.StatusCode.INTERNAL
            await ranklift.rank(user_id=TREATED)
        assert rankers[0].experiments == ["title-boost", "", "title-boost"]
        assert rankers[1].experiments == ["title-boost", "title-boost"]

    asyncio.run(scenario())


def test_a_reply_carries_what_the_ranker_said(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION, CHALLENGER), config=halves) as ranklift:
            reply = await ranklift.rank(user_id=TREATED)
            assert (reply.model.version, reply.model.digest) == ("1", "sha256:00")
            assert reply.timing.total.ToMilliseconds() == 3
            assert reply.tokens == 7
            assert list(reply.truncated_document_ids) == ["a"]
            assert [result.relevance_score for result in reply.results] == [0.0, -1.0, -2.0]

    asyncio.run(scenario())


def test_what_only_the_gateway_may_say_is_not_taken_from_a_ranker(
    install: Any, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:

            def lie(reply: RankResponse) -> None:
                reply.impression_id = "mine"
                reply.fallback_reason = FALLBACK_REASON_ERROR
                reply.assignments.add(arm="mine")

            ranklift.rankers[0].spoil = lie
            reply = await ranklift.rank(request_id="r-1")
            assert reply.impression_id == "r-1"
            assert not reply.assignments
            assert not reply.fallback_reason

    asyncio.run(scenario())


def test_the_page_is_on_record_when_the_call_returns(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION, CHALLENGER), config=halves) as ranklift:
            asked = Timestamp()
            asked.FromDatetime(datetime(2029, 5, 1, tzinfo=UTC))
            reply = await ranklift.rank(
                user_id=TREATED, session_id="s-1", top_n=2, request_time=asked
            )
            page = ranklift.pages.pages[reply.impression_id]
            assert (page.user_id, page.session_id, page.query) == (TREATED, "s-1", "shoes")
            assert page.page_time == datetime(2029, 5, 1, tzinfo=UTC)
            # In the order shown, and only what was shown.
            assert (page.documents, page.scores) == (("c", "b"), (0.0, -1.0))
            assert (page.model, page.version, page.digest) == ("student", "1", "sha256:00")
            (assignment,) = page.assignments
            assert (assignment.arm, assignment.unit_id) == ("treatment", TREATED)
            assert page.fallback_reason == ""
            assert 0 < page.latency_ms < 5_000
            shown = ranklift.pages.documents[reply.impression_id]
            assert [(one.document_id, one.title, one.text) for one in shown] == [
                ("c", "title of c", "text of c"),
                ("b", "title of b", "text of b"),
            ]

    asyncio.run(scenario())


def test_a_request_without_a_time_is_of_now(install: Any, toy_ranker: Any) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            before = datetime.now(UTC)
            reply = await ranklift.rank()
            page = ranklift.pages.pages[reply.impression_id]
            assert before <= page.page_time <= datetime.now(UTC)

    asyncio.run(scenario())


def test_impressions_are_named_by_the_request_or_at_random(install: Any, toy_ranker: Any) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            for _ in range(2):
                assert (await ranklift.rank(request_id="r-1")).impression_id == "r-1"
            random = {(await ranklift.rank()).impression_id for _ in range(3)}
            assert len(random) == 3
            assert set(ranklift.pages.pages) == {"r-1", *random}

    asyncio.run(scenario())


def test_whoever_is_in_no_experiment_gets_the_champion(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION, CHALLENGER), config=halves) as ranklift:
            reply = await ranklift.rank(user_id="")
            assert reply.model.name == "bm25"
            assert not reply.assignments
            assert ranklift.pages.pages[reply.impression_id].assignments == ()

    asyncio.run(scenario())


def test_a_page_that_cannot_be_recorded_is_served_without_an_id(
    install: Any, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            ranklift.pages.trouble = OSError("no space left on device")
            reply = await ranklift.rank(request_id="r-1")
            assert ids(reply) == ["a", "b", "c"]
            assert reply.impression_id == ""
            assert ranklift.servicer.counts == {"record_failed": 1}
            ranklift.pages.trouble = None
            assert (await ranklift.rank(request_id="r-1")).impression_id == "r-1"
            assert ranklift.servicer.counts == {"record_failed": 1, "pages": 1}

    asyncio.run(scenario())


def test_the_user_does_not_wait_for_the_disk_and_a_page_it_refuses_later_is_counted(
    install: Any, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            ranklift.pages.slow = True
            replies = [await ranklift.rank(request_id=name) for name in ("r-1", "r-2")]
            assert [reply.impression_id for reply in replies] == ["r-1", "r-2"]
            kept, lost = ranklift.pages.recordings
            with structlog.testing.capture_logs() as lines:
                kept.set_result(None)
                lost.set_exception(OSError("no space left on device"))
            assert ranklift.servicer.counts == {"pages": 2, "pages_lost": 1}
            (line,) = lines
            assert (line["event"], line["impression_id"]) == ("page_lost", "r-2")
            assert "no space left" in line["error"]

    asyncio.run(scenario())


def test_a_strict_gateway_answers_when_the_page_is_on_disk(install: Any, toy_ranker: Any) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION), strict=True) as ranklift:
            ranklift.pages.slow = True
            for name, trouble in (("r-1", None), ("r-2", OSError("no space left on device"))):
                call = asyncio.create_task(ranklift.rank(request_id=name))
                while name not in ranklift.pages.pages:
                    await asyncio.sleep(0.005)
                assert not call.done()
                recording = ranklift.pages.recordings[-1]
                if trouble is None:
                    recording.set_result(None)
                    assert (await call).impression_id == name
                else:
                    recording.set_exception(trouble)
                    assert (await call).impression_id == ""
            assert ranklift.servicer.counts == {"pages": 1, "record_failed": 1}

    asyncio.run(scenario())


async def refused(call: Any) -> tuple[grpc.StatusCode, tuple[Violation, ...]]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), violations_of(caught.value)


def document(name: str, text: str = "text") -> Document:
    return Document(id=name, text=text)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": " \t"}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": [document("a"), document("b"), document("a")]}, "documents[2].id"),
        ({"documents": [document("a", "x" * 200_000)]}, "documents[0].text"),
        ({"documents": [document("")]}, "documents[0].id"),
        ({"top_n": -1}, "top_n"),
        ({"model": ModelSelector(name="student")}, "model"),
        ({"model": ModelSelector(version="1")}, "model"),
        ({"request_id": "r" * 257}, "request_id"),
        ({"user_id": "u" * 257}, "user_id"),
        ({"session_id": "s" * 257}, "session_id"),
        ({"request_time": Timestamp(seconds=10**12)}, "request_time"),
    ],
)
def test_a_bad_request_is_refused_with_its_field(
    install: Any, toy_ranker: Any, fields: dict[str, Any], field: str
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            code, violations = await refused(ranklift.rank(**fields))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert [violation.field for violation in violations] == [field]
            # Nothing else is disturbed.
            assert not ranklift.rankers[0].asked
            assert not ranklift.pages.pages
            assert ids(await ranklift.rank()) == ["a", "b", "c"]

    asyncio.run(scenario())


def test_all_that_is_wrong_is_said_at_once(install: Any, toy_ranker: Any) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            _, violations = await refused(
                ranklift.rank(query="", model=ModelSelector(name="student"))
            )
            assert [violation.field for violation in violations] == ["query", "model"]

    asyncio.run(scenario())


def test_a_rankers_refusal_is_passed_on_unchanged(
    install: Any, toy_ranker: Any, halves: ServingConfig
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION, CHALLENGER), config=halves) as ranklift:
            violation = Violation("max_tokens_per_document", "600 is above 512")
            ranklift.rankers[0].trouble = InvalidRequest([violation])
            code, violations = await refused(ranklift.rank(user_id=TREATED))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert violations == (violation,)
            assert len(ranklift.rankers[0].asked) == 1
            assert not ranklift.pages.pages

    asyncio.run(scenario())


def test_a_status_keeps_its_message_and_trailers(install: Any, toy_ranker: Any) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            ranklift.rankers[0].trouble = grpc.StatusCode.RESOURCE_EXHAUSTED
            with pytest.raises(aio.AioRpcError) as caught:
                await ranklift.rank()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == "trouble"
            assert ("x-trouble", "toil") in tuple(caught.value.trailing_metadata())

    asyncio.run(scenario())


def test_without_champion_and_experiment_the_caller_is_told_what_to_do(
    install: Any, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION), config=ServingConfig()) as ranklift:
            with pytest.raises(aio.AioRpcError) as caught:
                await ranklift.rank()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "set one with ModelService.SetChampion" in str(caught.value.details())

    asyncio.run(scenario())


def test_a_call_that_the_client_gives_up_ends_at_the_ranker_too(
    install: Any, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        async with install(toy_ranker(CHAMPION)) as ranklift:
            ranklift.rankers[0].delay_seconds = 30.0
            call = asyncio.create_task(ranklift.rank(timeout_seconds=None))
            while not ranklift.rankers[0].asked:
                await asyncio.sleep(0.01)
            call.cancel()
            await asyncio.wait_for(ranklift.rankers[0].cancelled.wait(), 5)
            assert not ranklift.pages.pages

    asyncio.run(scenario())


def test_a_caller_without_a_deadline_gets_the_default(install: Any, toy_ranker: Any) -> None:
    async def scenario() -> None:
        policy = DeadlinePolicy(default_seconds=0.2)
        async with install(toy_ranker(CHAMPION), deadlines=policy) as ranklift:
            ranklift.rankers[0].delay_seconds = 30.0
            code, _ = await refused(ranklift.rank(timeout_seconds=None))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED

    asyncio.run(scenario())
