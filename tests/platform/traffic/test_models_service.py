"""The platform's ModelService: versions in a real registry, loading in rankers over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from grpc import aio

from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import ModelRef
from ranklift.traffic.models_service import ModelServicer
from ranklift.traffic.upstreams import Upstreams
from ranklift.v1 import models_pb2 as pb
from ranklift.v1.hosting import host
from ranklift.v1.models_pb2_grpc import ModelServiceStub, add_ModelServiceServicer_to_server
from ranklift.v1.status import violations_of

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
SERVICE = pb.DESCRIPTOR.services_by_name["ModelService"].full_name
DIGEST = "sha256:" + "0a" * 32


def message(ref: ModelRef = CHALLENGER, **fields: Any) -> pb.ModelVersion:
    given: dict[str, Any] = {
        "kind": "encoder",
        "digest": DIGEST,
        "numerics": "fp32",
        "uri": f"/models/{ref.model}/{ref.version}",
        "lineage": pb.Lineage(stage="distil", parents=["teacher@1"], metrics={"ndcg@10": 0.5}),
    }
    return pb.ModelVersion(model=ref.model, version=ref.version, **{**given, **fields})


@pytest.fixture
def sqlite_registry(sqlite_url: str) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    yield opened
    opened.close()


class Platform:
    """The service, its client, and how often it said that what serves has changed."""

    def __init__(self, registry: Registry, rankers: tuple[Any, ...]) -> None:
        self.upstreams = Upstreams([ranker.address for ranker in rankers], discovery_seconds=3_600)
        self.servicer = ModelServicer(registry.models, self.upstreams, changed=self._changed)
        self.changes = 0
        self.client: Any

    async def _changed(self) -> None:
        self.changes += 1

    async def register(self, *refs: ModelRef) -> None:
        for ref in refs:
            await self.client.RegisterModelVersion(
                pb.RegisterModelVersionRequest(model_version=message(ref))
            )


Serve = Callable[..., Any]


@pytest.fixture
def serve(sqlite_registry: Registry) -> Serve:
    @asynccontextmanager
    async def served(*rankers: Any) -> AsyncIterator[Platform]:
        async with AsyncExitStack() as stack:
            for ranker in rankers:
                await ranker.start()
                stack.push_async_callback(ranker.kill)
            platform = Platform(sqlite_registry, rankers)
            stack.push_async_callback(platform.upstreams.close)
            await platform.upstreams.start()
            hosted = await host(
                "127.0.0.1:0",
                {SERVICE: lambda to: add_ModelServiceServicer_to_server(platform.servicer, to)},
            )
            stack.push_async_callback(hosted.stop, 0)
            channel = await stack.enter_async_context(aio.insecure_channel(hosted.address))
            platform.client = ModelServiceStub(channel)
            yield platform

    return served


async def refused(call: Any) -> tuple[str, list[str]]:
    """The code, and the fields blamed."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, [one.field for one in violations_of(caught.value)]


def test_a_version_is_kept_as_registered(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as platform:
            kept = (
                await platform.client.RegisterModelVersion(
                    pb.RegisterModelVersionRequest(model_version=message())
                )
            ).model_version
            assert kept.HasField("create_time")
            got = await platform.client.GetModelVersion(
                pb.GetModelVersionRequest(model="student", version="1")
            )
            assert got.model_version == kept
            kept.ClearField("create_time")
            assert kept == message()
            await platform.register(CHAMPION)
            listed = await platform.client.ListModelVersions(pb.ListModelVersionsRequest())
            assert [one.model for one in listed.model_versions] == ["bm25", "student"]
            listed = await platform.client.ListModelVersions(
                pb.ListModelVersionsRequest(model="student")
            )
            assert [one.model for one in listed.model_versions] == ["student"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "tree"}, "kind"),
        ({"digest": "sha256:00"}, "digest"),
        ({"digest": "SHA256:" + "0A" * 32}, "digest"),
        ({"numerics": ""}, "numerics"),
        ({"uri": ""}, "uri"),
        ({"lineage": pb.Lineage(stage="magic")}, "lineage.stage"),
        ({"lineage": pb.Lineage(stage="sft", parents=["a@1", "b"])}, "lineage.parents[1]"),
        (
            {"lineage": pb.Lineage(stage="sft", metrics={"x": float("nan")})},
            'lineage.metrics["x"]',
        ),
    ],
)
def test_a_bad_version_is_refused_with_its_field(
    serve: Serve, fields: dict[str, Any], field: str
) -> None:
    async def scenario() -> None:
        async with serve() as platform:
            request = pb.RegisterModelVersionRequest(model_version=message(**fields))
            assert await refused(platform.client.RegisterModelVersion(request)) == (
                "INVALID_ARGUMENT",
                [f"model_version.{field}"],
            )

    asyncio.run(scenario())


