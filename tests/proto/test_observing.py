"""An observer is told of every call, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest
from grpc import aio

from ranklift.v1 import ranking_pb2
from ranklift.v1.errors import Overloaded
from ranklift.v1.hosting import host
from ranklift.v1.observing import Context, ObservedRanking, RankCall
from ranklift.v1.ranking_pb2_grpc import (
    RankingServiceStub,
    add_RankingServiceServicer_to_server,
)

REPLY = ranking_pb2.RankResponse(tokens=7)
Handler = Callable[[ranking_pb2.RankRequest, Context], Awaitable[ranking_pb2.RankResponse]]


class Handled:
    """Answers as its handler does."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def Rank(  # noqa: N802
        self, request: ranking_pb2.RankRequest, context: Context
    ) -> ranking_pb2.RankResponse:
        return await self._handler(request, context)


async def answer(request: ranking_pb2.RankRequest, context: Context) -> ranking_pb2.RankResponse:
    return REPLY


async def refuse(request: ranking_pb2.RankRequest, context: Context) -> ranking_pb2.RankResponse:
    raise Overloaded.of("", "no room")


async def abort(request: ranking_pb2.RankRequest, context: Context) -> ranking_pb2.RankResponse:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


async def fail(request: ranking_pb2.RankRequest, context: Context) -> ranking_pb2.RankResponse:
    raise ZeroDivisionError


async def linger(request: ranking_pb2.RankRequest, context: Context) -> ranking_pb2.RankResponse:
    await asyncio.Event().wait()
    return REPLY


@pytest.mark.parametrize(
    ("handler", "seconds", "code"),
    [
        (answer, 30, "OK"),
        (refuse, 30, "RESOURCE_EXHAUSTED"),
        (abort, 30, "UNAVAILABLE"),
        (fail, 30, "INTERNAL"),
        (linger, 0.2, "DEADLINE_EXCEEDED"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_the_observer_learns_the_status_of_the_caller(
    handler: Handler, seconds: float, code: str
) -> None:
    told: list[RankCall] = []
    request = ranking_pb2.RankRequest(query="q")

    async def act() -> str:
        servicer = ObservedRanking(Handled(handler), [told.append])
        hosted = await host(
            "127.0.0.1:0",
            {"": lambda server: add_RankingServiceServicer_to_server(servicer, server)},
        )
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                call = RankingServiceStub(channel).Rank(request, timeout=seconds)
                return (await call.code()).name
        finally:
            await hosted.stop(5)

    assert asyncio.run(act()) == code
    (call,) = told
    assert call.code == code
    assert call.request == request
    assert call.reply == (REPLY if code == "OK" else None)
    assert call.seconds > 0


def test_a_caller_who_leaves_is_told_apart() -> None:
    told: list[RankCall] = []
    arrived = asyncio.Event()

    async def wait(request: ranking_pb2.RankRequest, context: Context) -> ranking_pb2.RankResponse:
        arrived.set()
        return await linger(request, context)

    async def act() -> None:
        servicer = ObservedRanking(Handled(wait), [told.append])
        hosted = await host(
            "127.0.0.1:0",
            {"": lambda server: add_RankingServiceServicer_to_server(servicer, server)},
        )
        async with aio.insecure_channel(hosted.address) as channel:
            call = RankingServiceStub(channel).Rank(ranking_pb2.RankRequest(), timeout=60)
            await arrived.wait()
            call.cancel()
            await hosted.stop(30)

    asyncio.run(act())
    assert [call.code for call in told] == ["CANCELLED"]
