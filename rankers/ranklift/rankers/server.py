"""A ranker on a socket: its services over one table of loaded versions and one scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ranklift.inference import open_inference_pb2_grpc
from ranklift.rankers.loaded import LoadedVersions, VersionToLoad
from ranklift.rankers.lru import CacheUse
from ranklift.rankers.serving.model_loading import MODEL_SERVICE, RankerModels
from ranklift.rankers.serving.open_inference import OPEN_INFERENCE_SERVICE, OpenInferenceServicer
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.ranking import RANKING_SERVICE, RankerServicer
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.telemetry import Telemetry
from ranklift.v1 import models_pb2_grpc, ranking_pb2_grpc
from ranklift.v1.hosting import OPEN, Hosted, Security, host
from ranklift.v1.observing import ObservedRanking


async def serve_ranker(
    address: str,
    versions: Sequence[VersionToLoad],
    options: ServingOptions | None = None,
    telemetry: Telemetry | None = None,
    security: Security = OPEN,
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
    open_inference = OpenInferenceServicer(
        ranker,
        table,
        max_documents=options.limits.max_documents,
        ready=lambda: hosted.health.serving(),
    )
    hosted = await host(
        address,
        {
            RANKING_SERVICE: partial(ranking_pb2_grpc.add_RankingServiceServicer_to_server, ranker),
            MODEL_SERVICE: partial(
                models_pb2_grpc.add_ModelServiceServicer_to_server, RankerModels(table)
            ),
            OPEN_INFERENCE_SERVICE: partial(
                open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, open_inference
            ),
        },
        serving=False,
        interceptors=telemetry.interceptors,
        security=security,
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
