"""An end that loses nothing: new calls are refused, the ones under way are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from ranklift.v1.errors import Unreachable
from ranklift.v1.handlers import with_behaviour

HEALTH = "/grpc.health.v1.Health/"
QUIET_SECONDS = 0.1


class Draining(aio.ServerInterceptor):
    """Counts the unary calls under way, and from `drain` on refuses new ones as UNAVAILABLE.

    A gRPC server that stops cancels the calls that have come in and were not
    taken up yet; a caller that is told UNAVAILABLE goes elsewhere. So a server
    first drains, and stops when it is quiet. Health is told to the end.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._draining = False
        self._touched = 0.0  # when a call last came or ended, `time.monotonic`

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new calls, and return when all is quiet or `grace_seconds` are over."""
        self._draining = True
        ends = time.monotonic() + grace_seconds
        self._touched = time.monotonic()
        while (now := time.monotonic()) < ends:
            quiet = now - self._touched
            if not self._under_way and quiet >= QUIET_SECONDS:
                return
            await asyncio.sleep(min(QUIET_SECONDS / 4, ends - now))

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if (
            handler is None
            or handler.unary_unary is None
            or handler_call_details.method.startswith(HEALTH)
        ):
            return handler
        inner: Any = handler.unary_unary

        async def counted(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            self._touched = time.monotonic()
            if self._draining:
                raise Unreachable.of("", "this server is shutting down; ask another one")
            self._under_way += 1
            try:
                return await inner(request, context)
            finally:
                self._under_way -= 1
                self._touched = time.monotonic()

        return with_behaviour(handler, counted)
