"""The report for programs: JSON, its schema, and the flat table."""

from __future__ import annotations

import io
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from tests.platform.lift.reports import (
    LARGE,
    SMALL,
    bare_report,
    broken_report,
    full_report,
    hostile_report,
)

from ranklift.lift.preference.values import ArmPreferences, Preference
from ranklift.lift.render.as_frame import COLUMNS, to_csv, to_frame, to_parquet
from ranklift.lift.render.as_html import to_html
from ranklift.lift.render.as_json import to_json
from ranklift.lift.render.as_table import to_table
from ranklift.lift.render.mode_grids import mode_grids
from ranklift.lift.shadows import ShadowSummary
from ranklift.lift.values import Check, Interval, LiftReport, Measured, Unavailable

SCHEMA = json.loads(Path("docs/lift-report.schema.json").read_text(encoding="utf-8"))
ALL = [full_report(), broken_report(), bare_report(), hostile_report()]
NAMES = ["full", "broken", "bare", "hostile"]
PREFERENCES = ArmPreferences(
    arm="both",
    method="team_draft",
    preferences=(
        Preference("a@1", "b@1", 3, 1, 6, 0.2, Interval(-0.1, 0.5), 0.3, 0.8),
        Preference("a@1", "c@1", 0, 0, 0, None, None, None, 0.0),
    ),
    pages=10,
    degraded_pages=2,
    units=4,
    confidence_level=0.95,
    check=Check("missing_rankings", True, None, "No page lacks one of its rankings."),
)
SHADOWS = (
    ShadowSummary("both", "d@1", 9, 1, 0.5, 0.7, (-1.0, 0.0, 1.0), (1.0, 2.0, 3.0), (4.0,) * 3),
    ShadowSummary("both", "e@1", 0, 1, None, None, None, None, None),
)
every_report = pytest.mark.parametrize("report", ALL, ids=NAMES)


# JSON


def test_json_is_the_report_unrounded_with_its_keys_in_order() -> None:
    report = full_report()
    value = json.loads(to_json(report))
    assert list(value) == [
        *("schema", "version", "experiment", "revision", "control", "unit", "primary_metric"),
        *("horizon", "confidence_level", "start_time", "end_time", "log_digest", "valid"),
        *("verdict", "plan", "checks", "arms", "metrics", "lifts", "looks", "segments", "novelty"),
        *("distributions", "interactions"),
    ]
    assert value["schema"] == "ranklift.lift_report/2"
    assert value["start_time"] == "2025-03-01T06:30:00Z"
    assert value["looks"][0]["day"] == "2025-03-01"
    for row, lift in zip(value["lifts"], report.lifts, strict=True):
        assert (row["metric"], row["arm"], row["role"]) == (lift.metric, lift.arm, lift.role)
        assert "true_lift" not in row
        if isinstance(lift.found, Measured):
            assert row["relative_lift"] == lift.found.relative_lift
            assert row["standard_error"] == lift.found.standard_error
            assert row["unavailable_reason"] is None
    assert to_json(full_report()) == to_json(report), "the same bytes for the same report"


def test_json_has_null_and_the_reason_for_what_is_not_available() -> None:
    value = json.loads(to_json(broken_report()))
    row = value["lifts"][0]
    assert row["unavailable_reason"] == "arm: <nothing> to see"
    assert {row[field.name] for field in fields(Measured)} == {None}
    assert value["distributions"][3]["unavailable_reason"]
    assert not value["valid"]
    assert value["verdict"]["arm"] is None


def test_json_has_null_for_an_end_at_infinity() -> None:
    value = json.loads(to_json(full_report()))
    unbounded = next(row for row in value["lifts"] if row["metric"] == "queries_per_session")
    assert unbounded["relative_lift_interval"] == {"lower": -0.42, "upper": None}
    assert value["looks"][0]["sequential_interval"] == {"lower": None, "upper": None}


def test_json_sets_the_truth_beside_the_estimate() -> None:
    value = json.loads(to_json(full_report(), true_lift={("page_ctr", SMALL): 0.5}))
    assert [row["true_lift"] for row in value["lifts"]][:3] == [None, 0.5, None]


def test_json_holds_what_stands_beside_the_lifts() -> None:
    value = json.loads(to_json(full_report(), preferences=[PREFERENCES], shadows=SHADOWS))
    assert not faults(value, SCHEMA)
    assert value["preferences"][0]["preferences"][0]["interval"] == {"lower": -0.1, "upper": 0.5}
    assert [one["errors"] for one in value["shadows"]] == [1, 1]
    grids = mode_grids([PREFERENCES], SHADOWS)
    page = to_html(full_report(), beside=grids)
    assert "Preference in both" in page
    assert "Shadows" in page
    terminal = Console(width=200, file=io.StringIO(), record=True)
    terminal.print(to_table(full_report(), beside=grids))
    assert "+0.20 (-0.10 to +0.50)" in terminal.export_text()


