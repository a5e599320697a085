"""ExperimentService: the registry of experiments over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpc import aio

from ranklift.store.values import Decision
from ranklift.traffic.experiment_messages import (
    DECISIONS,
    STATES,
    experiment_message,
    layer_message,
)
from ranklift.traffic.pages import assignment_message
from ranklift.traffic.registry import ExperimentRegistry
from ranklift.traffic.routing import ServingConfig
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest, RequestError, Violation, refuse_if_any
from ranklift.v1.experiments_pb2_grpc import ExperimentServiceServicer
from ranklift.v1.requests import attribute_violations

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
            raise _of_experiment(error) from error
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
            self._registry.list,
            state,
            layer=request.layer,
            owner=request.owner,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListExperimentsResponse(
            experiments=[experiment_message(one) for one in listed], next_page_token=token
        )

    async def UpdateExperiment(  # noqa: N802
        self, request: pb.UpdateExperimentRequest, context: Context
    ) -> pb.UpdateExperimentResponse:
        if not request.HasField("experiment"):
            raise InvalidRequest.of("experiment", "is missing, must name the experiment")
        try:
            registered = await asyncio.to_thread(
                self._registry.update,
                request.experiment,
                tuple(request.update_mask.paths),
                actor=request.actor,
                reason=request.reason,
                etag=request.etag,
            )
        except RequestError as error:
            raise _of_experiment(error) from error
        await self._changed()
        return pb.UpdateExperimentResponse(experiment=experiment_message(registered))

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

    async def RampExperiment(  # noqa: N802
        self, request: pb.RampExperimentRequest, context: Context
    ) -> pb.RampExperimentResponse:
        registered = await asyncio.to_thread(
            self._registry.ramp,
            request.name,
            request.traffic_share,
            actor=request.actor,
            reason=request.reason,
            etag=request.etag,
        )
        await self._changed()
        return pb.RampExperimentResponse(experiment=experiment_message(registered))

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
        refuse_if_any(attribute_violations(request.attributes))
        route = self._config().route(request.user_id, request.session_id, dict(request.attributes))
        return pb.LookupAssignmentsResponse(
            assignments=[assignment_message(one) for one in (*route.assignments, *route.forced)]
        )

    async def ListLayers(  # noqa: N802
        self, request: pb.ListLayersRequest, context: Context
    ) -> pb.ListLayersResponse:
        layers = await asyncio.to_thread(self._registry.layers)
        return pb.ListLayersResponse(layers=[layer_message(layer) for layer in layers])

    async def UpdateLayer(  # noqa: N802
        self, request: pb.UpdateLayerRequest, context: Context
    ) -> pb.UpdateLayerResponse:
        if not request.HasField("layer"):
            raise InvalidRequest.of("layer", "is missing, must name the layer")
        try:
            layer = await asyncio.to_thread(
                self._registry.set_layer,
                request.layer.name,
                request.layer.holdout_share,
                actor=request.actor,
                reason=request.reason,
            )
        except RequestError as error:
            raise error.under("layer") from error
        await self._changed()
        return pb.UpdateLayerResponse(layer=layer_message(layer))


def _of_experiment(error: RequestError) -> RequestError:
    """Return an error of the experiment in a request, whose other fields stay the request's."""
    of_request = ("request_id", "etag", "update_mask")
    return type(error)(
        [
            one
            if one.field.partition(".")[0] in of_request
            else Violation(f"experiment.{one.field}".rstrip("."), one.description)
            for one in error.violations
        ]
    )


def _decision(request: pb.ConcludeExperimentRequest) -> Decision:
    decision = _DECISIONS.get(request.decision)
    if decision is None:
        allowed = ", ".join(pb.Decision.Name(one) for one in _DECISIONS)
        raise InvalidRequest.of("decision", f"is not given, must be one of {allowed}")
    return decision
