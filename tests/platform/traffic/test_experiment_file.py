"""Definitions in files: three formats, one meaning, one line when something is wrong."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from pydantic_core import to_json

from ranklift.store.analysis import AnalysisPlan, Direction, Form, Guardrail, Horizon, Metric
from ranklift.store.declaration_file import read_declaration
from ranklift.store.values import (
    Arm,
    Condition,
    Experiment,
    Exploration,
    ExplorationMethod,
    HarmAction,
    Interleaving,
    InterleavingMethod,
    ModelRef,
    Prerequisite,
    Ramp,
    RampStep,
)
from ranklift.traffic.durations import to_duration
from ranklift.traffic.experiment_file import experiment_schema, read_experiment_file
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


EVERYTHING = """
name = "everything"
owner = "search"
layer = "ranking"
layer_share = 0.5
control = "plain"
primary_metric = "user_ctr"

[[arms]]
name = "plain"
share = 0.5
model = "bm25@1"
shadows = ["student@3"]

[[arms]]
name = "mixed"
share = 0.5
interleaving = {models = ["bm25@1", "student@3"], method = "optimized"}
exploration = {method = "plackett_luce", top_k = 10, probability = 0.2, temperature = 0.5}

[[conditions]]
attribute = "country"
values = ["at", "de"]
negated = true

[[prerequisites]]
experiment = "base"
arms = ["treatment"]

[forced]
user-1 = "mixed"

[ramp]
on_harm = "pause"

[[ramp.steps]]
traffic_share = 0.01
hold = "1d 12h"
min_units = 1_000

[[ramp.steps]]
traffic_share = 0.5
"""


def test_a_file_can_say_everything(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text(EVERYTHING)
    experiment = check_experiment(read_experiment_file(path), now=datetime(2030, 1, 1, tzinfo=UTC))
    old, new = ModelRef("bm25", "1"), ModelRef("student", "3")
    assert experiment == Experiment(
        name="everything",
        owner="search",
        layer="ranking",
        layer_share=5_000,
        control="plain",
        primary_metric="user_ctr",
        salt="ranking/everything",
        arms=(
            Arm("plain", 5_000, old, shadows=(new,)),
            Arm(
                "mixed",
                5_000,
                interleaving=Interleaving((old, new), InterleavingMethod.OPTIMIZED),
                exploration=Exploration(ExplorationMethod.PLACKETT_LUCE, 10, 0.2, 0.5),
            ),
        ),
        conditions=(Condition("country", ("at", "de"), negated=True),),
        prerequisites=(Prerequisite("base", ("treatment",)),),
        forced=(("user-1", "mixed"),),
        traffic_share=100,
        ramp=Ramp((RampStep(100, timedelta(hours=36), 1_000), RampStep(5_000)), HarmAction.PAUSE),
    )


SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "experiment.schema.json").read_text(encoding="utf-8")
)


def test_the_published_schema_is_of_this_version() -> None:
    """When not: ranklift experiment schema > docs/experiment.schema.json"""
    assert experiment_schema() == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def as_json(path: Path) -> object:
    """Return what an editor's validator sees of a file."""
    return json.loads(to_json(read_declaration(path)))


@pytest.mark.parametrize(
    ("name", "content"), [*FORMATS.items(), *WITH_PLAN.items(), ("e.toml", EVERYTHING)]
)
def test_the_schema_accepts_what_the_reader_does(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    read_experiment_file(path)
    jsonschema.validate(as_json(path), SCHEMA)


def test_the_example_of_the_docs_is_an_experiment(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "experiments.md").read_text(encoding="utf-8")
    example, composed = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    arm = 'name = "x"\narms = [{name = "a", share = 1, {}}]'
    lines = [line.partition("#")[0].strip() for line in composed.splitlines()]
    for number, content in enumerate([example, *(arm.replace("{}", line) for line in lines)]):
        path = tmp_path / f"{number}.toml"
        path.write_text(content)
        check_experiment(read_experiment_file(path), now=datetime(2030, 1, 1, tzinfo=UTC))
        jsonschema.validate(as_json(path), SCHEMA)


# A change of EVERYTHING that makes it wrong.
WRONG = [
    ('name = "everything"', ""),
    ('name = "everything"', "name = 3"),
    ('owner = "search"', 'ownr = "search"'),
    ("layer_share = 0.5", "layer_share = 0"),
    ("layer_share = 0.5", 'layer_share = "half"'),
    ("layer_share = 0.5", "traffic_share = 1.5"),
    ("layer_share = 0.5", 'unit = "page"'),
    ("layer_share = 0.5", 'planned_end_time = "soon"'),
    ('model = "bm25@1"', 'model = "bm25"'),
    ('shadows = ["student@3"]', 'shadows = "student@3"'),
    ('method = "optimized"', 'method = "best"'),
    ('models = ["bm25@1", "student@3"]', 'models = ["bm25@1"]'),
    ("top_k = 10", "top_k = 1"),
    ("probability = 0.2", "probability = 0"),
    ("temperature = 0.5", "temperature = 0"),
    ('values = ["at", "de"]', "values = []"),
    ("negated = true", 'negated = "yes"'),
    ('arms = ["treatment"]', "arms = []"),
    ('user-1 = "mixed"', "user-1 = 1"),
    ('on_harm = "pause"', 'on_harm = "panic"'),
    ('hold = "1d 12h"', 'hold = "a day"'),
    ("min_units = 1_000", "min_units = -1"),
    ("min_units = 1_000", "min_units = 1.5"),
]


@pytest.mark.parametrize(("right", "wrong"), WRONG)
def test_the_schema_refuses_what_the_reader_does(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in EVERYTHING
    path = tmp_path / "e.toml"
    path.write_text(EVERYTHING.replace(right, wrong, 1))
    with pytest.raises(InvalidRequest) as caught:
        read_experiment_file(path)
    assert len(caught.value.violations) <= 2
    assert "\n" not in str(caught.value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_json(path), SCHEMA)


@pytest.mark.parametrize(
    ("text", "hours"), [("45m", 0.75), ("12h", 12), ("1d", 24), ("2w 1h", 337), ("1h30m0s", 1.5)]
)
def test_durations_are_written_as_people_do(text: str, hours: float) -> None:
    assert to_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "1", "h", "1.5h", "-1h", "1 h", "one day", "999999999w"])
def test_no_other_text_is_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is too long"):
        to_duration(text)
