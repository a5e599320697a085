"""The committed protocol code is what the .proto files say, and every server can be explored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ranklift.v1 import (
    events_pb2,
    experiments_pb2,
    lift_pb2,
    models_pb2,
    ranking_pb2,
    retraining_pb2,
)

ROOT = Path(__file__).parents[2]
FILES = (events_pb2, experiments_pb2, lift_pb2, models_pb2, ranking_pb2, retraining_pb2)


def test_generated_code_is_not_stale() -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"  # protoc looks for its plugin there
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "protos.py"), "--check"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_the_six_services_are_there() -> None:
    services = {name for file in FILES for name in file.DESCRIPTOR.services_by_name}
    assert services == {
        "EventService",
        "ExperimentService",
        "LiftService",
        "ModelService",
        "RankingService",
        "RetrainingService",
    }


def test_instants_are_timestamps_and_spans_are_durations() -> None:
    expected = {"_time": "google.protobuf.Timestamp", "_duration": "google.protobuf.Duration"}
    checked = 0
    for file in FILES:
        for message in file.DESCRIPTOR.message_types_by_name.values():
            for field in message.fields:
                for suffix, type_name in expected.items():
                    if field.name.endswith(suffix):
                        kind = field.message_type
                        assert getattr(kind, "full_name", None) == type_name, field.full_name
                        checked += 1
    assert checked > 10
