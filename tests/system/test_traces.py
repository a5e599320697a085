"""One trace over client, gateway and ranker, as a collector gets it from real processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.instrumentation import grpc as instrumentation
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.system.installation import BM25

from ranklift.cli.processes import children, free_address, wait_until_serving
from ranklift.v1 import ranking_pb2
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

RANK = "/ranklift.v1.RankingService/Rank"
CLIENT, SERVER = 3, 2  # as OTLP numbers them
REQUEST = ranking_pb2.RankRequest(
    query="word", documents=[ranking_pb2.Document(id=str(i), text="a word") for i in range(3)]
)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that servers send, by the service they come from."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []

    async def Export(self, request: Any, context: object) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            service = attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    async def until(self, spans: int) -> None:
        async with asyncio.timeout(60):
            while len(self.spans) < spans:
                await asyncio.sleep(0.02)


def attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    def plain(value: AnyValue) -> Any:
        return getattr(value, str(value.WhichOneof("value")))

    return {pair.key: plain(pair.value) for pair in pairs}


def test_a_trace_runs_from_the_client_to_the_ranker(home: Path) -> None:
    collector, own = Collector(), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(own))
    untyped: Any = instrumentation

    async def act() -> None:
        server = aio.server()
        add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(collector, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        gateway, ranker = free_address(), free_address()
        environment = {
            "RANKLIFT_TELEMETRY__OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with children(home / "logs", environment) as start:
            at = ("--home", str(home))
            first = start(
                "ranker", "serve", "ranker", *at, "--load", str(BM25), "--address", ranker
            )
            await asyncio.to_thread(wait_until_serving, first, ranker)
            second = start(
                "gateway", "serve", "gateway", *at, "--address", gateway, "--ranker", ranker
            )
            await asyncio.to_thread(wait_until_serving, second, gateway)
            interceptors = untyped.aio_client_interceptors(provider)
            async with aio.insecure_channel(gateway, interceptors=interceptors) as channel:
                stub = RankingServiceStub(channel)
                await stub.Rank(REQUEST)
                await collector.until(spans=3)
                with pytest.raises(aio.AioRpcError) as refused:
                    await stub.Rank(ranking_pb2.RankRequest())
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                await collector.until(spans=4)
        await server.stop(0)

    asyncio.run(act())

    (asked, refused) = own.get_finished_spans()
    assert asked.context is not None
    assert refused.context is not None
    by_place = {(service, span.kind): span for service, span in collector.spans[:3]}
    assert len(by_place) == 3
    received = by_place["ranklift-gateway", SERVER]
    forwarded = by_place["ranklift-gateway", CLIENT]
    scored = by_place["ranklift-ranker", SERVER]
    trace = asked.context.trace_id.to_bytes(16, "big")
    assert {span.trace_id for span in by_place.values()} == {trace}
    assert {span.name for span in by_place.values()} == {RANK}
    assert received.parent_span_id == asked.context.span_id.to_bytes(8, "big")
    assert forwarded.parent_span_id == received.span_id
    assert scored.parent_span_id == forwarded.span_id
    for span in (received, scored):
        said = attributes(span.attributes)
        assert (said["ranklift.model"], said["ranklift.version"]) == ("bm25", "1")
        assert said["ranklift.documents"] == 3
        assert said["ranklift.tokens"] > 0
        assert said["ranklift.inference_seconds"] > 0
        assert said["rpc.grpc.status_code"] == 0

    # A refused call says how it was refused, and is no fault of the server's.
    service, span = collector.spans[3]
    assert service == "ranklift-gateway"
    assert span.trace_id == refused.context.trace_id.to_bytes(16, "big")
    assert attributes(span.attributes)["rpc.grpc.status_code"] == 3
    assert span.status.code == 0
