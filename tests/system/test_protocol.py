"""A stranger with nothing but the protocol: server reflection, no generated code of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from ranklift.cli.collections import Ground
from ranklift.cli.processes import children, free_address, wait_until_serving
from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.bm25 import build_bm25


class Stranger:
    """Calls methods by name with plain dictionaries, as grpcurl does."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self._database)

    def services(self) -> set[str]:
        return set(self._database.get_services())

    def call(self, service: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        found = self._pool.FindServiceByName(f"ranklift.v1.{service}").methods_by_name[method]
        request_class = GetMessageClass(found.input_type)
        reply_class = GetMessageClass(found.output_type)
        invoke: Any = self._channel.unary_unary(
            f"/ranklift.v1.{service}/{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=reply_class.FromString,
        )
        reply = invoke(ParseDict(request, request_class()), timeout=30)
        return MessageToDict(reply, always_print_fields_with_no_presence=True)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    """`ranklift serve all` on an empty home."""
    gateway = free_address()
    environment = {"RANKLIFT_GATEWAY__ADDRESS": gateway, "RANKLIFT_RANKER__ADDRESS": free_address()}
    with children(tmp_path / "logs", environment) as start:
        process = start("all", "serve", "all", "--home", str(tmp_path / "home"))
        wait_until_serving(process, gateway)
        with grpc.insecure_channel(gateway) as channel:
            yield Stranger(channel)


def test_a_whole_experiment_by_reflection(
    stranger: Stranger, ground: Ground, tmp_path: Path
) -> None:
    assert {f"ranklift.v1.{name}Service" for name in ("Ranking", "Lift", "Event")} <= (
        stranger.services()
    )
    for version, texts in (("1", ground.texts()), ("2", ground.texts()[::2])):
        folder = tmp_path / version
        build_bm25(texts, folder)
        stranger.call(
            "ModelService",
            "RegisterModelVersion",
            {
                "modelVersion": {
                    "model": "bm25",
                    "version": version,
                    "kind": "bm25",
                    "numerics": "fp32",
                    "digest": digest_of(folder),
                    "uri": str(folder),
                    "lineage": {"stage": "index"},
                }
            },
        )
        name = {"model": "bm25", "version": version}
        loaded = stranger.call("ModelService", "LoadModelVersion", name)["loaded"]
        assert [each["version"] for each in loaded] == [version]
    stranger.call("ModelService", "SetChampion", {"model": "bm25", "version": "1"})
    arms = [
        {"name": arm, "share": 0.5, "model": {"name": "bm25", "version": version}}
        for arm, version in (("control", "1"), ("challenger", "2"))
    ]
    stranger.call(
        "ExperimentService", "CreateExperiment", {"experiment": {"name": "x", "arms": arms}}
    )
    stranger.call("ExperimentService", "StartExperiment", {"name": "x"})

    query, candidates = next(iter(ground.candidates.items()))
    documents = [
        {"id": text.id, "title": text.title, "text": text.text}
        for text in ground.lists([query])[0].documents
    ]
    clicked_arms = set()
    for user in range(80):
        page = stranger.call(
            "RankingService",
            "Rank",
            {
                "query": ground.collection.queries[query],
                "documents": documents,
                "userId": f"u{user}",
                "sessionId": f"s{user}",
            },
        )
        assert {result["id"] for result in page["results"]} == set(candidates)
        scores = [result["relevanceScore"] for result in page["results"]]
        assert scores == sorted(scores, reverse=True)
        arm = page["assignments"][0]["arm"]
        assert page["model"]["version"] == {"control": "1", "challenger": "2"}[arm]
        if user % 2:
            continue
        clicked_arms.add(arm)
        events = [
            {
                "eventId": f"c{user}",
                "click": {
                    "impressionId": page["impressionId"],
                    "documentId": page["results"][0]["id"],
                },
            },
            {
                "eventId": f"d{user}",
                "dwell": {"clickEventId": f"c{user}", "dwellDuration": f"{10 + user}.5s"},
            },
        ]
        assert stranger.call("EventService", "RecordEvents", {"events": events}) == {
            "recordedCount": 2,
            "duplicateCount": 0,
        }
        assert stranger.call("EventService", "RecordEvents", {"events": events}) == {
            "recordedCount": 0,
            "duplicateCount": 2,
        }

    report = stranger.call("LiftService", "GetLiftReport", {"experiment": "x"})["report"]

    assert clicked_arms == {"control", "challenger"}
    assert sum(int(arm["pages"]) for arm in report["arms"]) == 80
    assert sum(int(arm["clicks"]) for arm in report["arms"]) == 40
    assert {lift["metric"] for lift in report["lifts"]} >= {
        "page_ctr",
        "user_ctr",
        "dwell_per_click",
    }
    assert report["valid"]
