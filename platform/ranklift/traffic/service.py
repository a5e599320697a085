"""ExperimentService: the registry of experiments over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpc import aio

from ranklift.store.values import Decision
from ranklift.traffic.experiment_messages import DECISIONS, STATES, experiment_message
from ranklift.traffic.pages import assignment_message
from ranklift.traffic.registry import ExperimentRegistry
from ranklift.traffic.routing import ServingConfig
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest, RequestError
from ranklift.v1.experiments_pb2_grpc import ExperimentServiceServicer

Context = aio.ServicerContext[Any, Any]

_DECISIONS = {message: value for value, message in DECISIONS.items()}
_STATES = {message: value for value, message in STATES.items()}


class ExperimentServicer(ExperimentServiceServicer):
    """Serves the registry.

    `changed` is awaited after a change of what serves, so that a caller who was
    answered finds the gateway serving it. `config` is what serves now.
    """

    def __init__(
        self,
        registry: ExperimentRegistry,
        *,
        config: Callable[[], ServingConfig],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._config = config
        self._changed = changed

    async def CreateExperiment(  # noqa: N802
        self, request: pb.CreateExperimentRequest, context: Context
    ) -> pb.CreateExperimentResponse:
        if not request.HasField("experiment"):
            raise InvalidRequest.of("experiment", "is missing, must define the experiment")
        try:
            registered = await asyncio.to_thread(
                self._registry.create,
                request.experiment,
                actor=request.actor,
                request_id=request.request_id,
            )
        except RequestError as error:
            raise error.under("experiment") from error
        return pb.CreateExperimentResponse(experiment=experiment_message(registered))

    async def GetExperiment(  # noqa: N802
        self, request: pb.GetExperimentRequest, context: Context
    ) -> pb.GetExperimentResponse:
        registered = await asyncio.to_thread(self._registry.get, request.name)
        return pb.GetExperimentResponse(experiment=experiment_message(registered))

    async def ListExperiments(  # noqa: N802
        self, request: pb.ListExperimentsRequest, context: Context
    ) -> pb.ListExperimentsResponse:
        state = None
        if request.state != pb.EXPERIMENT_STATE_UNSPECIFIED:
            state = _STATES.get(request.state)
            if state is None:
                raise InvalidRequest.of("state", f"{request.state} is no state of an experiment")
        listed, token = await asyncio.to_thread(
            self._registry.list, state, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListExperimentsResponse(
            experiments=[experiment_message(one) for one in listed], next_page_token=token
        )

    async def StartExperiment(  # noqa: N802
        self, request: pb.StartExperimentRequest, context: Context
    ) -> pb.StartExperimentResponse:
        registered = await asyncio.to_thread(
            self._registry.start,
            request.name,
            actor=request.actor,
            reason=request.reason,
            etag=request.etag,
        )
        await self._changed()
        return pb.StartExperimentResponse(experiment=experiment_message(registered))

    async def PauseExperiment(  # noqa: N802
        self, request: pb.PauseExperimentRequest, context: Context
    ) -> pb.PauseExperimentResponse:
        registered = await asyncio.to_thread(
            self._registry.pause,
            request.name,
            actor=request.actor,
            reason=request.reason,
            etag=request.etag,
        )
        await self._changed()
        return pb.PauseExperimentResponse(experiment=experiment_message(registered))

    async def ConcludeExperiment(  # noqa: N802
        self, request: pb.ConcludeExperimentRequest, context: Context
    ) -> pb.ConcludeExperimentResponse:
        registered = await asyncio.to_thread(
            self._registry.conclude,
            request.name,
            _decision(request),
            arm=request.arm,
            actor=request.actor,
            reason=request.reason,
            etag=request.etag,
        )
        await self._changed()
        return pb.ConcludeExperimentResponse(experiment=experiment_message(registered))

    async def LookupAssignments(  # noqa: N802
        self, request: pb.LookupAssignmentsRequest, context: Context
    ) -> pb.LookupAssignmentsResponse:
        if not (request.user_id or request.session_id):
            raise InvalidRequest.of("user_id", "is empty, must be given when session_id is not")
        route = self._config().route(request.user_id, request.session_id)
        return pb.LookupAssignmentsResponse(
            assignments=[assignment_message(one) for one in route.assignments]
        )


def _decision(request: pb.ConcludeExperimentRequest) -> Decision:
    decision = _DECISIONS.get(request.decision)
    if decision is None:
        allowed = ", ".join(pb.Decision.Name(one) for one in _DECISIONS)
        raise InvalidRequest.of("decision", f"is not given, must be one of {allowed}")
    return decision