def faults(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """Return where a value departs from a schema that uses the few words ours uses."""
    if "$ref" in schema:
        return faults(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    if "anyOf" in schema:
        found = [faults(value, option, path) for option in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    if "const" in schema or ("enum" in schema and value not in schema["enum"]):
        return [] if value == schema.get("const") else [f"{path} is {value!r}"]
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if KIND[type(value)] not in types and not (type(value) is int and "number" in types):
        return [f"{path} is {value!r}, not {types}"]
    if isinstance(value, dict):
        wrong = [f"{path}.{key} is unknown" for key in value.keys() - schema["properties"].keys()]
        wrong += [f"{path}.{key} is missing" for key in set(schema["required"]) - value.keys()]
        for key, part in schema["properties"].items():
            wrong += faults(value[key], part, f"{path}.{key}") if key in value else []
        return wrong
    if isinstance(value, list):
        items = enumerate(value)
        return [fault for i, one in items for fault in faults(one, schema["items"], f"{path}[{i}]")]
    if isinstance(value, int | float) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", -math.inf)
        < value
        < schema.get("exclusiveMaximum", math.inf)
    ):
        return [f"{path} is {value}"]
    return []


KIND = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


@every_report
def test_json_follows_its_documented_schema(report: LiftReport) -> None:
    assert faults(json.loads(to_json(report)), SCHEMA) == []
    assert faults(json.loads(to_json(report, true_lift={})), SCHEMA) == []


def test_the_schema_describes_every_key_in_the_order_in_which_it_stands() -> None:
    def check(value: Any, schema: dict[str, Any]) -> None:
        if "$ref" in schema:
            check(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
        elif "anyOf" in schema and value is not None:
            check(value, schema["anyOf"][0])
        elif isinstance(value, dict):
            assert list(value) == list(schema["properties"])
            for key, item in value.items():
                check(item, schema["properties"][key])
        elif isinstance(value, list):
            for item in value:
                check(item, schema["items"])

    beside = {"preferences": [PREFERENCES], "shadows": SHADOWS}
    check(json.loads(to_json(full_report(), true_lift={}, **beside)), SCHEMA)  # type: ignore[arg-type]


def test_what_departs_from_the_schema_is_found() -> None:
    value = json.loads(to_json(full_report()))
    value["lifts"][0]["p_value"] = 2
    value["looks"][0]["crossed"] = "yes"
    value["verdict"]["decision"] = "maybe"
    value["unasked"] = 1
    del value["plan"]["alpha"]
    assert {fault.partition(" ")[0] for fault in faults(value, SCHEMA)} == {
        *("$.lifts[0].p_value", "$.looks[0].crossed", "$.verdict.decision", "$.unasked"),
        "$.plan.alpha",
    }


def test_the_schema_is_one_by_the_standard_and_an_outside_validator_agrees() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for report in ALL:
        validator.validate(json.loads(to_json(report)))


# The flat table


@every_report
def test_the_flat_table_has_one_schema_whatever_the_report_holds(report: LiftReport) -> None:
    assert to_frame(report).schema == COLUMNS


def test_the_flat_table_has_a_row_per_estimate() -> None:
    report = full_report()
    counts = dict(to_frame(report).group_by("part").len().iter_rows())
    assert counts == {
        "lift": len(report.lifts),
        "look": len(report.looks),
        "segment": len(report.segments),
        "novelty": len(report.novelty),
        "distribution": len(report.distributions),
        "interaction": len(report.interactions),
    }


def test_the_numbers_of_the_flat_table_are_those_of_the_report() -> None:
    report = full_report()
    frame = to_frame(report)
    first, second = report.lifts[0], report.segments[0]
    assert isinstance(first.found, Measured)
    assert isinstance(second.found, Measured)
    row = frame.row(0, named=True)
    assert row["arm"] == LARGE
    assert row["metric_unit"] == "clicked pages per page"
    assert row["relative_lift_lower"] == first.found.relative_lift_interval.lower
    assert row["difference_upper"] == first.found.difference_interval.upper
    assert row["design_effect"] == first.found.design_effect
    segment = frame.filter(pl.col("part") == "segment").row(0, named=True)
    assert (segment["dimension"], segment["value"]) == ("device", "phone")
    assert segment["p_value"] == second.found.p_value
    look = frame.filter(pl.col("part") == "look").row(13, named=True)
    assert look["crossed"]
    sequential = report.looks[13].sequential_interval
    assert sequential is not None
    assert look["sequential_lower"] == sequential.lower


def test_what_has_no_numbers_has_its_reason() -> None:
    report = broken_report()
    row = to_frame(report).row(0, named=True)
    found = report.lifts[0].found
    assert isinstance(found, Unavailable)
    assert row["unavailable_reason"] == found.reason
    assert row["relative_lift"] is None
    assert not row["valid"], "every row says that the report is invalid"


@every_report
def test_parquet_and_csv_give_the_table_back(report: LiftReport) -> None:
    frame = to_frame(report)
    assert pl.read_parquet(io.BytesIO(to_parquet(report))).equals(frame)
    assert pl.read_csv(io.BytesIO(to_csv(report).encode()), schema=COLUMNS).equals(frame)
