"""Health checking (`grpc.health.v1`) whose watches end when the server does."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

State = health_pb2.HealthCheckResponse
Context = aio.ServicerContext[Any, Any]


class Health(health_pb2_grpc.HealthServicer):
    """The health of a server (""), of its parts and of what it needs, by name. `List` tells all.

    It belongs to one event loop.

    A server that stops waits for its streams, and grpcio's own watches never
    end: each load balancer that watches would cost the whole grace. Here a watch
    says NOT_SERVING and ends.
    """

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._ended = False
        self._changed = asyncio.Condition()

    def serving(self, name: str = "") -> bool:
        """Return whether `name` is known and serves."""
        return self._serving.get(name, False)

    async def set(self, name: str, serving: bool) -> None:
        """Say whether `name` serves from now on; of no effect once shut down."""
        async with self._changed:
            self._serving[name] = serving and not self._ended
            self._changed.notify_all()

    async def shut_down(self) -> None:
        """Let nothing serve any more, and end the watches once they have said so."""
        async with self._changed:
            self._ended = True
            self._serving = dict.fromkeys(self._serving, False)
            self._changed.notify_all()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return State(status=self._state(request.service))

    async def List(self, request: object, context: Context) -> Any:  # noqa: N802
        states = {name: State(status=self._state(name)) for name in self._serving}
        messages: Any = health_pb2  # whose published types do not know this call yet
        return messages.HealthListResponse(statuses=states)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        said: int | None = None
        ended = False
        while not ended:
            # Together, so that the last thing said is how it ended.
            state, ended = self._state(request.service), self._ended
            if state != said:
                await context.write(State(status=state))
                said = state
            async with self._changed:
                while not self._ended and self._state(request.service) == said:
                    await self._changed.wait()

    def _state(self, name: str) -> int:
        if name not in self._serving:
            return State.SERVICE_UNKNOWN
        return State.SERVING if self._serving[name] else State.NOT_SERVING
