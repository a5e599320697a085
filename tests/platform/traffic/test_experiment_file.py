"""Definitions in files: three formats, one meaning, one line when something is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ranklift.traffic.experiment_file import read_experiment_file
from ranklift.traffic.experiments import check_experiment
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest

TOML = """
name = "title-boost"
unit = "session"
traffic_share = 0.5
planned_end_time = 2031-01-31T12:00:00Z

[[arms]]
name = "control"
share = 0.5
model = "bm25@1"

[[arms]]
name = "treatment"
share = 0.5
model = "student@3"
"""
YAML = """
name: title-boost
unit: session
traffic_share: 0.5
planned_end_time: 2031-01-31T12:00:00Z
arms:
  - {name: control, share: 0.5, model: bm25@1}
  - {name: treatment, share: 0.5, model: student@3}
"""
JSON = json.dumps(
    {
        "name": "title-boost",
        "unit": "session",
        "traffic_share": 0.5,
        "planned_end_time": "2031-01-31T12:00:00Z",
        "arms": [
            {"name": "control", "share": 0.5, "model": "bm25@1"},
            {"name": "treatment", "share": 0.5, "model": "student@3"},
        ],
    }
)
FORMATS = {"e.toml": TOML, "e.yaml": YAML, "e.yml": YAML, "e.json": JSON}


@pytest.mark.parametrize("name", FORMATS)
def test_the_formats_say_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FORMATS[name])
    definition = read_experiment_file(path)
    experiment = check_experiment(definition, now=datetime(2030, 1, 1, tzinfo=UTC))
    assert experiment.name == "title-boost"
    assert definition.unit == pb.UNIT_SESSION
    assert experiment.traffic_share == 5_000
    assert [(arm.name, arm.share, str(arm.model)) for arm in experiment.arms] == [
        ("control", 5_000, "bm25@1"),
        ("treatment", 5_000, "student@3"),
    ]
    assert experiment.planned_end == datetime(2031, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "content", "key", "says"),
    [
        ("e.toml", 'nmae = "x"', "nmae", "is no known key"),
        ("e.toml", "name = 3", "name", "is a number, must be text"),
        ("e.toml", "traffic_share = 0", "traffic_share", "above 0"),
        ("e.toml", 'traffic_share = "half"', "traffic_share", "is text, must be a number"),
        ("e.toml", "traffic_share = true", "traffic_share", "true or false, must be a number"),
        ("e.toml", 'unit = "page"', "unit", "one of user, session"),
        ("e.toml", 'arms = "two"', "arms", "is text, must be a list"),
        ("e.toml", "arms = [1]", "arms[0]", "must be a table"),
        ("e.toml", 'arms = [{model = "student"}]', "arms[0].model", "is not model@version"),
        ("e.toml", "arms = [{weight = 1}]", "arms[0].weight", "is no known key"),
        ("e.toml", 'planned_end_time = "soon"', "planned_end_time", "soon is no instant"),
        ("e.toml", "planned_end_time = 2031-01-31", "planned_end_time", "is no instant"),
        ("e.json", '{"name": "\\ud800"}', "name", "is not valid Unicode"),
        ("e.json", '{"traffic_share": 1' + "0" * 400 + "}", "traffic_share", "too large"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, name: str, content: str, key: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidRequest) as caught:
        read_experiment_file(path)
    (violation,) = caught.value.violations
    assert violation.field == f"{path}: {key}"
    assert says in violation.description


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.toml", "name = "),
        ("e.yaml", "name: [\n\n"),
        ("e.yaml", "planned_end_time: 2031-13-45"),
        ("e.json", "{"),
        ("e.json", "[]"),
        ("e.yaml", ""),
        ("e.ini", "[experiment]"),
    ],
)
def test_a_malformed_file_is_named_in_one_line(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidRequest) as caught:
        read_experiment_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match="is malformed"):
        read_experiment_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: No such file"):
        read_experiment_file(tmp_path / "none.toml")
