"""The Open Inference Protocol over a socket: Triton's client, and the wire by hand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Never

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from ranklift.inference import open_inference_pb2 as pb
from ranklift.inference.open_inference_pb2_grpc import (
    GRPCInferenceServiceStub,
    add_GRPCInferenceServiceServicer_to_server,
)
from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.base import Text
from ranklift.rankers.loaded import VersionToLoad
from ranklift.rankers.server import serve_ranker
from ranklift.rankers.serving.open_inference import OpenInferenceServicer
from ranklift.rankers.serving.options import ServingOptions
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1.errors import Overloaded, Unreachable
from ranklift.v1.hosting import host
from ranklift.v1.observing import Context
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub
from ranklift.v1.requests import RankLimits
from ranklift.v1.status import violations_of

QUERY = "cbaba ababo"


def serving(
    folders: dict[str, Path],
    story: Callable[[aio.Channel, str], Awaitable[None]],
    options: ServingOptions | None = None,
) -> None:
    """Serve version "1" of each model, and let `story` act on a channel and the address."""
    versions = [VersionToLoad(model, "1", folder) for model, folder in folders.items()]

    async def act() -> None:
        hosted = await serve_ranker("127.0.0.1:0", versions, options)
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                await asyncio.wait_for(story(channel, hosted.address), 60)
        finally:
            await hosted.stop(0)

    asyncio.run(act())


def typed(**inputs: list[str]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest()
    for name, texts in inputs.items():
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[len(texts)])
        tensor.contents.bytes_contents.extend(text.encode() for text in texts)
    return request


async def ranked(channel: aio.Channel, documents: list[Text], model: str = "") -> list[float]:
    """Return what `Rank` gives the documents, in their order."""
    reply = await RankingServiceStub(channel).Rank(
        ranking.RankRequest(
            query=QUERY,
            documents=[ranking.Document(id=d.id, title=d.title, text=d.text) for d in documents],
            model=ranking.ModelSelector(name=model),
        )
    )
    by_index = {result.index: result.relevance_score for result in reply.results}
    return [by_index[i] for i in range(len(documents))]


@pytest.mark.parametrize("kind", ["bm25", "encoder"])
def test_tritons_client_gets_the_scores_of_rank(
    artefacts: dict[str, Path], documents: list[Text], kind: str
) -> None:
    asked = {
        "model": "m",
        "query": QUERY,
        "documents": [document.text for document in documents],
        "titles": [document.title for document in documents],
    }

    async def story(channel: aio.Channel, address: str) -> None:
        client = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(Path(__file__).with_name("triton_client.py")), address],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
        )
        assert client.returncode == 0, client.stderr
        said = json.loads(client.stdout)

        assert said["dtype"] == "float32"
        expected = np.array(await ranked(channel, documents), dtype=np.float32)
        assert said["scores"] == expected.tolist()  # to the bit
        assert said["live"] is said["ready"] is True
        assert said["model_ready"] == [True, False]
        assert said["server"] == "ranklift"
        assert said["metadata"] == {
            "name": "m",
            "versions": ["1"],
            "platform": "ranklift",
            "inputs": [
                {"name": "query", "datatype": "BYTES", "shape": ["1"]},
                {"name": "documents", "datatype": "BYTES", "shape": ["-1"]},
                {"name": "titles", "datatype": "BYTES", "shape": ["-1"]},
            ],
            "outputs": [{"name": "scores", "datatype": "FP32", "shape": ["-1"]}],
        }
        response = said["response"]
        assert (response["model_name"], response["model_version"]) == ("m", "1")
        assert response["id"] == "r1"
        assert response["parameters"]["digest"] == {"string_param": digest_of(artefacts[kind])}
        assert said["refusal"]["code"] == "StatusCode.NOT_FOUND"
        assert '"nobody" is not loaded; loaded are: m' in said["refusal"]["message"]

    serving({"m": artefacts[kind]}, story)


def test_typed_contents_are_answered_in_typed_contents(
    artefacts: dict[str, Path], documents: list[Text]
) -> None:
    async def story(channel: aio.Channel, _: str) -> None:
        request = typed(
            query=[QUERY],
            documents=[document.text for document in documents],
            titles=[document.title for document in documents],
        )
        reply = await GRPCInferenceServiceStub(channel).ModelInfer(request)
        (scores,) = reply.outputs
        assert (scores.name, scores.datatype, list(scores.shape)) == (
            "scores",
            "FP32",
            [len(documents)],
        )
        expected = np.array(await ranked(channel, documents), dtype=np.float32)
        assert list(scores.contents.fp32_contents) == expected.tolist()
        assert not reply.raw_output_contents

    serving({"m": artefacts["encoder"]}, story)


def test_a_reply_says_what_scored_and_what_was_cut(artefacts: dict[str, Path]) -> None:
    async def story(channel: aio.Channel, _: str) -> None:
        long = " ".join(["cbaba"] * 500)
        reply = await GRPCInferenceServiceStub(channel).ModelInfer(
            typed(query=[QUERY], documents=["cbaba", long, "ababo", long])
        )
        said = reply.parameters
        assert said["truncated_documents"].string_param == "1,3"
        assert said["numerics"].string_param == "fp32"
        assert said["tokens"].int64_param > 32  # two documents to the limit, and two more
        stages = ("queue", "tokenize", "inference")
        spans = [said[f"{stage}_seconds"].double_param for stage in stages]
        assert min(spans) >= 0
        assert 0 < sum(spans) <= said["total_seconds"].double_param + 1e-9

    serving({"m": artefacts["encoder"]}, story)


def test_models_are_chosen_by_name(artefacts: dict[str, Path], documents: list[Text]) -> None:
    async def story(channel: aio.Channel, _: str) -> None:
        stub = GRPCInferenceServiceStub(channel)
        for model in ("a", "b"):
            request = typed(query=[QUERY], documents=[document.body for document in documents])
            request.model_name, request.model_version = model, "1"
            reply = await stub.ModelInfer(request)
            assert (reply.model_name, reply.model_version) == (model, "1")
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="a", version="9"))).ready
        unknown = await refused(stub.ModelMetadata(pb.ModelMetadataRequest(name="c")))
        assert unknown[0] is grpc.StatusCode.NOT_FOUND

    serving({"a": artefacts["bm25"], "b": artefacts["encoder"]}, story)


class Full:
    """Ranks nothing: it has no room."""

    async def Rank(self, request: ranking.RankRequest, context: Context) -> Never:  # noqa: N802
        assert 0 < context.time_remaining() < 60  # the caller's 20 s, roughly
        raise Overloaded.of("", "no room")


class Nothing:
    """No loaded version."""

    def all(self) -> list[Never]:
        return []

    def select(self, model: str, version: str) -> Never:
        raise Unreachable.of("", "no model version is loaded yet")


def test_what_rank_refuses_is_refused_here() -> None:
    servicer = OpenInferenceServicer(Full(), Nothing(), max_documents=9, ready=lambda: False)
    add = add_GRPCInferenceServiceServicer_to_server

    async def act() -> None:
        hosted = await host("127.0.0.1:0", {"": lambda server: add(servicer, server)})
        try:
            async with aio.insecure_channel(hosted.address) as channel:
                stub = GRPCInferenceServiceStub(channel)
                call = stub.ModelInfer(typed(query=["q"], documents=["d"]), timeout=20)
                assert (await refused(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready
                assert not (await stub.ModelReady(pb.ModelReadyRequest(name="m"))).ready
        finally:
            await hosted.stop(0)

    asyncio.run(act())


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, list[str]]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), [violation.field for violation in violations_of(caught.value)]


def test_the_limits_are_those_of_rank(artefacts: dict[str, Path]) -> None:
    async def story(channel: aio.Channel, _: str) -> None:
        stub = GRPCInferenceServiceStub(channel)
        for request, field in (
            (typed(query=["q"], documents=["d"] * 4), "inputs[1].shape"),
            (typed(query=["q"], documents=["d", "d" * 11]), "documents[1].text"),
            (typed(query=["q"], documents=["d", " "]), "documents[1]"),
            (typed(query=["q"], documents=[]), "documents"),
            (typed(query=[" "], documents=["d"]), "query"),
        ):
            assert await refused(stub.ModelInfer(request)) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                [field],
            )

    limits = RankLimits(max_documents=3, max_text_chars=10)
    serving({"m": artefacts["bm25"]}, story, ServingOptions(limits=limits))


def test_reflection_and_health_know_the_service(artefacts: dict[str, Path]) -> None:
    async def story(channel: aio.Channel, _: str) -> None:
        health: Any = health_pb2_grpc.HealthStub(channel)
        name = "inference.GRPCInferenceService"
        reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        stub: Any = reflection_pb2_grpc.ServerReflectionStub
        info = stub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answer in info.ServerReflectionInfo(iter([asked])):
            assert name in {one.name for one in answer.list_services_response.service}

    serving({"m": artefacts["bm25"]}, story)
