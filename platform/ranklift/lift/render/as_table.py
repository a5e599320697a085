"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ranklift.lift.render.grid import Grid, TrueLift
from ranklift.lift.render.lift_grids import lift_grids, segment_grids
from ranklift.lift.render.other_grids import distribution_grid, interaction_grid, traffic_grid
from ranklift.lift.render.printable import printable
from ranklift.lift.render.sentences import (
    DECISIONS,
    MEANINGLESS,
    check_text,
    definitions,
    findings,
    how_to_read,
    provenance,
    subject,
    window,
)
from ranklift.lift.render.time_grids import look_grids
from ranklift.lift.values import Decision, LiftReport, Outcome, Role

LAST_LOOKS = 5
_DECISION_STYLES = {
    Decision.SHIP: "bold white on green",
    Decision.ROLL_BACK: "bold white on red",
    Decision.KEEP_RUNNING: "bold black on yellow",
    Decision.NO_DIFFERENCE: "bold reverse",
    Decision.INVALID: "bold white on red",
}
_OUTCOME_STYLES = {Outcome.PASSED: "green", Outcome.BREACHED: "bold red", Outcome.OPEN: "yellow"}


def to_table(
    report: LiftReport, *, true_lift: TrueLift | None = None, beside: Sequence[Grid] = ()
) -> Group:
    """Return the report as Rich text and tables: verdict, failed checks, lifts, traffic.

    `true_lift`, by (metric, arm), is what a simulated world knows; it gets a column of its own.
    `beside` are more tables.
    """
    return Group(*_parts(printable(report), true_lift, beside))


def grids_table(grids: Sequence[Grid]) -> Group:
    """Return tables alone, where there is no lift to report."""
    return Group(*(part for grid in grids for part in _grid(grid)))


def _parts(
    report: LiftReport, true_lift: TrueLift | None, beside: Sequence[Grid]
) -> Iterator[RenderableType]:
    yield _verdict(report)
    yield Text(f"{subject(report)}\n{window(report)}\n", style="dim")
    for grid in lift_grids(report, true_lift):
        yield from _grid(grid)
        if grid.role is Role.PRIMARY:
            for sentence in (how_to_read(report), *findings(report)):
                yield Text(sentence)
            yield Text()
    others = (
        *segment_grids(report, primary=True),
        *look_grids(report, primary=True, last=LAST_LOOKS),
        distribution_grid(report),
        interaction_grid(report),
        *beside,
        traffic_grid(report),
    )
    for other in others:
        if other is not None:
            yield from _grid(other)
    if any(segment.metric != report.primary_metric for segment in report.segments):
        yield Text("Segments of the other metrics: in the HTML, JSON, CSV and Parquet.\n", "dim")
    yield from _checks(report)
    yield from _definitions(report)
    yield Text(provenance(report), style="dim")


def _verdict(report: LiftReport) -> Text:
    verdict = report.verdict
    text = Text()
    text.append(f" {DECISIONS[verdict.decision]} ", style=_DECISION_STYLES[verdict.decision])
    text.append(f" {verdict.sentence}\n", style="bold")
    for reason in verdict.reasons:
        text.append(f"- {reason}\n")
    if not report.valid:
        text.append(f"\n{MEANINGLESS}\n", style="bold red")
    for check in report.checks:
        if not check.passed:
            text.append("FAILED", style="bold white on red")
            text.append(f" {check_text(check)}\n", style="red")
    return text


def _grid(grid: Grid) -> Iterator[RenderableType]:
    quiet = "dim" if grid.role is Role.DIAGNOSTIC else ""
    yield Text(grid.title, style=quiet or "bold")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, style=quiet)
    for i, heading in enumerate(grid.columns):
        side: Literal["left", "right"] = "left" if i < grid.labels else "right"
        table.add_column(Text(heading), justify=side, overflow="fold")
    for row in grid.rows:
        cells = [Text(cell, style=quiet) for cell in grid.full(row)]
        if row.outcome is not None:
            cells[grid.outcome_column].stylize(_OUTCOME_STYLES[row.outcome])
        table.add_row(*cells)
    yield table
    for line in (*grid.reasons, grid.note):
        if line:
            yield Text(line, style="dim")
    yield Text()


def _checks(report: LiftReport) -> Iterator[RenderableType]:
    yield Text("Checks", style="bold")
    for check in report.checks:
        text = Text()
        mark, style = ("passed", "green") if check.passed else ("FAILED", "bold red")
        text.append(mark, style=style)
        text.append(f" {check_text(check)}")
        yield text
    yield Text()


def _definitions(report: LiftReport) -> Iterator[RenderableType]:
    yield Text("Definitions", style="bold")
    for title, unit, definition in definitions(report):
        yield Text.assemble(title, (f" ({unit}): {definition}", "dim"))
    yield Text()
