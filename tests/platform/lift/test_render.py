"""The report for people: on a terminal, in a pull request, as a page, in a notebook."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from tests.platform.lift.reports import (
    LARGE,
    SMALL,
    bare_report,
    broken_report,
    full_report,
    hostile_report,
)

from ranklift.lift.render.as_html import to_html
from ranklift.lift.render.as_markdown import to_markdown
from ranklift.lift.render.as_table import to_table
from ranklift.lift.render.notebook import html_fragment
from ranklift.lift.render.printable import printable
from ranklift.lift.render.sentences import findings, how_to_read, provenance
from ranklift.lift.values import LiftReport, Measured
from ranklift.store.analysis import Horizon


def printed(report: LiftReport, true_lift: dict[tuple[str, str], float] | None = None) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(to_table(report, true_lift=true_lift))
    return capture.get()


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


class Page(HTMLParser):
    """Collects tags and text; complains about tags left open."""

    VOID = frozenset({"meta", "br", "line", "circle", "path"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def page_text(report: LiftReport) -> str:
    return Page(to_html(report)).text


def fragment_text(report: LiftReport) -> str:
    return Page(html_fragment(report)).text


def markdown_text(report: LiftReport) -> str:
    """What a reader of the Markdown sees, as the CommonMark parser with tables has it."""
    rendered = MarkdownIt("commonmark").enable("table").render(to_markdown(report))
    return Page(rendered.replace("<hr />", "").replace("<br />", "")).text


every_form = pytest.mark.parametrize(
    "shown",
    [printed, markdown_text, page_text, fragment_text],
    ids=["terminal", "markdown", "page", "notebook"],
)
Shown = Callable[[LiftReport], str]


# What every form says


@every_form
def test_the_verdict_comes_before_any_number_with_its_reasons(shown: Shown) -> None:
    report = full_report()
    text = shown(report)
    assert text.index("SHIP") < text.index(report.verdict.sentence) < text.index("0.4031")
    for reason in report.verdict.reasons:
        assert reason in text


@every_form
def test_lifts_stand_under_their_role_with_all_that_decides(shown: Shown) -> None:
    text = shown(full_report())
    places = [
        text.index(title)
        for title in ("Primary metric", "Secondary metrics", "Guardrails", "Diagnostics")
    ]
    assert places == sorted(places)
    for expected in (
        "+3.0 % (+2.0 to +4.1)",
        "+1.7 to +4.3 %",  # at any look
        "0.074",  # adjusted p
        "below +5 %",  # latency should go down
        "above -1 %",  # pages per unit should go up
        "breached",
        "+15 % (-42 to unbounded)",
    ):
        assert expected in text


@every_form
def test_every_metric_has_its_unit_and_definition(shown: Shown) -> None:
    report = full_report()
    text = shown(report)
    for metric in report.metrics:
        assert metric.unit in text
        assert metric.definition in text
    assert "Queries per session (less is better)" in text
    assert "capped at the 99 % quantile" in text


@every_form
def test_what_is_not_available_says_why(shown: Shown) -> None:
    text = shown(full_report())
    for reason in (
        "control has no dwell",
        "all units have one page",
        "only 3 users, 30 are needed",
        "no dwell of the arm was observed to its end",
    ):
        assert reason in text
    assert "not available" in text.lower()


@every_form
def test_segments_distributions_interactions_and_traffic_are_there(shown: Shown) -> None:
    text = shown(full_report())
    for expected in (
        "PageCTR by device",
        "tablet",
        "Chance to dwell longer",
        "0.5061 (0.5004 to 0.5118)",
        "new-snippets",
        "141,240",
        "not counted",
        "33.34 %",
    ):
        assert expected in text


@every_form
def test_the_last_look_is_there(shown: Shown) -> None:
    assert "2025-03-14" in shown(full_report())


def test_a_terminal_shows_the_last_five_looks_and_says_so() -> None:
    _, course = printed(full_report()).split(f"PageCTR over time, {LARGE}")
    course = course.partition("PageCTR over time")[0]
    assert re.findall(r"^2025-03-(\d\d)", course, re.MULTILINE) == ["10", "11", "12", "13", "14"]
    assert "9 earlier looks are not shown." in course


@every_form
def test_how_the_numbers_were_made_is_there(shown: Shown) -> None:
    text = " ".join(shown(full_report()).split())
    for expected in (
        "delta method over users",
        "symmetric on the log scale",
        "horizon group sequential of 60,000 users, alpha 0.05",
        "sha256:5f2a0c7be1d94c7781f0a3a6f5f9b7c2",
        "ranklift 0.1.0",
        "ranklift.lift_report/2",
    ):
        assert expected in text


@every_form
def test_an_invalid_report_says_so_before_any_number(shown: Shown) -> None:
    text = shown(broken_report())
    warning = text.index("the lifts below mean nothing")
    assert text.index("INVALID") < warning < text.index("Primary metric")
    assert warning < text.index("sample_ratio (p < 0.0001): bm25 36.00%") < text.index("Primary")
    assert "arm: <nothing> to see" in text
    assert "mean nothing" not in shown(full_report())


@every_form
def test_the_least_report_has_no_empty_parts(shown: Shown) -> None:
    text = shown(bare_report())
    assert "A log without times" in text
    assert "NO DIFFERENCE SHOWN" in text
    for absent in ("Guardrails", "at any look", "Over time", "over time", "by device", "None"):
        assert absent not in text


@every_form
def test_names_that_are_markup_are_shown_as_they_are(shown: Shown) -> None:
    text = shown(hostile_report())
    # A line break, an escape sequence and a change of direction are spelled out.
    spelled = r"</td>|`*x*`\x1b[31m\nnext\u202eline {{ 1 }} \ "
    for expected in (
        '<img src=x onerror="y">',
        "<script>alert(1)</script>[/]",
        spelled,
        "dev|ice<i>",
    ):
        assert expected in text.replace("\u200b", "")
    assert "\x1b" not in text
    assert "\u202e" not in text


@every_form
def test_an_arm_may_be_called_like_a_column(shown: Shown) -> None:
    text = shown(replace(full_report(), control="outcome"))
    assert "lift over outcome" in text
    assert "breached" in text


def test_an_outcome_is_marked_in_its_own_column() -> None:
    page = to_html(replace(full_report(), control="outcome"))
    assert page.count('<td class="breached"><span class="pill">breached</span></td>') == 1


# Sentences


def test_the_cost_of_a_page_level_test_is_said_once() -> None:
    # 2 (1 - Phi(1.96 / sqrt(2.71))) = 0.234
    page_level, past = findings(full_report())
    assert page_level == (
        "A page-level test of PageCTR would have understated the variance 2.7 times: it would call "
        "23 % of comparisons without a difference significant, not 5 %."
    )
    assert past == (
        "What users did before the experiment explains 38 % of the variance of PageCTR. It is "
        "taken off, arm by arm, which moves the values a little away from plain averages."
    )
    assert list(findings(bare_report())) == []


def test_arms_that_differ_in_design_effect_give_a_range() -> None:
    report = full_report()
    first, *others = report.lifts
    assert isinstance(first.found, Measured)
    lift = replace(first, found=replace(first.found, design_effect=1.3))
    assert "1.3 to 2.7 times" in next(findings(replace(report, lifts=(lift, *others))))


@pytest.mark.parametrize(
    ("horizon", "expected"),
    [
        (Horizon.GROUP_SEQUENTIAL, "however often it is looked at until the planned end."),
        (Horizon.ALWAYS_VALID, "however often it is looked at."),
    ],
)
def test_the_report_says_which_interval_to_act_on(horizon: Horizon, expected: str) -> None:
    text = how_to_read(replace(full_report(), horizon=horizon))
    assert expected in text
    assert "single look" in text


def test_a_fixed_horizon_has_one_look() -> None:
    assert "at any look" not in how_to_read(bare_report())


def test_provenance_leaves_out_what_is_not_known() -> None:
    assert provenance(bare_report()) == (
        "delta method over users; intervals of lifts symmetric on the log scale; horizon fixed, "
        "alpha 0.05; ranklift.lift_report/2"
    )


def test_only_hidden_characters_are_spelled_out() -> None:
    kept = "\u00e9\u4e2d\U0001f468\u200d\U0001f469 \u0645\u06cc\u200c\u062e"
    assert printable(kept) == kept
    assert printable("a\tb\u2028c\u00add") == r"a\tb\u2028c\xadd"
    assert printable(full_report()) == full_report()


# Terminal


def test_a_row_has_its_numbers_in_the_order_of_the_heading() -> None:
    lines = printed(full_report()).splitlines()
    heading = next(i for i, line in enumerate(lines) if line.startswith("metric"))
    assert cells(lines[heading]) == [
        *("metric", "arm", "bm25", "arm's value", "lift (95 % interval)", "at any look", "p"),
        "adjusted p",
    ]
    assert cells(lines[heading + 2]) == [
        *("PageCTR", LARGE, "0.4031", "0.4152", "+3.0 % (+2.0 to +4.1)", "+1.7 to +4.3 %"),
        *("< 0.0001", "< 0.0001"),
    ]


def test_the_table_sets_the_truth_beside_the_estimate() -> None:
    text = printed(full_report(), true_lift={("page_ctr", LARGE): 0.0123})
    assert "true lift" in text
    assert "+1.23 %" in text
    assert "true lift" not in printed(full_report())


def test_a_narrow_terminal_loses_nothing() -> None:
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(to_table(full_report()))
    text = capture.get()
    assert "\u2026" not in text
    assert max(map(len, text.splitlines())) <= 60


def test_a_terminal_without_unicode_can_show_it() -> None:
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding="ascii") as terminal:
        Console(file=terminal, width=120).print(to_table(full_report()))
        terminal.flush()
        assert b"+15 % (-42 to unbounded)" in written.getvalue()


# Markdown


def test_markdown_tables_have_as_many_cells_in_every_row() -> None:
    for report in (full_report(), hostile_report()):
        widths: list[int] = []
        for line in [*to_markdown(report).splitlines(), ""]:
            if line.startswith("|"):
                widths.append(len(re.findall(r"(?<!\\)\|", line)))
                continue
            assert len(set(widths)) <= 1
            widths = []


def test_markdown_tells_nobody_and_links_nothing() -> None:
    text = to_markdown(hostile_report())
    assert "@team" not in text
    assert "#12" not in text
    assert "@\u200bteam" in text


# Page


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    source = to_html(full_report())
    page = Page(source)
    assert source.startswith("<!doctype html>")
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "id"} & {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in source
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source


def test_the_page_draws_every_interval() -> None:
    report = full_report()
    page = Page(to_html(report))
    assert page.attributes.count(("class", "band")) == 4, "a band per metric and arm over time"
    measured = sum(isinstance(lift.found, Measured) for lift in report.lifts)
    measured += sum(isinstance(segment.found, Measured) for segment in report.segments)
    assert page.attributes.count(("class", "bar")) == measured
    limits = sum(
        lift.margin is not None and isinstance(lift.found, Measured) for lift in report.lifts
    )
    assert page.attributes.count(("class", "limit")) == limits
    stems = len(report.looks) + sum(isinstance(day.found, Measured) for day in report.novelty)
    assert page.attributes.count(("class", "stem")) == stems
    crossed = sum(look.crossed for look in report.looks)
    assert page.attributes.count(("class", "dot decided")) == crossed > 0


def test_a_drawing_has_a_name_for_those_who_hear_it() -> None:
    page = Page(to_html(full_report()))
    names = [value for name, value in page.attributes if name == "aria-label"]
    assert f"Interval of PageCTR, {LARGE}" in names
    assert f"PageCTR so far, {SMALL}: lifts with intervals" in names


def test_markup_in_names_makes_no_element() -> None:
    hostile, tame = Page(to_html(hostile_report())), Page(to_html(bare_report()))
    assert set(hostile.tags) <= {*tame.tags, "ul", "li", "h3"}
    assert ("onerror", "y") not in hostile.attributes


# Notebook


def test_a_fragment_is_one_element_whose_styles_touch_nothing_outside() -> None:
    source = html_fragment(full_report()).strip()
    assert source.startswith('<div class="ranklift">')
    assert source.endswith("</div>")
    assert not {"html", "head", "body", "script"} & set(Page(source).tags)
    style = source.partition("<style>")[2].partition("</style>")[0]
    selectors = re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*(?={)", style)
    assert len(selectors) > 40
    for selector in selectors:
        assert all(one.strip().startswith(".ranklift") for one in selector.split(",")), selector
