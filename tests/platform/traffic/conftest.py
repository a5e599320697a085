"""A small ranking installation over real sockets: rankers whose order is known, and the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio
from tests.platform.traffic.postgres_gate import Gate

from ranklift.v1.requests import RankLimits

if TYPE_CHECKING:  # generated for type checkers only
    from ranklift.v1.ranking_pb2_grpc import RankingServiceAsyncStub

from ranklift.events.values import Document, Page, ShadowScores
from ranklift.store.values import (
    Arm,
    Experiment,
    ExperimentState,
    Lineage,
    ModelRef,
    ModelVersion,
    RegisteredExperiment,
)
from ranklift.traffic.deadlines import DeadlinePolicy
from ranklift.traffic.gateway import GatewayServicer
from ranklift.traffic.routing import ServingConfig
from ranklift.traffic.shadows import ShadowPolicy
from ranklift.traffic.upstreams import Upstreams
from ranklift.v1 import models_pb2, ranking_pb2
from ranklift.v1.errors import InvalidRequest, NotFound, RequestError
from ranklift.v1.hosting import Hosted, host
from ranklift.v1.metadata import EXPERIMENT
from ranklift.v1.models_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server
from ranklift.v1.ranking_pb2_grpc import (
    RankingServiceServicer,
    RankingServiceStub,
    add_RankingServiceServicer_to_server,
)

Context = aio.ServicerContext[Any, Any]

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class ToyRanker(RankingServiceServicer):
    """A ranker that keeps the order of the request as bm25 and reverses it as any other model.

    `trouble` is raised instead of an answer; `delay_seconds` come before it, and it waits until
    `gate` is set; `spoil` changes the reply.
    """

    def __init__(self, *versions: ModelRef) -> None:
        self.versions = list(versions)
        self.trouble: RequestError | grpc.StatusCode | None = None
        self.delay_seconds = 0.0
        self.spoil: Callable[[ranking_pb2.RankResponse], None] = lambda reply: None
        self.asked: list[ranking_pb2.RankRequest] = []
        self.remaining_seconds: list[float] = []
        self.experiments: list[str] = []
        self.cancelled = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.load_requests: list[models_pb2.LoadModelVersionRequest] = []
        self.address = "127.0.0.1:0"
        self._hosted: Hosted | None = None

    async def start(self) -> None:
        """Serve on a free port, or again on the port of before."""
        ranking = ranking_pb2.DESCRIPTOR.services_by_name["RankingService"].full_name
        models = models_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
        self._hosted = await host(
            self.address,
            {
                ranking: lambda server: add_RankingServiceServicer_to_server(self, server),
                models: lambda server: add_ModelServiceServicer_to_server(
                    ToyModels(self),  # type: ignore[abstract]  # the others are UNIMPLEMENTED
                    server,
                ),
            },
        )
        self.address = self._hosted.address

    async def kill(self) -> None:
        """Stop at once: calls under way are cut off."""
        if self._hosted is not None:
            await self._hosted.server.stop(None)
            self._hosted = None

    async def Rank(  # noqa: N802
        self, request: ranking_pb2.RankRequest, context: Context
    ) -> ranking_pb2.RankResponse:
        self.asked.append(request)
        self.remaining_seconds.append(context.time_remaining() or 0.0)
        told = dict(context.invocation_metadata() or ())
        self.experiments.append(str(told.get(EXPERIMENT, "")))
        try:
            await asyncio.sleep(self.delay_seconds)
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if isinstance(self.trouble, RequestError):
            raise self.trouble
        if self.trouble is not None:
            await context.abort(self.trouble, "trouble", (("x-trouble", "toil"),))
        version = ModelRef(request.model.name, request.model.version)
        if version not in self.versions:
            raise NotFound.of("model", f"{version} is not loaded")
        indices = list(range(len(request.documents)))
        if version.model != CHAMPION.model:
            indices.reverse()
        reply = ranking_pb2.RankResponse(
            results=[
                ranking_pb2.RankedDocument(
                    index=index, id=request.documents[index].id, relevance_score=-float(rank)
                )
                for rank, index in enumerate(indices[: request.top_n or None])
            ],
            model=ranking_pb2.ServedModel(
                name=version.model, version=version.version, digest="sha256:00", numerics="fp32"
            ),
            tokens=7,
            truncated_document_ids=[request.documents[0].id],
        )
        reply.timing.total.FromMilliseconds(3)
        self.spoil(reply)
        return reply


class ToyModels(ModelServiceServicer):
    """What a ranker serves of the model service."""

    def __init__(self, ranker: ToyRanker) -> None:
        self.ranker = ranker

    async def ListLoadedModelVersions(  # noqa: N802
        self, request: models_pb2.ListLoadedModelVersionsRequest, context: Context
    ) -> models_pb2.ListLoadedModelVersionsResponse:
        loaded = [_loaded(ref) for ref in self.ranker.versions]
        return models_pb2.ListLoadedModelVersionsResponse(loaded=loaded)

    async def LoadModelVersion(  # noqa: N802
        self, request: models_pb2.LoadModelVersionRequest, context: Context
    ) -> models_pb2.LoadModelVersionResponse:
        self.ranker.load_requests.append(request)
        if not request.uri.startswith("/models/"):
            raise InvalidRequest.of("uri", "is no folder of models")
        ref = ModelRef(request.model, request.version)
        if ref not in self.ranker.versions:
            self.ranker.versions.append(ref)
        return models_pb2.LoadModelVersionResponse(loaded=[_loaded(ref)])

    async def UnloadModelVersion(  # noqa: N802
        self, request: models_pb2.UnloadModelVersionRequest, context: Context
    ) -> models_pb2.UnloadModelVersionResponse:
        self.ranker.versions.remove(ModelRef(request.model, request.version))
        return models_pb2.UnloadModelVersionResponse()


def _loaded(ref: ModelRef) -> models_pb2.LoadedModelVersion:
    return models_pb2.LoadedModelVersion(
        model=ref.model, version=ref.version, digest="sha256:00", numerics="fp32"
    )


class MemoryPages:
    """Pages in memory: the first of an impression id stays. `trouble` is raised instead.

    With `slow` the disk takes its time: what is in `recordings` is for the test to settle.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.documents: dict[str, Sequence[Document]] = {}
        self.shadows: list[ShadowScores] = []
        self.trouble: Exception | None = None
        self.slow = False
        self.recordings: list[Future[None]] = []

    def submit_page(
        self,
        make: Callable[[], tuple[Page, Sequence[tuple[str, str, str]]]],
        *,
        documents: int,
        size: int,
        urgent: bool,
    ) -> Future[None]:
        if self.trouble is not None:
            raise self.trouble
        page, shown = make()
        self.pages.setdefault(page.impression_id, page)
        self.documents.setdefault(page.impression_id, [Document(*texts) for texts in shown])
        recording: Future[None] = Future()
        self.recordings.append(recording)
        if not self.slow:
            recording.set_result(None)
        return recording

    def submit_shadow(self, shadow: ShadowScores) -> Future[None]:
        self.shadows.append(shadow)
        recording: Future[None] = Future()
        recording.set_result(None)
        return recording


