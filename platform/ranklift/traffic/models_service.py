"""The platform's ModelService: the registry of model versions, and the rankers' loading of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
from grpc import aio

from ranklift.traffic.model_versions import check_model_version, check_ref, model_version_message
from ranklift.traffic.repositories import ModelRepository
from ranklift.traffic.upstreams import Upstreams, pass_on
from ranklift.v1 import models_pb2 as pb
from ranklift.v1.errors import InvalidRequest, NotFound, Unreachable
from ranklift.v1.models_pb2_grpc import ModelServiceServicer

Context = aio.ServicerContext[Any, Any]


class ModelServicer(ModelServiceServicer):
    """Serves the registry of model versions and passes loading on to the rankers.

    `changed` is awaited after the champion changed, so that a caller who was
    answered finds the gateway serving it.
    """

    def __init__(
        self,
        models: ModelRepository,
        upstreams: Upstreams,
        *,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._models = models
        self._upstreams = upstreams
        self._changed = changed

    async def RegisterModelVersion(  # noqa: N802
        self, request: pb.RegisterModelVersionRequest, context: Context
    ) -> pb.RegisterModelVersionResponse:
        if not request.HasField("model_version"):
            raise InvalidRequest.of("model_version", "is missing, must describe the version")
        version = check_model_version(request.model_version, now=datetime.now(UTC))
        kept = await asyncio.to_thread(self._models.register, version)
        return pb.RegisterModelVersionResponse(model_version=model_version_message(kept))

    async def GetModelVersion(  # noqa: N802
        self, request: pb.GetModelVersionRequest, context: Context
    ) -> pb.GetModelVersionResponse:
        ref = check_ref(request.model, request.version)
        version = await asyncio.to_thread(self._models.get, ref)
        return pb.GetModelVersionResponse(model_version=model_version_message(version))

    async def ListModelVersions(  # noqa: N802
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        listed, token = await asyncio.to_thread(
            self._models.list,
            model=request.model,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListModelVersionsResponse(
            model_versions=[model_version_message(one) for one in listed], next_page_token=token
        )

    async def SetChampion(  # noqa: N802
        self, request: pb.SetChampionRequest, context: Context
    ) -> pb.SetChampionResponse:
        ref = check_ref(request.model, request.version)
        version = await asyncio.to_thread(
            self._models.set_champion, ref, actor=request.actor, reason=request.reason
        )
        await self._changed()
        return pb.SetChampionResponse(model_version=model_version_message(version))

    async def GetChampion(  # noqa: N802
        self, request: pb.GetChampionRequest, context: Context
    ) -> pb.GetChampionResponse:
        champion = await asyncio.to_thread(self._models.champion)
        if champion is None:
            raise NotFound.of("", "there is no champion; set one with SetChampion")
        return pb.GetChampionResponse(model_version=model_version_message(champion))

    async def LoadModelVersion(  # noqa: N802
        self, request: pb.LoadModelVersionRequest, context: Context
    ) -> pb.LoadModelVersionResponse:
        ref = check_ref(request.model, request.version)
        version = await asyncio.to_thread(self._models.get, ref)
        forwarded = pb.LoadModelVersionRequest(
            model=ref.model, version=ref.version, uri=version.uri, digest=version.digest
        )
        addresses = await self._addresses_to_load(request.address)
        loaded: list[pb.LoadedModelVersion] = []
        for address in addresses:
            reply = await self._at(
                context,
                address,
                lambda models: models.LoadModelVersion(forwarded, timeout=context.time_remaining()),
            )
            for one in reply.loaded:
                one.address = address
                loaded.append(one)
        return pb.LoadModelVersionResponse(loaded=loaded)

    async def UnloadModelVersion(  # noqa: N802
        self, request: pb.UnloadModelVersionRequest, context: Context
    ) -> pb.UnloadModelVersionResponse:
        ref = check_ref(request.model, request.version)
        forwarded = pb.UnloadModelVersionRequest(model=ref.model, version=ref.version)
        having = self._upstreams.placement.get(ref, ())
        for address in (request.address,) if request.address else having:
            await self._at(
                context,
                address,
                lambda models: models.UnloadModelVersion(
                    forwarded, timeout=context.time_remaining()
                ),
            )
        return pb.UnloadModelVersionResponse()

    async def ListLoadedModelVersions(  # noqa: N802
        self, request: pb.ListLoadedModelVersionsRequest, context: Context
    ) -> pb.ListLoadedModelVersionsResponse:
        await self._upstreams.discover()
        return pb.ListLoadedModelVersionsResponse(loaded=self._upstreams.loaded())

    async def _addresses_to_load(self, address: str) -> Sequence[str]:
        if address:
            return (address,)
        champion = await asyncio.to_thread(self._models.champion)
        having: Sequence[str] = ()
        if champion is not None:
            having = self._upstreams.placement.get(champion.ref, ())
        # Before the first champion serves, every ranker is as good as another.
        return having or self._upstreams.addresses

    async def _at(self, context: Context, address: str, call: Callable[..., Awaitable[Any]]) -> Any:
        try:
            return await self._upstreams.at(address, call)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise Unreachable.of(
                    "address", f"the ranker at {address} does not answer: {error.details()}"
                ) from error
            await pass_on(context, error)