def test_all_that_is_wrong_with_a_version_is_said_at_once(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as platform:
            empty = pb.RegisterModelVersionRequest(model_version=pb.ModelVersion())
            assert await refused(platform.client.RegisterModelVersion(empty)) == (
                "INVALID_ARGUMENT",
                [
                    f"model_version.{field}"
                    for field in (
                        *("model", "version", "kind", "digest", "numerics", "uri"),
                        "lineage.stage",
                    )
                ],
            )
            none = platform.client.RegisterModelVersion(pb.RegisterModelVersionRequest())
            assert await refused(none) == ("INVALID_ARGUMENT", ["model_version"])

    asyncio.run(scenario())


def test_a_version_never_changes(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as platform:
            await platform.register(CHALLENGER)
            await platform.register(CHALLENGER)
            other = message(digest="sha256:" + "0b" * 32)
            request = pb.RegisterModelVersionRequest(model_version=other)
            code, _ = await refused(platform.client.RegisterModelVersion(request))
            assert code == "ALREADY_EXISTS"

    asyncio.run(scenario())


def test_the_champion_is_set_and_told(serve: Serve) -> None:
    async def scenario() -> None:
        async with serve() as platform:
            none = platform.client.GetChampion(pb.GetChampionRequest())
            assert (await refused(none))[0] == "NOT_FOUND"
            await platform.register(CHAMPION)
            assert platform.changes == 0
            await platform.client.SetChampion(pb.SetChampionRequest(model="bm25", version="1"))
            assert platform.changes == 1
            champion = await platform.client.GetChampion(pb.GetChampionRequest())
            assert champion.model_version.model == "bm25"
            unknown = pb.SetChampionRequest(model="bm25", version="2")
            assert await refused(platform.client.SetChampion(unknown)) == (
                "NOT_FOUND",
                ["version"],
            )
            assert platform.changes == 1

    asyncio.run(scenario())


def test_loading_goes_to_the_champions_rankers_with_uri_and_digest(
    serve: Serve, toy_ranker: Any
) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(CHAMPION), toy_ranker()
        async with serve(*rankers) as platform:
            await platform.register(CHAMPION, CHALLENGER)
            await platform.client.SetChampion(pb.SetChampionRequest(model="bm25", version="1"))
            reply = await platform.client.LoadModelVersion(
                pb.LoadModelVersionRequest(model="student", version="1", uri="/elsewhere")
            )
            assert [(one.model, one.address) for one in reply.loaded] == [
                ("student", rankers[0].address)
            ]
            (asked,) = rankers[0].load_requests
            assert (asked.uri, asked.digest) == ("/models/student/1", DIGEST)
            assert not rankers[1].load_requests
            # Known at once, not a second later.
            assert platform.upstreams.placement[CHALLENGER] == [rankers[0].address]

    asyncio.run(scenario())


def test_before_there_is_a_champion_every_ranker_loads(serve: Serve, toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(), toy_ranker()
        async with serve(*rankers) as platform:
            await platform.register(CHAMPION)
            request = pb.LoadModelVersionRequest(model="bm25", version="1")
            assert len((await platform.client.LoadModelVersion(request)).loaded) == 2
            listed = await platform.client.ListLoadedModelVersions(
                pb.ListLoadedModelVersionsRequest()
            )
            assert [one.address for one in listed.loaded] == sorted(
                ranker.address for ranker in rankers
            )

    asyncio.run(scenario())


def test_loading_and_unloading_at_an_address(serve: Serve, toy_ranker: Any) -> None:
    async def scenario() -> None:
        rankers = toy_ranker(), toy_ranker()
        async with serve(*rankers) as platform:
            await platform.register(CHALLENGER)
            load = pb.LoadModelVersionRequest(model="student", version="1")
            load.address = rankers[1].address
            await platform.client.LoadModelVersion(load)
            assert platform.upstreams.placement == {CHALLENGER: [rankers[1].address]}
            unload = pb.UnloadModelVersionRequest(model="student", version="1")
            await platform.client.UnloadModelVersion(unload)
            assert platform.upstreams.placement == {}
            assert not rankers[1].versions

    asyncio.run(scenario())


def test_what_cannot_be_loaded_is_refused(serve: Serve, toy_ranker: Any) -> None:
    async def scenario() -> None:
        ranker = toy_ranker()
        async with serve(ranker) as platform:
            load = platform.client.LoadModelVersion
            request = pb.LoadModelVersionRequest(model="student", version="1")
            assert (await refused(load(request)))[0] == "NOT_FOUND"
            await platform.register(CHALLENGER)
            request.address = "127.0.0.1:1"
            assert await refused(load(request)) == ("NOT_FOUND", ["address"])
            request.version = ""
            assert await refused(load(request)) == ("INVALID_ARGUMENT", ["version"])
            # The ranker's own refusal, unchanged.
            await platform.client.RegisterModelVersion(
                pb.RegisterModelVersionRequest(
                    model_version=message(ModelRef("student", "2"), uri="/elsewhere")
                )
            )
            request.version, request.address = "2", ranker.address
            assert await refused(load(request)) == ("INVALID_ARGUMENT", ["uri"])
            await ranker.kill()
            request.version = "1"
            assert await refused(load(request)) == ("UNAVAILABLE", ["address"])

    asyncio.run(scenario())
