"""The metrics of a ranker."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ranklift.cli.telemetry.buckets import SECONDS, TOKENS
from ranklift.cli.telemetry.cache_metrics import CacheMetrics
from ranklift.rankers.serving.telemetry import RankerState
from ranklift.v1.observing import RankCall

VERSION = ("model", "version")


class RankerMetrics:
    """Counts what a ranker tells. Versions are labels only where they are or were loaded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._state: RankerState | None = None
        self._requests = Counter(
            "ranklift_ranker_requests",
            "Ranking calls that ended, by gRPC status; without a version when none was found.",
            (*VERSION, "code"),
            registry=registry,
        )
        self._documents = Counter(
            "ranklift_ranker_documents", "Documents scored.", VERSION, registry=registry
        )
        self._truncated = Counter(
            "ranklift_ranker_truncated_documents",
            "Documents that were cut to the token limit.",
            VERSION,
            registry=registry,
        )
        self._tokens = Counter("ranklift_ranker_tokens", "Tokens read.", VERSION, registry=registry)
        self._reranked = Counter(
            "ranklift_ranker_reranked_documents",
            "Documents that the second stage of a cascade ranked.",
            VERSION,
            registry=registry,
        )
        self._stages = Histogram(
            "ranklift_ranker_stage_seconds",
            "Where the time of answered calls went; total is all of it.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_tokens = Histogram(
            "ranklift_ranker_batch_tokens",
            "Tokens of each batch that went through a model.",
            buckets=TOKENS,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "ranklift_ranker_batch_seconds",
            "How long each batch took.",
            buckets=SECONDS,
            registry=registry,
        )

    def started(self, state: RankerState) -> None:
        """Read these from `state` whenever somebody asks."""
        self._state = state
        self._registry.register(CacheMetrics(state))
        Gauge(
            "ranklift_ranker_queue_tokens", "Tokens that wait now.", registry=self._registry
        ).set_function(lambda: state.queued_tokens)
        Gauge(
            "ranklift_ranker_loaded_versions", "Model versions loaded now.", registry=self._registry
        ).set_function(lambda: len(state.versions))

    def call_ended(self, call: RankCall) -> None:
        reply = call.reply
        version = self._version(call)
        self._requests.labels(*version, call.code).inc()
        if reply is None:
            return
        self._documents.labels(*version).inc(len(call.request.documents))
        self._truncated.labels(*version).inc(len(reply.truncated_document_ids))
        self._tokens.labels(*version).inc(reply.tokens)
        self._reranked.labels(*version).inc(reply.reranked_documents)
        for stage in ("queue", "tokenize", "inference", "total"):
            self._stages.labels(stage).observe(_seconds(getattr(reply.timing, stage)))

    def batch_ended(self, tokens: int, seconds: float) -> None:
        self._batch_tokens.observe(tokens)
        self._batch_seconds.observe(seconds)

    def _version(self, call: RankCall) -> tuple[str, str]:
        """Return what answered, or what was asked; nothing that only a caller made up."""
        if call.reply is not None:
            return call.reply.model.name, call.reply.model.version
        asked = (call.request.model.name, call.request.model.version)
        return asked if self._state and asked in self._state.versions else ("", "")


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
