"""ModelService of a ranker: its table of loaded versions, and nothing of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Never

import grpc

from ranklift.rankers.loaded import Loaded, LoadedVersions, VersionToLoad
from ranklift.v1 import models_pb2 as models
from ranklift.v1 import models_pb2_grpc
from ranklift.v1.errors import InvalidRequest, Violation

MODEL_SERVICE = models.DESCRIPTOR.services_by_name["ModelService"].full_name
MAX_NAME_CHARS = 64  # as the registry's


class RankerModels(models_pb2_grpc.ModelServiceServicer):
    """Loads, unloads and lists the versions of this server; the registry is the platform's."""

    def __init__(self, versions: LoadedVersions) -> None:
        self._versions = versions

    async def LoadModelVersion(  # noqa: N802
        self,
        request: models.LoadModelVersionRequest,
        context: grpc.aio.ServicerContext[
            models.LoadModelVersionRequest, models.LoadModelVersionResponse
        ],
    ) -> models.LoadModelVersionResponse:
        _require(model=request.model, version=request.version, uri=request.uri)
        _check_length(model=request.model, version=request.version)
        loaded = await self._versions.load(
            VersionToLoad(request.model, request.version, Path(request.uri), request.digest)
        )
        return models.LoadModelVersionResponse(loaded=[_message(loaded)])

    async def UnloadModelVersion(  # noqa: N802
        self,
        request: models.UnloadModelVersionRequest,
        context: grpc.aio.ServicerContext[
            models.UnloadModelVersionRequest, models.UnloadModelVersionResponse
        ],
    ) -> models.UnloadModelVersionResponse:
        _require(model=request.model, version=request.version)
        await self._versions.unload(request.model, request.version)
        return models.UnloadModelVersionResponse()

    async def ListLoadedModelVersions(  # noqa: N802
        self,
        request: models.ListLoadedModelVersionsRequest,
        context: grpc.aio.ServicerContext[
            models.ListLoadedModelVersionsRequest, models.ListLoadedModelVersionsResponse
        ],
    ) -> models.ListLoadedModelVersionsResponse:
        return models.ListLoadedModelVersionsResponse(
            loaded=[_message(each) for each in self._versions.all()]
        )

    # The generated defaults answer through a synchronous context, which the
    # interceptor would take for a fault of ours.

    async def RegisterModelVersion(self, request: object, context: _Context) -> Never:  # noqa: N802
        await _only_the_platform(context)

    async def GetModelVersion(self, request: object, context: _Context) -> Never:  # noqa: N802
        await _only_the_platform(context)

    async def ListModelVersions(self, request: object, context: _Context) -> Never:  # noqa: N802
        await _only_the_platform(context)

    async def SetChampion(self, request: object, context: _Context) -> Never:  # noqa: N802
        await _only_the_platform(context)

    async def GetChampion(self, request: object, context: _Context) -> Never:  # noqa: N802
        await _only_the_platform(context)


_Context = grpc.aio.ServicerContext[Any, Any]


async def _only_the_platform(context: _Context) -> Never:
    await context.abort(
        grpc.StatusCode.UNIMPLEMENTED, "a ranker keeps no registry; ask the platform"
    )


def _message(loaded: Loaded) -> models.LoadedModelVersion:
    return models.LoadedModelVersion(
        model=loaded.model,
        version=loaded.version,
        digest=loaded.digest,
        numerics=loaded.ranker.numerics,
    )


def _require(**fields: str) -> None:
    missing = [
        Violation(name, "is empty; it is required")
        for name, value in fields.items()
        if not value.strip()
    ]
    if missing:
        raise InvalidRequest(missing)


def _check_length(**names: str) -> None:
    """Refuse names that every reply, metric and line of the log would have to carry."""
    refuse = [
        Violation(field, f"has {len(name)} characters, must have at most {MAX_NAME_CHARS}")
        for field, name in names.items()
        if len(name) > MAX_NAME_CHARS
    ]
    if refuse:
        raise InvalidRequest(refuse)