class Installation:
    """A gateway in front of rankers; `config` may be replaced while it serves."""

    def __init__(
        self,
        rankers: Sequence[ToyRanker],
        config: ServingConfig,
        deadlines: DeadlinePolicy,
        strict: bool,
        shadows: ShadowPolicy | None,
    ) -> None:
        self.rankers = rankers
        self.config = config
        self.pages = MemoryPages()
        self.upstreams = Upstreams([ranker.address for ranker in rankers], discovery_seconds=0.1)
        self.servicer = GatewayServicer(
            lambda: self.config,
            self.upstreams,
            self.pages,
            limits=RankLimits(),
            deadlines=deadlines,
            strict=strict,
            shadows=shadows,
        )
        self.client: RankingServiceAsyncStub

    async def rank(
        self, *, timeout_seconds: float | None = 5.0, **fields: Any
    ) -> ranking_pb2.RankResponse:
        """Rank three documents for a user, unless `fields` say otherwise."""
        documents = [
            ranking_pb2.Document(id=name, title=f"title of {name}", text=f"text of {name}")
            for name in ("a", "b", "c")
        ]
        given = {"query": "shoes", "documents": documents, "user_id": "ann", **fields}
        return await self.client.Rank(ranking_pb2.RankRequest(**given), timeout=timeout_seconds)


@asynccontextmanager
async def _install(
    *rankers: ToyRanker,
    config: ServingConfig | None = None,
    deadlines: DeadlinePolicy | None = None,
    strict: bool = False,
    shadows: ShadowPolicy | None = None,
) -> AsyncIterator[Installation]:
    async with AsyncExitStack() as stack:
        for ranker in rankers:
            await ranker.start()
            stack.push_async_callback(ranker.kill)
        installation = Installation(
            rankers,
            config or ServingConfig(champion=CHAMPION),
            deadlines or DeadlinePolicy(),
            strict,
            shadows,
        )
        await installation.upstreams.start()
        stack.push_async_callback(installation.upstreams.close)
        stack.push_async_callback(installation.servicer.close)
        name = ranking_pb2.DESCRIPTOR.services_by_name["RankingService"].full_name
        gateway = await host(
            "127.0.0.1:0",
            {name: lambda to: add_RankingServiceServicer_to_server(installation.servicer, to)},
        )
        stack.push_async_callback(gateway.stop, 0)
        channel = await stack.enter_async_context(aio.insecure_channel(gateway.address))
        installation.client = RankingServiceStub(channel)
        yield installation


def _running(
    *, control: ModelRef = CHAMPION, treatment: ModelRef = CHALLENGER, **fields: Any
) -> RegisteredExperiment:
    """A running experiment of two halves."""
    arms = (Arm("control", 5_000, control), Arm("treatment", 5_000, treatment))
    experiment = Experiment(
        **{
            "name": "title-boost",
            "arms": arms,
            "control": "control",
            "salt": "default/title-boost",
            **fields,
        }
    )
    return RegisteredExperiment(
        experiment, ExperimentState.RUNNING, revision=2, created=NOW, updated=NOW, started=NOW
    )


def _version(ref: ModelRef) -> ModelVersion:
    return ModelVersion(
        ref=ref,
        kind="bm25" if ref == CHAMPION else "encoder",
        digest="sha256:" + "0" * 64,
        numerics="fp32",
        uri=f"/models/{ref.model}/{ref.version}",
        lineage=Lineage("index"),
        created=NOW,
    )


@pytest.fixture
def toy_ranker() -> type[ToyRanker]:
    """Makes a ranker that has loaded the versions given."""
    return ToyRanker


@pytest.fixture
def install() -> Any:
    """Starts rankers and a gateway in front of them, as an asynchronous context."""
    return _install


@pytest.fixture
def running() -> Callable[..., RegisteredExperiment]:
    """Makes a running experiment of bm25@1 against student@1."""
    return _running


@pytest.fixture
def version() -> Callable[[ModelRef], ModelVersion]:
    """Makes a model version to register."""
    return _version


@pytest.fixture
def gate(tmp_path: Path, postgres: Path) -> Iterator[Gate]:
    """A way to the PostgreSQL of the tests that can be shut."""
    folder = tmp_path / "gate"
    folder.mkdir()
    opened = Gate(folder, postgres)
    yield opened
    opened.close()
