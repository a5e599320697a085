"""What Prometheus finds at a gateway and a ranker that have served."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.system.installation import BM25

from ranklift.cli.processes import children, free_address, wait_until_serving
from ranklift.v1 import ranking_pb2
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
REQUEST = ranking_pb2.RankRequest(
    query="word", documents=[ranking_pb2.Document(id=str(i), text="a word") for i in range(3)]
)

MADE_UP = ranking_pb2.RankRequest(
    query="q",
    documents=REQUEST.documents,
    model=ranking_pb2.ModelSelector(name="made", version="up"),
)


def scraped(address: str) -> Samples:
    with urllib.request.urlopen(f"http://{address}/metrics") as reply:
        text = reply.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_prometheus_finds_what_was_served(home: Path) -> None:
    gateway, ranker = free_address(), free_address()
    of_gateway, of_ranker = free_address(), free_address()
    environment = {
        "RANKLIFT_GATEWAY__METRICS_ADDRESS": of_gateway,
        "RANKLIFT_RANKER__METRICS_ADDRESS": of_ranker,
    }
    at = ("--home", str(home))
    with children(home / "logs", environment) as start:
        child = start("ranker", "serve", "ranker", *at, "--load", str(BM25), "--address", ranker)
        wait_until_serving(child, ranker)
        child = start("gateway", "serve", "gateway", *at, "--address", gateway, "--ranker", ranker)
        wait_until_serving(child, gateway)
        with grpc.insecure_channel(gateway) as channel:
            for _ in range(5):
                RankingServiceStub(channel).Rank(REQUEST)
            with pytest.raises(grpc.RpcError):
                RankingServiceStub(channel).Rank(ranking_pb2.RankRequest())
        with grpc.insecure_channel(ranker) as channel, pytest.raises(grpc.RpcError):
            RankingServiceStub(channel).Rank(MADE_UP)
        at_gateway, at_ranker = scraped(of_gateway), scraped(of_ranker)

    bm25 = {"model": "bm25", "version": "1"}
    for name in ("gateway", "ranker"):
        samples = at_gateway if name == "gateway" else at_ranker
        assert value(samples, f"ranklift_{name}_requests_total", **bm25, code="OK") == 5
    nobody = {"model": "", "version": ""}
    refused = value(
        at_gateway, "ranklift_gateway_requests_total", **nobody, code="INVALID_ARGUMENT"
    )
    assert refused == 1
    # A name that a caller made up is no label.
    unknown = value(at_ranker, "ranklift_ranker_requests_total", **nobody, code="NOT_FOUND")
    assert unknown == 1
    assert value(at_gateway, "ranklift_gateway_request_seconds_count") == 6
    assert value(at_gateway, "ranklift_gateway_upstream_seconds_count", **bm25) == 5
    assert value(at_gateway, "ranklift_gateway_registry_readable") == 1
    assert 0 <= value(at_gateway, "ranklift_gateway_config_age_seconds") < 60
    assert value(at_gateway, "ranklift_gateway_breaker_open", **bm25, address=ranker) == 0
    assert value(at_gateway, "ranklift_gateway_breaker_openings_total", **bm25) == 0
    for result in ("made", "denied"):
        assert value(at_gateway, "ranklift_gateway_retries_total", **bm25, result=result) == 0
    assert value(at_gateway, "ranklift_gateway_lost_pages_total") == 0
    assert value(at_ranker, "ranklift_ranker_documents_total", **bm25) == 15
    assert value(at_ranker, "ranklift_ranker_tokens_total", **bm25) > 0
    for stage in ("queue", "tokenize", "inference", "total"):
        assert value(at_ranker, "ranklift_ranker_stage_seconds_count", stage=stage) == 5
    assert value(at_ranker, "ranklift_ranker_batch_tokens_count") >= 5
    assert value(at_ranker, "ranklift_ranker_queue_tokens") == 0
    assert value(at_ranker, "ranklift_ranker_loaded_versions") == 1
