"""Definitions in files: three formats, one meaning, one line when something is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ranklift.store.analysis import AnalysisPlan, Direction, Form, Guardrail, Horizon, Metric
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
        ("e.json", '{"traffic_share": 1' + "0" * 400 + "}", "traffic_share", "must be at most 1"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, name: str, content: str, key: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidRequest) as caught:
        read_experiment_file(path)
    # Beside it, the names and arms that these files lack.
    found = {one.field: one.description for one in caught.value.violations}
    assert says in found[f"{path}: {key}"]


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


PLAN_TOML = """
primary_metric = "deep_clicks"

[analysis]
secondary_metrics = ["user_ctr", "page_ctr"]
horizon = "fixed"
planned_units = 200_000
alpha = 0.01
covariates = false
bot_pages_per_day = 0

[[analysis.guardrails]]
metric = "latency"
margin = 0.05

[[analysis.metrics]]
name = "deep_clicks"
title = "Clicks per unit"
unit = "clicks per unit"
definition = "Clicks divided by units."
numerator = "clicks"
form = "mean"
direction = "down"
cap_quantile = 0.99
"""
PLAN_YAML = """
primary_metric: deep_clicks
analysis:
  secondary_metrics: [user_ctr, page_ctr]
  horizon: fixed
  planned_units: 200000
  alpha: 0.01
  covariates: false
  bot_pages_per_day: 0
  guardrails:
    - {metric: latency, margin: 0.05}
  metrics:
    - name: deep_clicks
      title: Clicks per unit
      unit: clicks per unit
      definition: Clicks divided by units.
      numerator: clicks
      form: mean
      direction: down
      cap_quantile: 0.99
"""
PLAN_JSON = json.dumps(
    {
        **json.loads(JSON),
        "primary_metric": "deep_clicks",
        "analysis": {
            "secondary_metrics": ["user_ctr", "page_ctr"],
            "horizon": "fixed",
            "planned_units": 200_000,
            "alpha": 0.01,
            "covariates": False,
            "bot_pages_per_day": 0,
            "guardrails": [{"metric": "latency", "margin": 0.05}],
            "metrics": [
                {
                    "name": "deep_clicks",
                    "title": "Clicks per unit",
                    "unit": "clicks per unit",
                    "definition": "Clicks divided by units.",
                    "numerator": "clicks",
                    "form": "mean",
                    "direction": "down",
                    "cap_quantile": 0.99,
                }
            ],
        },
    }
)
_FIRST, _TABLE, _REST = PLAN_TOML.partition("[analysis]")
WITH_PLAN = {
    "e.toml": _FIRST + TOML + _TABLE + _REST,  # what belongs to no table comes first
    "e.yaml": YAML + PLAN_YAML,
    "e.json": PLAN_JSON,
}


@pytest.mark.parametrize("name", WITH_PLAN)
def test_the_formats_say_the_same_of_the_analysis(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(WITH_PLAN[name])
    experiment = check_experiment(read_experiment_file(path), now=datetime(2030, 1, 1, tzinfo=UTC))
    assert experiment.primary_metric == "deep_clicks"
    assert experiment.analysis == AnalysisPlan(
        secondary_metrics=("user_ctr", "page_ctr"),
        guardrails=(Guardrail("latency", 0.05),),
        metrics=(
            Metric(
                name="deep_clicks",
                title="Clicks per unit",
                unit="clicks per unit",
                definition="Clicks divided by units.",
                numerator="clicks",
                form=Form.MEAN,
                direction=Direction.DOWN,
                cap_quantile=0.99,
            ),
        ),
        horizon=Horizon.FIXED,
        planned_units=200_000,
        alpha=0.01,
        covariates=False,
        bot_pages_per_day=0,
    )


def test_without_an_analysis_the_plan_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text(TOML)
    definition = read_experiment_file(path)
    assert not definition.HasField("analysis")
    experiment = check_experiment(definition, now=datetime(2030, 1, 1, tzinfo=UTC))
    assert experiment.analysis == AnalysisPlan()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (
            "[analysis]\nalfa = 1\nplanned_units = true\n"
            '[[analysis.guardrails]]\nmetric = "latency"',
            {
                "analysis.alfa": "is no known key",
                "analysis.planned_units": "is true or false, must be a whole number",
                "analysis.guardrails[0].margin": "is missing",
            },
        ),
        ("[analysis]\nalpha = 0", {"analysis.alpha": "0 is not allowed, must be above 0"}),
        (
            f"[analysis]\nplanned_units = {2**40}",
            {"analysis.planned_units": "is too large, must be at most 2,147,483,647"},
        ),
        ("analysis = 3", {"analysis": "is a number, must be a table of keys"}),
    ],
)
def test_all_that_is_wrong_with_an_analysis_is_named_at_once(
    tmp_path: Path, content: str, wrong: dict[str, str]
) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f'name = "x"\narms = [{{name = "a", share = 1}}]\n{content}')
    with pytest.raises(InvalidRequest) as caught:
        read_experiment_file(path)
    found = {one.field: one.description for one in caught.value.violations}
    assert found == {f"{path}: {key}": says for key, says in wrong.items()}
