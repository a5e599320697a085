"""Metrics and traces: what is counted, and settings that are wrong."""

from __future__ import annotations

import socket
from typing import ClassVar

import pytest
from prometheus_client import CollectorRegistry

from ranklift.cli.telemetry.event_counts import EventCounts
from ranklift.cli.telemetry.exposition import exposed
from ranklift.cli.telemetry.gateway_metrics import GatewayMetrics
from ranklift.cli.telemetry.ranker_metrics import RankerMetrics
from ranklift.cli.telemetry.tracing import Tracing, traced
from ranklift.rankers.lru import CacheUse
from ranklift.store.values import ModelRef
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.observing import RankCall


def test_the_gateway_counts_fallbacks_by_reason_and_pages_that_were_lost() -> None:
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    model = pb.ServedModel(name="m", version="2")
    late = pb.RankResponse(
        model=model, impression_id="i", fallback_reason=pb.FALLBACK_REASON_DEADLINE
    )
    metrics.call_ended(RankCall(pb.RankRequest(), late, "OK", 0.1))
    metrics.call_ended(RankCall(pb.RankRequest(), pb.RankResponse(model=model), "OK", 0.1))
    metrics.upstream_ended(ModelRef("m", "1"), "DEADLINE_EXCEEDED", 0.05)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"ranklift_gateway_{name}", labels)

    assert value("requests_total", model="m", version="2", code="OK") == 2
    assert value("fallbacks_total", reason="deadline") == 1
    assert value("unrecorded_pages_total") == 1
    asked = {"model": "m", "version": "1"}
    assert value("upstream_failures_total", **asked, code="DEADLINE_EXCEEDED") == 1
    assert value("upstream_seconds_sum", **asked) == pytest.approx(0.05)


def test_the_gateway_counts_events_by_rule_those_that_never_came_too() -> None:
    registry = CollectorRegistry()
    counts = {"bot_like": 2}
    registry.register(EventCounts(lambda: counts))
    for rule, n in (("bot_like", 2), ("duplicate", 0)):
        assert registry.get_sample_value("ranklift_gateway_events_total", {"rule": rule}) == n


class State:
    """A ranker of one version, of which everything is known."""

    queued_tokens = 7
    versions = (("m", "1"),)
    token_caches: ClassVar = {("m", "1"): CacheUse(hits=3, misses=1, held=90, entries=1)}
    score_cache = CacheUse(hits=0, misses=2, held=2, entries=2)


def test_a_ranker_tells_how_its_caches_were_used_and_what_cascades_ranked_again() -> None:
    registry = CollectorRegistry()
    metrics = RankerMetrics(registry)
    metrics.started(State())
    model = pb.ServedModel(name="m", version="1")
    for reranked in (20, 0, 5):
        reply = pb.RankResponse(model=model, reranked_documents=reranked)
        metrics.call_ended(RankCall(pb.RankRequest(), reply, "OK", 0.1))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"ranklift_ranker_{name}", labels)

    version, server = {"model": "m", "version": "1"}, {"model": "", "version": ""}
    assert value("cache_lookups_total", cache="tokens", **version, result="hit") == 3
    assert value("cache_lookups_total", cache="tokens", **version, result="miss") == 1
    assert value("cache_lookups_total", cache="scores", **server, result="miss") == 2
    assert value("cache_held", cache="tokens", **version) == 90
    assert value("cache_held", cache="scores", **server) == 2
    assert value("reranked_documents_total", **version) == 25


def test_no_address_is_no_server_and_no_collector_is_no_trace() -> None:
    with exposed("", CollectorRegistry(), "ranker.metrics_address"):
        pass
    with traced("", "ranker") as tracing:
        assert tracing == Tracing()


def test_an_address_that_cannot_be_had_is_refused_by_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for address in ("nonsense", "0.0.0.0:9400", f"127.0.0.1:{port}"):
            with (
                pytest.raises(InvalidRequest) as caught,
                exposed(address, CollectorRegistry(), "ranker.metrics_address"),
            ):
                pass
            assert caught.value.violations[0].field == "ranker.metrics_address"
