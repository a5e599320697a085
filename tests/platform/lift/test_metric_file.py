"""Metrics declared in a file for `ranklift lift`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranklift.lift.metric_file import read_metric_file
from ranklift.store.analysis import Direction, Metric
from ranklift.v1.errors import InvalidRequest

METRIC = Metric(
    name="deep_clicks",
    title="Clicks per page, capped",
    unit="clicks per page",
    definition="Clicks divided by pages.",
    numerator="clicks",
    denominator="pages",
    direction=Direction.DOWN,
    cap_quantile=0.99,
)
TOML = """
[[metrics]]
name = "deep_clicks"
title = "Clicks per page, capped"
unit = "clicks per page"
definition = "Clicks divided by pages."
numerator = "clicks"
denominator = "pages"
direction = "down"
cap_quantile = 0.99
"""
YAML = """
metrics:
  - name: deep_clicks
    title: Clicks per page, capped
    unit: clicks per page
    definition: Clicks divided by pages.
    numerator: clicks
    denominator: pages
    direction: down
    cap_quantile: 0.99
"""
JSON = json.dumps(
    {
        "metrics": [
            {
                "name": "deep_clicks",
                "title": "Clicks per page, capped",
                "unit": "clicks per page",
                "definition": "Clicks divided by pages.",
                "numerator": "clicks",
                "denominator": "pages",
                "direction": "down",
                "cap_quantile": 0.99,
            }
        ]
    }
)


@pytest.mark.parametrize(
    ("name", "content"), [("m.toml", TOML), ("m.yaml", YAML), ("m.YML", YAML), ("m.json", JSON)]
)
def test_the_formats_say_the_same(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert read_metric_file(path) == (METRIC,)


@pytest.mark.parametrize(
    ("name", "content", "where", "says"),
    [
        ("m.toml", 'metric = "x"', "", 'must have the one key "metrics"'),
        ("m.toml", "metrics = []\nmore = 1", "", 'must have the one key "metrics"'),
        ("m.toml", "", "", 'must have the one key "metrics"'),
        ("m.yaml", "- name: x", "", 'must have the one key "metrics"'),
        ("m.toml", "metrics = 1", ": metrics", "must be a list"),
        ("m.toml", TOML + "capp = 1", ": metrics[0].capp", "is no known key"),
        ("m.toml", TOML.replace('"clicks"', "true"), ": metrics[0].numerator", "must be text"),
        ("m.toml", TOML.replace("0.99", '"0.99"'), ": metrics[0].cap_quantile", "must be a number"),
        ("m.toml", "metrics = [", "", "is malformed"),
        ("m.json", "{", "", "is malformed"),
        ("m.yaml", "metrics: [\n\n", "", "is malformed"),
        ("m.csv", "name", "", '".csv" is no known ending, must be one of .toml, .json, .yaml'),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    tmp_path: Path, name: str, content: str, where: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidRequest) as caught:
        read_metric_file(path)
    (violation,) = caught.value.violations
    assert violation.field == f"{path}{where}"
    assert says in violation.description
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: No such file"):
        read_metric_file(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InvalidRequest, match="cannot be read: Is a directory"):
        read_metric_file(tmp_path / "folder.toml")
