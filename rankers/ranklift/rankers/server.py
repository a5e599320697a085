"""Rankers on a socket: RankingService over the loaded versions, ModelService over their table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Never

import grpc
from google.protobuf.duration_pb2 import Duration

from ranklift.inference import open_inference_pb2_grpc
from ranklift.rankers.base import Scores, Text
from ranklift.rankers.cascade import Cascade
from ranklift.rankers.loaded import Loaded, LoadedVersions, VersionToLoad
from ranklift.rankers.lru import CacheUse
from ranklift.rankers.serving.cascade import cascade_scores
from ranklift.rankers.serving.open_inference import OPEN_INFERENCE_SERVICE, OpenInferenceServicer
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.score_cache import ScoreCache
from ranklift.rankers.serving.stages import Scoring
from ranklift.rankers.serving.telemetry import Telemetry
from ranklift.v1 import models_pb2 as models
from ranklift.v1 import models_pb2_grpc, ranking_pb2_grpc
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1.errors import Expired, InvalidRequest, Violation
from ranklift.v1.hosting import Hosted, host
from ranklift.v1.metadata import belongs_to_experiment
from ranklift.v1.observing import ObservedRanking
from ranklift.v1.requests import validate_rank_request

RANKING_SERVICE = ranking.DESCRIPTOR.services_by_name["RankingService"].full_name
MODEL_SERVICE = models.DESCRIPTOR.services_by_name["ModelService"].full_name


async def serve_ranker(
    address: str,
    versions: Sequence[VersionToLoad],
    options: ServingOptions | None = None,
    telemetry: Telemetry | None = None,
) -> Hosted:
    """Serve `versions` on `address` ("host:port"), and return when all of them are loaded.

    The first one's model is the default. The health of the server, of its
    services and of every "model@version" turns to SERVING when it is ready;
    until then calls get UNAVAILABLE.

    Raises:
        RequestError: the address or one of the versions is wrong; nothing is left running.
    """

    async def announce(name: str, serving: bool) -> None:
        await hosted.set_serving(name, serving)

    options, telemetry = options or ServingOptions(), telemetry or Telemetry()
    scheduler = Scheduler(options, telemetry.batches)
    table = LoadedVersions(announce, scheduler, token_cache_tokens=options.token_cache_tokens)
    servicer = RankerServicer(table, scheduler, options)
    ranker = ObservedRanking(servicer, observers=telemetry.calls)
    manager = RankerModels(table)
    open_inference = OpenInferenceServicer(
        ranker,
        table,
        max_documents=options.limits.max_documents,
        ready=lambda: hosted.health.serving(),
    )
    hosted = await host(
        address,
        {
            RANKING_SERVICE: lambda server: ranking_pb2_grpc.add_RankingServiceServicer_to_server(
                ranker, server
            ),
            MODEL_SERVICE: lambda server: models_pb2_grpc.add_ModelServiceServicer_to_server(
                manager, server
            ),
            OPEN_INFERENCE_SERVICE: partial(
                open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, open_inference
            ),
        },
        serving=False,
        interceptors=telemetry.interceptors,
    )
    for tell in telemetry.started:
        tell(_State(scheduler, table, servicer))
    try:
        await table.load_all(versions)
    except BaseException:
        await hosted.stop(0)
        raise
    for service in ("", RANKING_SERVICE, MODEL_SERVICE, OPEN_INFERENCE_SERVICE):
        await hosted.set_serving(service, True)
    return hosted


@dataclass(frozen=True, slots=True)
class _State:
    """What telemetry may read."""

    scheduler: Scheduler
    table: LoadedVersions
    servicer: RankerServicer

    @property
    def queued_tokens(self) -> int:
        return self.scheduler.queued_tokens

    @property
    def versions(self) -> list[tuple[str, str]]:
        return [(each.model, each.version) for each in self.table.all()]

    @property
    def token_caches(self) -> dict[tuple[str, str], CacheUse]:
        return {(each.model, each.version): each.token_cache_use for each in self.table.all()}

    @property
    def score_cache(self) -> CacheUse:
        return self.servicer.score_cache_use


class RankerServicer(ranking_pb2_grpc.RankingServiceServicer):
    """Scores documents with a loaded version, together with those of other requests."""

    def __init__(
        self, versions: LoadedVersions, scheduler: Scheduler, options: ServingOptions
    ) -> None:
        self._versions = versions
        self._scoring = Scoring(scheduler)
        self._limits = options.limits
        self._cache = ScoreCache(options.score_cache_pairs) if options.score_cache_pairs else None
        self._caches_experiments = options.score_cache_in_experiments

    @property
    def score_cache_use(self) -> CacheUse:
        """How the score cache was used; nothing at all without one."""
        return CacheUse() if self._cache is None else self._cache.use

    async def Rank(  # noqa: N802
        self,
        request: ranking.RankRequest,
        context: grpc.aio.ServicerContext[ranking.RankRequest, ranking.RankResponse],
    ) -> ranking.RankResponse:
        arrived = time.perf_counter()
        # None without a deadline, whatever the stubs say.
        remaining: float | None = context.time_remaining()
        return await self.rank(
            request,
            None if remaining is None else arrived + remaining,
            in_experiment=belongs_to_experiment(context),
        )

    async def rank(
        self,
        request: ranking.RankRequest,
        expires: float | None,
        *,
        in_experiment: bool = False,
    ) -> ranking.RankResponse:
        """Answer a request by `expires` (`time.perf_counter`; None without a deadline).

        It is scored by the version that it selects on arrival, whatever is
        loaded or unloaded meanwhile. What cannot be answered in time is refused
        before it is tokenised.

        Raises:
            RequestError: the request is wrong, or cannot be answered in time.
        """
        arrived = time.perf_counter()
        validate_rank_request(request, self._limits)
        most = request.max_tokens_per_document or None
        documents = [Text(each.id, each.title, each.text) for each in request.documents]
        async with self._versions.using(request.model.name, request.model.version) as loaded:
            scores = await self._scores(
                loaded, request.query, documents, most, arrived, expires, in_experiment
            )
        reply = response_of(request, loaded, scores, arrived)
        if expires is not None and time.perf_counter() >= expires:
            raise Expired.of("", "the deadline passed before the reply was there")
        return reply

    async def _scores(
        self,
        loaded: Loaded,
        query: str,
        documents: Sequence[Text],
        most: int | None,
        arrived: float,
        expires: float | None,
        in_experiment: bool,
    ) -> Scores:
        if isinstance(loaded.ranker, Cascade):
            # Never from the cache: what a document gets depends on the list and on the clock.
            return await cascade_scores(
                loaded.ranker.plan,
                loaded.stages,
                self._scoring,
                query,
                documents,
                most,
                arrived=arrived,
                expires=expires,
            )

        async def score(some: Sequence[Text]) -> Scores:
            return await self._scoring.scores(loaded.stages[0], query, some, most, expires)

        if self._cache is None or (in_experiment and not self._caches_experiments):
            return await score(documents)
        return await self._cache.scores(loaded.digest, query, documents, most, score)


def response_of(
    request: ranking.RankRequest, loaded: Loaded, scores: Scores, arrived: float
) -> ranking.RankResponse:
    """Return the reply: best first, equal scores in the order of the request."""
    total = time.perf_counter() - arrived
    # A stable sort on the negated scores keeps the order of equal ones.
    order = (-scores.values).argsort(kind="stable")[: request.top_n or None]
    results = [
        ranking.RankedDocument(
            index=int(i),
            id=request.documents[i].id,
            relevance_score=float(scores.values[i]),
            document=request.documents[i] if request.return_documents else None,
        )
        for i in order
    ]
    return ranking.RankResponse(
        results=results,
        model=ranking.ServedModel(
            name=loaded.model,
            version=loaded.version,
            digest=loaded.digest,
            numerics=loaded.ranker.numerics,
        ),
        timing=ranking.RankTiming(
            queue=_duration(max(total - scores.tokenize_seconds - scores.inference_seconds, 0.0)),
            tokenize=_duration(scores.tokenize_seconds),
            inference=_duration(scores.inference_seconds),
            total=_duration(total),
        ),
        tokens=scores.tokens,
        truncated_document_ids=[request.documents[i].id for i in scores.truncated],
        reranked_documents=scores.reranked,
    )


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(int(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


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
