"""Rankers over a real socket: what they answer, refuse, load and let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from tests.rankers.serving.gate import Gate
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import digest_of, load_ranker
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import Text, score_texts
from ranklift.rankers.loaded import Loaded, LoadedVersions, VersionToLoad
from ranklift.rankers.server import serve_ranker
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.ranking import RANKING_SERVICE, RankerServicer
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.stages import Stage
from ranklift.v1 import models_pb2, models_pb2_grpc, ranking_pb2, ranking_pb2_grpc
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady, RequestError, Violation
from ranklift.v1.hosting import Hosted, host
from ranklift.v1.status import violations_of

LOOPBACK = "127.0.0.1:0"


@dataclass
class Client:
    hosted: Hosted
    ranking: ranking_pb2_grpc.RankingServiceAsyncStub
    models: models_pb2_grpc.ModelServiceAsyncStub
    health: Any  # the stubs say nothing about its methods

    async def healthy(self, service: str) -> bool | None:
        """Whether `service` serves; None when its health is not known."""
        call = self.health.Check(health_pb2.HealthCheckRequest(service=service))
        if await call.code() is grpc.StatusCode.NOT_FOUND:
            return None
        return bool((await call).status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def client_of(hosted: Hosted) -> AsyncIterator[Client]:
    try:
        async with aio.insecure_channel(hosted.address) as channel:
            yield Client(
                hosted,
                ranking_pb2_grpc.RankingServiceStub(channel),
                models_pb2_grpc.ModelServiceStub(channel),
                health_pb2_grpc.HealthStub(channel),
            )
    finally:
        await hosted.stop(0)


def serving(versions: Sequence[VersionToLoad], story: Callable[[Client], Awaitable[None]]) -> None:
    """Serve `versions` on a socket and let a client act out `story`."""

    async def act() -> None:
        async with client_of(await serve_ranker(LOOPBACK, versions)) as client:
            await asyncio.wait_for(story(client), 30)

    asyncio.run(act())


def request_of(documents: Sequence[Text], **fields: object) -> ranking_pb2.RankRequest:
    request = ranking_pb2.RankRequest(
        query="cbaba ababo",
        documents=[ranking_pb2.Document(id=d.id, title=d.title, text=d.text) for d in documents],
    )
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def select(model: str, version: str = "") -> ranking_pb2.RankRequest:
    return ranking_pb2.RankRequest(
        query="q",
        documents=[ranking_pb2.Document(id="a", text="t")],
        model=ranking_pb2.ModelSelector(name=model, version=version),
    )


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, tuple[Violation, ...]]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), violations_of(caught.value)


@pytest.mark.parametrize("kind", ["bm25", "bi_encoder", "decoder", "encoder"])
def test_the_reply_holds_the_ranker_s_own_scores_best_first(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    expected = score_texts(load_ranker(artefacts[kind]), "cbaba ababo", documents)

    async def story(client: Client) -> None:
        reply = await client.ranking.Rank(request_of(documents))
        order = sorted(range(len(documents)), key=lambda i: (-expected.values[i], i))
        assert [result.index for result in reply.results] == order
        assert [result.id for result in reply.results] == [documents[i].id for i in order]
        got = [result.relevance_score for result in reply.results]
        np.testing.assert_allclose(got, expected.values[order], atol=1e-6)
        assert reply.tokens == expected.tokens
        assert list(reply.truncated_document_ids) == [documents[i].id for i in expected.truncated]
        assert reply.model == ranking_pb2.ServedModel(
            name="m", version="1", digest=digest_of(artefacts[kind]), numerics="fp32"
        )
        parts = [reply.timing.queue, reply.timing.tokenize, reply.timing.inference]
        assert all(part.ToTimedelta().total_seconds() >= 0 for part in parts)
        assert reply.timing.inference.ToNanoseconds() > 0
        assert sum(p.ToNanoseconds() for p in parts) <= reply.timing.total.ToNanoseconds()
        assert not any(result.HasField("document") for result in reply.results)

    serving([VersionToLoad("m", "1", artefacts[kind])], story)


def test_top_n_documents_and_ties(artefacts: dict[str, Path], documents: list[Text]) -> None:
    same = [Text("first", "cbaba", ""), Text("second", "cbaba", ""), Text("third", "cbaba", "")]

    async def story(client: Client) -> None:
        reply = await client.ranking.Rank(request_of(documents, top_n=2, return_documents=True))
        assert len(reply.results) == 2
        for result in reply.results:
            assert result.document.text == documents[result.index].text
        tied = await client.ranking.Rank(request_of(same))
        assert [result.index for result in tied.results] == [0, 1, 2]
        generous = await client.ranking.Rank(request_of(same, top_n=50))
        assert len(generous.results) == 3

    serving([VersionToLoad("m", "1", artefacts["bm25"])], story)


def test_wrong_requests_are_refused_and_disturb_nobody(
    artefacts: dict[str, Path], documents: list[Text]
) -> None:
    async def story(client: Client) -> None:
        code, found = await refused(client.ranking.Rank(ranking_pb2.RankRequest(top_n=-1)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in found] == ["query", "documents", "top_n"]
        nothing = ranking_pb2.RankRequest(query="q", documents=[ranking_pb2.Document()] * 1_000)
        code, found = await refused(client.ranking.Rank(nothing))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert found[0].field == "documents[0].id"
        assert len((await client.ranking.Rank(request_of(documents))).results) == len(documents)

    serving([VersionToLoad("m", "1", artefacts["encoder"])], story)


def test_versions_are_selected_by_name(artefacts: dict[str, Path]) -> None:
    async def story(client: Client) -> None:
        async def served(model: str, version: str = "") -> str:
            reply = await client.ranking.Rank(select(model, version))
            return f"{reply.model.name}@{reply.model.version}"

        assert await served("") == "a@2"  # the default model is the first one's
        assert await served("a") == "a@2"  # the newest of a name serves it
        assert await served("a", "1") == "a@1"
        assert await served("b") == "b@1"
        code, found = await refused(client.ranking.Rank(select("c")))
        assert (code, found[0].field) == (grpc.StatusCode.NOT_FOUND, "model.name")
        assert "a, b" in found[0].description
        code, found = await refused(client.ranking.Rank(select("a", "9")))
        assert (code, found[0].field) == (grpc.StatusCode.NOT_FOUND, "model.version")
        code, found = await refused(client.ranking.Rank(select("", "1")))
        assert (code, found[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "model.name")

    folder = artefacts["bm25"]
    serving(
        [
            VersionToLoad("a", "1", folder),
            VersionToLoad("b", "1", folder),
            VersionToLoad("a", "2", folder),
        ],
        story,
    )


def test_a_version_is_loaded_beside_the_others_and_unloaded(artefacts: dict[str, Path]) -> None:
    folder, digest = artefacts["decoder"], digest_of(artefacts["decoder"])

    async def story(client: Client) -> None:
        load = models_pb2.LoadModelVersionRequest(
            model="b", version="1", uri=str(folder), digest=digest
        )
        assert await client.healthy("b@1") is None
        expected = models_pb2.LoadedModelVersion(
            model="b", version="1", digest=digest, numerics="fp32"
        )
        for _ in range(2):  # idempotent
            assert list((await client.models.LoadModelVersion(load)).loaded) == [expected]
        assert await client.healthy("b@1") is True
        listed = await client.models.ListLoadedModelVersions(
            models_pb2.ListLoadedModelVersionsRequest()
        )
        assert [(each.model, each.version) for each in listed.loaded] == [("a", "1"), ("b", "1")]
        assert (await client.ranking.Rank(select("b"))).model.digest == digest

        unload = models_pb2.UnloadModelVersionRequest(model="b", version="1")
        await client.models.UnloadModelVersion(unload)
        assert await client.healthy("b@1") is False
        code, found = await refused(client.ranking.Rank(select("b")))
        assert (code, found[0].field) == (grpc.StatusCode.NOT_FOUND, "model.name")
        code, _ = await refused(client.models.UnloadModelVersion(unload))
        assert code is grpc.StatusCode.NOT_FOUND
        assert (await client.ranking.Rank(select(""))).model.name == "a"

    serving([VersionToLoad("a", "1", artefacts["bm25"])], story)


def test_versions_that_cannot_be_loaded_are_refused(
    tmp_path: Path, artefacts: dict[str, Path]
) -> None:
    async def story(client: Client) -> None:
        async def refusal(uri: Path, digest: str = "", version: str = "2") -> grpc.StatusCode:
            code, found = await refused(
                client.models.LoadModelVersion(
                    models_pb2.LoadModelVersionRequest(
                        model="a", version=version, uri=str(uri), digest=digest
                    )
                )
            )
            assert found
            return code

        folder = artefacts["encoder"]
        assert await refusal(tmp_path / "nowhere") is grpc.StatusCode.NOT_FOUND
        assert await refusal(folder, "sha256:" + "0" * 64) is grpc.StatusCode.FAILED_PRECONDITION
        assert await refusal(artefacts["causal_lm"]) is grpc.StatusCode.INVALID_ARGUMENT
        # Under a name that serves other content already.
        assert await refusal(folder, version="1") is grpc.StatusCode.ALREADY_EXISTS
        code, found = await refused(
            client.models.LoadModelVersion(models_pb2.LoadModelVersionRequest(model="a"))
        )
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in found] == ["version", "uri"]
        # As long as the registry allows, and no longer.
        assert await refusal(folder, version="x" * 65) is grpc.StatusCode.INVALID_ARGUMENT
        assert (await client.ranking.Rank(select("a"))).model.version == "1"

    serving([VersionToLoad("a", "1", artefacts["bm25"])], story)


def test_the_registry_is_not_served_here(artefacts: dict[str, Path]) -> None:
    async def story(client: Client) -> None:
        for call in (
            client.models.GetChampion(models_pb2.GetChampionRequest()),
            client.models.SetChampion(models_pb2.SetChampionRequest()),
            client.models.GetModelVersion(models_pb2.GetModelVersionRequest()),
            client.models.ListModelVersions(models_pb2.ListModelVersionsRequest()),
            client.models.RegisterModelVersion(models_pb2.RegisterModelVersionRequest()),
        ):
            code, _ = await refused(call)
            assert code is grpc.StatusCode.UNIMPLEMENTED

    serving([VersionToLoad("a", "1", artefacts["bm25"])], story)


@pytest.mark.parametrize(
    ("digest", "kind", "error"),
    [("sha256:0", "bm25", NotReady), ("", "causal_lm", InvalidRequest), ("", "none", NotFound)],
)
def test_a_server_that_cannot_load_its_versions_does_not_start(
    tmp_path: Path, artefacts: dict[str, Path], digest: str, kind: str, error: type[RequestError]
) -> None:
    folder = artefacts.get(kind, tmp_path / "none")
    with pytest.raises(error):
        asyncio.run(serve_ranker(LOOPBACK, [VersionToLoad("a", "1", folder, digest)]))


def test_everything_is_healthy_once_the_server_is_up(artefacts: dict[str, Path]) -> None:
    async def story(client: Client) -> None:
        for service in ("", RANKING_SERVICE, "ranklift.v1.ModelService", "a@1"):
            assert await client.healthy(service) is True

    serving([VersionToLoad("a", "1", artefacts["bm25"], digest_of(artefacts["bm25"]))], story)


@asynccontextmanager
async def gated(**options: Any) -> AsyncIterator[tuple[Client, Gate, LoadedVersions]]:
    async def nobody(name: str, serving: bool) -> None:
        pass

    scheduler = Scheduler(ServingOptions(**options))
    gate, table = Gate(), LoadedVersions(nobody, scheduler)
    table.add(Loaded("slow", "1", "sha256:0", gate, (Stage(gate),)))
    servicer = RankerServicer(table, scheduler, ServingOptions())
    hosted = await host(
        LOOPBACK,
        {
            RANKING_SERVICE: lambda server: ranking_pb2_grpc.add_RankingServiceServicer_to_server(
                servicer, server
            )
        },
    )
    try:
        async with client_of(hosted) as client:
            yield client, gate, table
    finally:
        gate.opened.set()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def ask(query: str) -> ranking_pb2.RankRequest:
    return ranking_pb2.RankRequest(query=query, documents=[ranking_pb2.Document(id="a", text="t")])


def test_the_server_answers_while_it_scores() -> None:
    async def act() -> None:
        async with gated() as (client, gate, _):
            scoring = asyncio.ensure_future(client.ranking.Rank(ask("first")))
            assert await asyncio.to_thread(gate.entered.wait, 30)
            assert await client.healthy("") is True
            code, _ = await refused(client.ranking.Rank(ask("")))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            gate.opened.set()
            assert (await scoring).model.name == "slow"

    asyncio.run(act())


def test_expired_and_cancelled_calls_are_dropped_before_scoring() -> None:
    async def act() -> None:
        async with gated() as (client, gate, table):
            scoring = asyncio.ensure_future(client.ranking.Rank(ask("first")))
            assert await asyncio.to_thread(gate.entered.wait, 30)
            loaded = table.select("slow", "1")
            code, _ = await refused(client.ranking.Rank(ask("expired"), timeout=0.1))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: loaded.calls == 1)
            cancelled = client.ranking.Rank(ask("cancelled"))
            await until(lambda: loaded.calls == 2)
            cancelled.cancel()
            await until(lambda: loaded.calls == 1)
            gate.opened.set()
            await scoring
            await client.ranking.Rank(ask("last"))
            assert gate.order == ["first", "last"]

    asyncio.run(act())


def test_unloading_waits_for_the_calls_under_way() -> None:
    async def act() -> None:
        async with gated() as (client, gate, table):
            scoring = asyncio.ensure_future(client.ranking.Rank(ask("first")))
            assert await asyncio.to_thread(gate.entered.wait, 30)
            unloading = asyncio.ensure_future(table.unload("slow", "1"))
            code, _ = await refused(client.ranking.Rank(ask("late")))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert not unloading.done()
            gate.opened.set()
            assert (await scoring).model.version == "1"
            await unloading

    asyncio.run(act())


def test_a_version_is_announced_when_it_is_warm_and_when_it_goes(
    artefacts: dict[str, Path],
) -> None:
    told: list[tuple[str, bool, bool]] = []

    async def announce(name: str, serving: bool) -> None:
        told.append((name, serving, bool(table.all())))

    table = LoadedVersions(announce, Scheduler())

    async def act() -> None:
        await table.load(VersionToLoad("a", "1", artefacts["bm25"]))
        await table.load(VersionToLoad("a", "1", artefacts["bm25"]))
        await table.unload("a", "1")

    asyncio.run(act())
    assert told == [("a@1", False, False), ("a@1", True, True), ("a@1", False, False)]


def test_a_version_that_is_being_loaded_is_unavailable_not_unknown(
    artefacts: dict[str, Path],
) -> None:
    async def nobody(name: str, serving: bool) -> None:
        pass

    async def act() -> None:
        table = LoadedVersions(nobody, Scheduler())
        folder = artefacts["bm25"]
        await table.load(VersionToLoad("a", "1", folder))
        loading = asyncio.ensure_future(table.load(VersionToLoad("a", "2", folder)))
        await asyncio.sleep(0)  # one turn of the loop: the load has begun, not ended
        with pytest.raises(RequestError) as caught:
            table.select("a", "2")
        assert caught.value.code == "UNAVAILABLE"
        assert table.select("a", "").version == "1"
        await loading
        assert table.select("a", "").version == "2"
        # The warm-up has taught what it costs.
        assert table.select("a", "").stages[0].cost.seconds(1_000) > 0

    asyncio.run(act())


def test_a_call_that_would_be_late_is_refused_untouched_and_told_when_to_try_again() -> None:
    async def act() -> None:
        async with gated() as (client, gate, table):
            cost = table.select("slow", "1").stages[0].cost
            cost.observe(1_000, 1_000.0)  # a second a token
            scoring = asyncio.ensure_future(client.ranking.Rank(ask("first")))
            assert await asyncio.to_thread(gate.entered.wait, 30)
            with pytest.raises(aio.AioRpcError) as caught:
                await client.ranking.Rank(ask("late"), timeout=1.5)
            error = caught.value
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "would be scored in" in str(error.details())
            (retry,) = retries_of(error)
            trailers = dict(error.trailing_metadata() or ())
            assert 0 < retry <= int(trailers["grpc-retry-pushback-ms"]) / 1_000 < retry + 0.001
            gate.opened.set()
            await scoring
            assert gate.encoded == ["first"]

    asyncio.run(act())


def test_a_call_that_can_never_be_in_time_is_told_not_to_try_again() -> None:
    async def act() -> None:
        async with gated() as (client, _, table):
            table.select("slow", "1").stages[0].cost.observe(1_000, 60_000.0)
            with pytest.raises(aio.AioRpcError) as caught:
                await client.ranking.Rank(ask("dear"), timeout=20)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "by itself" in str(caught.value.details())
            assert dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "-1000"
            assert not retries_of(caught.value)

    asyncio.run(act())


def retries_of(error: aio.AioRpcError) -> list[float]:
    """Return what the status says about retrying, in seconds."""
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None
    found = []
    for detail in status.details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            found.append(retry.retry_delay.ToTimedelta().total_seconds())
    return found


def test_a_request_that_fails_takes_no_other_with_it() -> None:
    async def act() -> None:
        async with gated() as (client, gate, table):
            gate.broken = frozenset({"bad"})
            first = asyncio.ensure_future(client.ranking.Rank(ask("first")))
            assert await asyncio.to_thread(gate.entered.wait, 30)
            calls = [client.ranking.Rank(ask(query)) for query in ("good", "bad", "fine")]
            await until(lambda: table.select("slow", "1").calls == 4)
            gate.opened.set()
            codes = [await call.code() for call in calls]
            assert codes == [grpc.StatusCode.OK, grpc.StatusCode.INTERNAL, grpc.StatusCode.OK]
            await first

    asyncio.run(act())


def test_bad_input_has_a_clear_status_and_disturbs_nobody(
    artefacts: dict[str, Path], documents: list[Text]
) -> None:
    long = ranking_pb2.Document(id="a", text="cbaba " * 170_000)
    many = [ranking_pb2.Document(id=str(i), text="t") for i in range(10_000)]

    async def story(client: Client) -> None:
        async def status(request: ranking_pb2.RankRequest) -> tuple[grpc.StatusCode, str]:
            code, found = await refused(client.ranking.Rank(request))
            return code, found[0].field

        invalid = grpc.StatusCode.INVALID_ARGUMENT
        expected = await client.ranking.Rank(request_of(documents))
        assert await status(ranking_pb2.RankRequest(query="q", documents=[long])) == (
            invalid,
            "documents[0].text",
        )
        assert await status(ranking_pb2.RankRequest(query="q", documents=many)) == (
            invalid,
            "documents",
        )
        assert await status(select("nobody")) == (grpc.StatusCode.NOT_FOUND, "model.name")
        # Control characters are text like any other.
        strange = [Text("a", "", "\x00\x01\x1b cbaba \u202e"), Text("b", "", "\x7f")]
        assert len((await client.ranking.Rank(request_of(strange))).results) == 2
        # What no protobuf library sends: a lone surrogate, and no message at all.
        async with aio.insecure_channel(client.hosted.address) as channel:
            raw: Any = channel.unary_unary(f"/{RANKING_SERVICE}/Rank")
            good = request_of([Text("a", "", "sss")]).SerializeToString()
            for message in (good.replace(b"sss", b"\xed\xa0\x80"), b"\xff\xff"):
                call = raw(message)
                assert await call.code() is invalid
                assert "valid UTF-8" in await call.details()
        again = await client.ranking.Rank(request_of(documents))
        assert again.results == expected.results

    serving([VersionToLoad("m", "1", artefacts["encoder"])], story)


def test_versions_are_swapped_under_load_without_a_failure_or_a_mixed_reply(
    tmp_path: Path,
    artefacts: dict[str, Path],
    documents: list[Text],
    tokenizer: PreTrainedTokenizerBase,
    write_artefact: Callable[[PreTrainedModel, PreTrainedTokenizerBase, str, Path], None],
) -> None:
    other = load_scorer(artefacts["causal_lm"], head_seed=4)
    write_artefact(other, tokenizer, "decoder", tmp_path / "other")
    folders = [artefacts["decoder"], tmp_path / "other"]
    expected = {
        digest_of(each): score_texts(load_ranker(each), "cbaba ababo", documents).values
        for each in folders
    }
    one, two = expected.values()
    assert np.abs(one - two).min() > 1e-3

    async def story(client: Client) -> None:
        seen: set[str] = set()
        over = asyncio.Event()

        async def ask_on() -> None:
            while not over.is_set():
                reply = await client.ranking.Rank(request_of(documents))
                scores = np.empty(len(documents))
                for result in reply.results:
                    scores[result.index] = result.relevance_score
                np.testing.assert_allclose(scores, expected[reply.model.digest], atol=1e-5)
                seen.add(reply.model.version)

        async with asyncio.TaskGroup() as asking:
            for _ in range(4):
                asking.create_task(ask_on())
            for version in range(2, 6):
                await client.models.LoadModelVersion(
                    models_pb2.LoadModelVersionRequest(
                        model="m", version=str(version), uri=str(folders[(version - 1) % 2])
                    )
                )
                await client.models.UnloadModelVersion(
                    models_pb2.UnloadModelVersionRequest(model="m", version=str(version - 1))
                )
                await until(lambda wanted=str(version): wanted in seen)  # type: ignore[misc]
            over.set()
        assert seen == {"1", "2", "3", "4", "5"}

    serving([VersionToLoad("m", "1", folders[0])], story)
