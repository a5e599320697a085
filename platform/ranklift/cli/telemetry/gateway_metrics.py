"""The metrics of the gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from ranklift.cli.telemetry.buckets import SECONDS
from ranklift.store.values import ModelRef
from ranklift.traffic.pages import FALLBACK_REASONS
from ranklift.v1.observing import RankCall

VERSION = ("model", "version")


class GatewayMetrics:
    """Counts what the gateway tells. Versions are those that experiments and the champion name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "ranklift_gateway_requests",
            "Ranking calls that ended, by the version that ranked and by gRPC status.",
            (*VERSION, "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "ranklift_gateway_request_seconds",
            "From the arrival of a ranking call to its end.",
            buckets=SECONDS,
            registry=registry,
        )
        self._fallbacks = Counter(
            "ranklift_gateway_fallbacks",
            "Pages that the champion ranked in the place of an arm's ranker, by reason.",
            ("reason",),
            registry=registry,
        )
        self._unrecorded = Counter(
            "ranklift_gateway_unrecorded_pages",
            "Pages that were shown and could not be recorded.",
            registry=registry,
        )
        self._upstream_seconds = Histogram(
            "ranklift_gateway_upstream_seconds",
            "How long rankers took, by the version asked.",
            VERSION,
            buckets=SECONDS,
            registry=registry,
        )
        self._upstream_failures = Counter(
            "ranklift_gateway_upstream_failures",
            "Calls that rankers did not answer, by the version asked and gRPC status.",
            (*VERSION, "code"),
            registry=registry,
        )

    def call_ended(self, call: RankCall) -> None:
        reply = call.reply
        version = (reply.model.name, reply.model.version) if reply is not None else ("", "")
        self._requests.labels(*version, call.code).inc()
        self._seconds.observe(call.seconds)
        if reply is None:
            return
        if reply.fallback_reason:
            self._fallbacks.labels(FALLBACK_REASONS[reply.fallback_reason]).inc()
        if not reply.impression_id:
            self._unrecorded.inc()

    def upstream_ended(self, model: ModelRef, code: str, seconds: float) -> None:
        self._upstream_seconds.labels(model.model, model.version).observe(seconds)
        if code != "OK":
            self._upstream_failures.labels(model.model, model.version, code).inc()
