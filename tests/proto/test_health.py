"""Health as a load balancer meets it: asked, watched, and at the end of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ranklift.v1.hosting import Hosted, host

State = health_pb2.HealthCheckResponse
A_DAY = 86_400.0


def hosting(story: Callable[[Hosted, Any], Awaitable[None]]) -> None:
    """Host nothing but health, and let `story` act on the server and a client of it."""

    async def act() -> None:
        hosted = await host("127.0.0.1:0", {}, serving=False)
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                await asyncio.wait_for(story(hosted, health_pb2_grpc.HealthStub(channel)), 30)
        finally:
            await hosted.stop(0)

    asyncio.run(act())


def asked(name: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=name)


def test_health_is_told_by_name() -> None:
    async def story(hosted: Hosted, health: Any) -> None:
        assert (await health.Check(asked(""))).status == State.NOT_SERVING
        await hosted.set_serving("", True)
        assert (await health.Check(asked(""))).status == State.SERVING
        assert await health.Check(asked("m@1")).code() is grpc.StatusCode.NOT_FOUND
        await hosted.set_serving("m@1", True)
        assert (await health.Check(asked("m@1"))).status == State.SERVING

    hosting(story)


def test_all_health_is_told_at_once() -> None:
    async def story(hosted: Hosted, health: Any) -> None:
        await hosted.set_serving("", True)
        await hosted.set_serving("m@1", False)
        messages: Any = health_pb2
        listed = (await health.List(messages.HealthListRequest())).statuses
        assert {name: one.status for name, one in listed.items()} == {
            "": State.SERVING,
            "m@1": State.NOT_SERVING,
        }

    hosting(story)


def test_a_watch_tells_each_change_once() -> None:
    async def story(hosted: Hosted, health: Any) -> None:
        watch = health.Watch(asked("m@1"))
        assert (await watch.read()).status == State.SERVICE_UNKNOWN  # and goes on
        for serving, state in ((True, State.SERVING), (False, State.NOT_SERVING)):
            await hosted.set_serving("m@1", serving)
            await hosted.set_serving("m@1", serving)
            await hosted.set_serving("another", serving)
            assert (await watch.read()).status == state
        watch.cancel()

    hosting(story)


def test_a_server_that_stops_says_so_and_waits_for_no_watch() -> None:
    async def story(hosted: Hosted, health: Any) -> None:
        await hosted.set_serving("", True)
        whole, part = health.Watch(asked("")), health.Watch(asked("m@1"))
        assert (await whole.read()).status == State.SERVING
        assert (await part.read()).status == State.SERVICE_UNKNOWN
        await hosted.stop(A_DAY)
        assert (await whole.read()).status == State.NOT_SERVING
        assert await whole.read() is aio.EOF
        assert await part.read() is aio.EOF
        assert not hosted.health.serving()
        await hosted.set_serving("", True)
        assert not hosted.health.serving()

    hosting(story)
