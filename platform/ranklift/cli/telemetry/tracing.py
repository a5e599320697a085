"""Traces over OTLP: one span for each call at each process, joined by W3C trace context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from grpc import aio

from ranklift.traffic.pages import FALLBACK_REASONS
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.observing import RankCall, RankObserver

SETTING = "telemetry.otlp_endpoint"
EXPORT_SECONDS = 2.0  # what a collector that does not answer may add to the end of a server


@dataclass(frozen=True, slots=True)
class Tracing:
    """What a server has to be given so that its calls are traced."""

    servers: Sequence[aio.ServerInterceptor] = ()
    clients: Sequence[aio.ClientInterceptor] = ()
    calls: Sequence[RankObserver] = ()


@contextmanager
def traced(endpoint: str, service: str) -> Iterator[Tracing]:
    """Send the spans of `service` to an OTLP collector at `endpoint`; none when it is empty.

    Raises:
        InvalidRequest: the packages are not installed.
    """
    if not endpoint:
        yield Tracing()
        return
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation import grpc as instrumentation
        from opentelemetry.instrumentation.grpc import filters
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidRequest.of(
            SETTING, f'{error.name} is not installed; install it with "ranklift[telemetry]"'
        ) from error
    interceptors: Any = instrumentation  # its factories have no types
    # One for each server rather than the process's: `serve all` runs several.
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    # What machines ask every second says nothing about a user's call.
    told = filters.negate(
        filters.any_of(
            filters.health_check(),
            filters.service_prefix("grpc.reflection"),
            filters.method_name("ListLoadedModelVersions"),
        )
    )
    try:
        yield Tracing(
            servers=[interceptors.aio_server_interceptor(provider, told)],
            clients=interceptors.aio_client_interceptors(provider, told),
            calls=[describe],
        )
    finally:
        provider.shutdown()


def describe(call: RankCall) -> None:
    """Write on the current span what ranked, and where the time went."""
    from opentelemetry.trace import get_current_span

    span = get_current_span()
    span.set_attribute("ranklift.documents", len(call.request.documents))
    reply = call.reply
    if reply is None:
        return
    timing = reply.timing
    span.set_attributes(
        {
            "ranklift.model": reply.model.name,
            "ranklift.version": reply.model.version,
            "ranklift.numerics": reply.model.numerics,
            "ranklift.tokens": reply.tokens,
            "ranklift.queue_seconds": timing.queue.ToNanoseconds() / 1e9,
            "ranklift.tokenize_seconds": timing.tokenize.ToNanoseconds() / 1e9,
            "ranklift.inference_seconds": timing.inference.ToNanoseconds() / 1e9,
        }
    )
    if reply.assignments:
        span.set_attribute(
            "ranklift.arms", [f"{one.experiment}/{one.arm}" for one in reply.assignments]
        )
    if reply.fallback_reason:
        span.set_attribute("ranklift.fallback", FALLBACK_REASONS[reply.fallback_reason])
