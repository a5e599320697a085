"""The report on a terminal, as JSON, as a page and as a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser

import pytest
from google.protobuf import json_format
from rich.console import Console

from ranklift.lift.checks import Check
from ranklift.lift.ratio import Unavailable
from ranklift.lift.render.as_html import to_html
from ranklift.lift.render.as_json import to_json
from ranklift.lift.render.as_proto import to_proto
from ranklift.lift.render.as_table import to_table
from ranklift.lift.render.plot import interval_plot
from ranklift.lift.render.rounding import decimals, lift_text, p_phrase, p_text, value_texts
from ranklift.lift.report import Interval, LiftReport, Measured, MetricLift, lift_report
from ranklift.lift.sums import EventTables
from ranklift.store.values import RegisteredExperiment
from ranklift.v1 import lift_pb2

MEASURED = Measured(0.400312, 0.412345, 0.0300591, Interval(0.0081234, 0.0521234), 0.0071)


@pytest.fixture(scope="module")
def report(experiment: RegisteredExperiment, random_log: Callable[..., EventTables]) -> LiftReport:
    return lift_report(experiment, random_log(8, units=200))


@pytest.fixture(scope="module")
def broken(report: LiftReport) -> LiftReport:
    """An invalid report whose primary metric has no numbers."""
    lift = MetricLift("page_ctr", "student", Unavailable("arm: <nothing> to see"))
    mismatch = Check("sample_ratio", False, 1e-7, "control 60.00%, student 40.00%.")
    return replace(report, lifts=(lift, *report.lifts[1:]), checks=(mismatch, *report.checks[1:]))


def printed(report: LiftReport, **given: dict[tuple[str, str], float]) -> str:
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(to_table(report, **given))
    return capture.get()


# Rounding


@pytest.mark.parametrize(
    ("half_width", "expected"),
    [(0.0234, 3), (0.234, 2), (2.34, 1), (23.4, 0), (2340.0, 0), (0.0, 0)],
)
def test_a_half_width_shows_two_significant_digits(half_width: float, expected: int) -> None:
    assert decimals(half_width) == expected


def test_numbers_have_the_digits_that_the_interval_supports() -> None:
    assert lift_text(MEASURED) == "+3.0 % (+0.8 to +5.2)"
    assert value_texts(MEASURED) == ("0.4003", "0.4123")


@pytest.mark.parametrize(
    ("p_value", "expected"),
    [
        (0.0, "< 0.0001"),
        (0.00034, "0.0003"),
        (0.0347, "0.035"),
        (0.5, "0.50"),
        (1.0, "1.0"),
    ],
)
def test_p_values(p_value: float, expected: str) -> None:
    assert p_text(p_value) == expected


def test_sentences_relate_a_p_value() -> None:
    assert (p_phrase(0.25), p_phrase(1e-9)) == ("p = 0.25", "p < 0.0001")


# Table


def test_the_table_says_everything(report: LiftReport) -> None:
    text = printed(report)
    for expected in (
        "student-vs-bm25: lift over control",
        "PageCTR (primary)",
        "lift (95 % interval)",
        "Dwell per click, seconds per click: Seconds spent after clicks",
    ):
        assert expected in text
    for lift in report.lifts:
        assert isinstance(lift.found, Measured)
        assert lift_text(lift.found) in text
    for check in report.checks:
        assert check.name in text
    assert "INVALID" not in text
    assert "true lift" not in text


def test_the_table_sets_the_truth_beside_the_estimate(report: LiftReport) -> None:
    text = printed(report, true_lift={("page_ctr", "student"): 0.0123})
    assert "true lift" in text
    assert "+1.23 %" in text


def test_an_invalid_report_says_so_before_any_number(broken: LiftReport) -> None:
    text = printed(broken)
    assert text.index("INVALID") < text.index("PageCTR")
    assert "FAIL sample_ratio (p < 0.0001)" in text
    assert "not available" in text
    assert "page_ctr, student: arm: <nothing> to see" in text


# JSON


def test_json_is_the_report_unrounded(report: LiftReport) -> None:
    value = json.loads(to_json(report))
    assert list(value) == [
        "schema",
        "experiment",
        "revision",
        "control",
        "unit",
        "primary_metric",
        "confidence_level",
        "start_time",
        "end_time",
        "valid",
        "checks",
        "arms",
        "lifts",
    ]
    assert value["schema"] == "ranklift.lift_report/1"
    assert value["start_time"] == "2025-03-01T00:00:00Z"
    for row, lift in zip(value["lifts"], report.lifts, strict=True):
        assert isinstance(lift.found, Measured)
        assert row["relative_lift"] == lift.found.relative_lift
        assert row["relative_lift_interval"]["upper"] == lift.found.relative_lift_interval.upper
        assert row["unavailable_reason"] is None
        assert "true_lift" not in row
    assert to_json(report) == to_json(report)


def test_json_has_null_and_the_reason_for_what_is_not_available(broken: LiftReport) -> None:
    value = json.loads(to_json(broken))
    row = value["lifts"][0]
    assert row["unavailable_reason"] == "arm: <nothing> to see"
    assert [row[field.name] for field in fields(Measured)] == [None] * 5
    assert not value["valid"]


def test_json_sets_the_truth_beside_the_estimate(report: LiftReport) -> None:
    value = json.loads(to_json(report, true_lift={("page_ctr", "student"): 0.5}))
    assert [row["true_lift"] for row in value["lifts"]] == [0.5, None, None]


# HTML


class Page(HTMLParser):
    """Collects tags and text; complains about tags left open."""

    VOID = frozenset({"meta", "br", "line", "circle"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(report: LiftReport) -> None:
    page = Page(to_html(report))
    assert (page.open, page.links) == ([], [])
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.tags.count("svg") == 3
    assert "divided by all pages" in page.text
    assert "seconds per click" in page.text
    assert "This report is invalid" not in page.text


def test_an_invalid_page_says_so_at_the_top(broken: LiftReport) -> None:
    page = Page(to_html(broken))
    assert "invalid: the data failed sample_ratio." in page.text
    assert page.text.index("invalid: the data failed") < page.text.index("PageCTR")
    # The reason is shown as text, not as markup; no plot without numbers.
    assert "Not available. arm: <nothing> to see." in page.text
    assert page.tags.count("svg") == 2


def test_the_plot_keeps_the_order_of_numbers_and_always_shows_zero() -> None:
    low = replace(MEASURED, relative_lift=-0.02, relative_lift_interval=Interval(-0.03, -0.01))
    plot = interval_plot([("a", MEASURED), ("b", low)])
    a, b = plot.rows
    assert b.low < b.point < b.high < plot.zero < a.low < a.point < a.high < plot.width
    assert [tick.label for tick in plot.ticks] == ["-2 %", "0", "+2 %", "+4 %"]
    assert [tick.x for tick in plot.ticks if tick.label == "0"] == [plot.zero]


# Message


def test_the_message_is_the_report(report: LiftReport) -> None:
    message = to_proto(report)
    assert (message.experiment, message.valid, message.unit) == ("student-vs-bm25", True, "user")
    assert message.start_time.ToJsonString() == "2025-03-01T00:00:00Z"
    lift, found = message.lifts[0], report.lifts[0].found
    assert isinstance(found, Measured)
    assert (lift.control_value, lift.arm_value, lift.relative_lift, lift.p_value) == (
        found.control_value,
        found.arm_value,
        found.relative_lift,
        found.p_value,
    )
    assert lift.relative_lift_interval.lower == found.relative_lift_interval.lower
    assert [arm.pages for arm in message.arms] == [arm.pages for arm in report.arms]
    assert message.checks[0].p_value == report.checks[0].p_value
    assert not message.checks[1].HasField("p_value")
    assert json_format.MessageToDict(message)["schema"] == "ranklift.lift_report/1"


def test_numbers_that_are_not_available_stay_unset(broken: LiftReport) -> None:
    assert to_proto(broken).lifts[0] == lift_pb2.MetricLift(
        metric="page_ctr", arm="student", unavailable_reason="arm: <nothing> to see"
    )
