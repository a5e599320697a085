"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ranklift.lift.metrics import METRICS
from ranklift.lift.ratio import Unavailable
from ranklift.lift.render.rounding import (
    level_text,
    lift_text,
    p_phrase,
    p_text,
    value_texts,
)
from ranklift.lift.report import LiftReport


def to_table(
    report: LiftReport, *, true_lift: Mapping[tuple[str, str], float] | None = None
) -> Group:
    """Return the report as Rich tables: verdict of the checks, lifts, traffic.

    `true_lift`, by (metric, arm), is what a simulated world knows; it gets a column of its own.
    """
    return Group(
        Text(f"{report.experiment}: lift over {report.control}", style="bold"),
        Text(f"{report.start:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC"),
        _verdict(report),
        _lifts(report, true_lift),
        _reasons(report),
        _definitions(report),
        _traffic(report),
    )


def _verdict(report: LiftReport) -> Text:
    verdict = Text()
    if not report.valid:
        verdict.append("INVALID: the lifts below mean nothing.\n", style="bold red")
    for check in report.checks:
        mark, style = ("ok  ", "green") if check.passed else ("FAIL", "bold red")
        verdict.append(mark, style=style)
        p_value = "" if check.p_value is None else f" ({p_phrase(check.p_value)})"
        verdict.append(f" {check.name}{p_value}: {check.detail}\n")
    return verdict


def _lifts(report: LiftReport, true_lift: Mapping[tuple[str, str], float] | None) -> Table:
    table = Table("metric", "arm")
    for heading in (
        report.control,
        "arm's value",
        f"lift ({level_text(report.confidence_level)} interval)",
        "p",
    ):
        table.add_column(heading, justify="right")
    if true_lift is not None:
        table.add_column("true lift", justify="right")
    for lift in report.lifts:
        metric = METRICS[lift.metric]
        numbers = (
            ("", "", "not available", "")
            if isinstance(lift.found, Unavailable)
            else (*value_texts(lift.found), lift_text(lift.found), p_text(lift.found.p_value))
        )
        cells = [
            metric.title + (" (primary)" if lift.metric == report.primary_metric else ""),
            lift.arm,
            *numbers,
        ]
        if true_lift is not None:
            truth = true_lift.get((lift.metric, lift.arm))
            cells.append("" if truth is None else f"{100 * truth:+.2f} %")
        table.add_row(*map(Text, cells))
    return table


def _reasons(report: LiftReport) -> Text:
    return Text(
        "".join(
            f"{lift.metric}, {lift.arm}: {lift.found.reason}\n"
            for lift in report.lifts
            if isinstance(lift.found, Unavailable)
        )
    )


def _definitions(report: LiftReport) -> Text:
    metrics = (METRICS[name] for name in dict.fromkeys(lift.metric for lift in report.lifts))
    return Text(
        "".join(f"{metric.title}, {metric.unit}: {metric.definition}\n" for metric in metrics),
        style="dim",
    )


def _traffic(report: LiftReport) -> Table:
    table = Table("arm")
    headings = ("planned", f"{report.unit}s", "exposed", "pages", "fallback pages", "clicks")
    for heading in headings:
        table.add_column(heading, justify="right")
    for arm in report.arms:
        table.add_row(
            Text(arm.arm),
            f"{arm.planned_share:.2%}",
            f"{arm.assigned_units:,}",
            f"{arm.exposed_units:,}",
            f"{arm.pages:,}",
            f"{arm.fallback_pages:,}",
            f"{arm.clicks:,}",
        )
    return table
