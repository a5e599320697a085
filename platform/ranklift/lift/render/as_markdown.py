"""The report as Markdown, for a pull request: the verdict in sight, the rest to unfold.

Tables and folds are those of GitHub and GitLab.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from ranklift.lift.render.grid import Grid
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
from ranklift.lift.render.time_grids import look_grids, novelty_grids
from ranklift.lift.values import LiftReport, Role

LAST_LOOKS = 7
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")
# "@name" and "#12" in a pull request tell people and link issues; a zero-width space stops that.
_REFERENCE = re.compile(r"([@#])(?=\w)")


def to_markdown(report: LiftReport) -> str:
    """Return the report as Markdown text."""
    return "\n".join(_lines(printable(report)))


def grid_markdown(grid: Grid) -> str:
    """Return one table."""
    return "\n".join(_grid(grid))


def _lines(report: LiftReport) -> Iterator[str]:
    verdict = report.verdict
    yield f"### {escaped(subject(report))}"
    yield ""
    yield f"**{DECISIONS[verdict.decision]}**: {escaped(verdict.sentence)}"
    yield ""
    if not report.valid:
        yield f"> **{MEANINGLESS}**"
        for check in report.checks:
            if not check.passed:
                yield f"> - **failed** {escaped(check_text(check))}"
        yield ""
    yield from (f"- {escaped(reason)}" for reason in verdict.reasons)
    yield ""
    yield escaped(window(report))
    yield ""
    folded: list[Grid | None] = []
    for grid in lift_grids(report):
        if grid.role is Role.DIAGNOSTIC:
            folded.append(grid)
            continue
        yield from (f"#### {grid.title}", "", *_grid(grid))
        if grid.role is Role.PRIMARY:
            for sentence in (how_to_read(report), *findings(report)):
                yield from (escaped(sentence), "")
    folded += [
        *segment_grids(report, primary=True),
        *segment_grids(report, primary=False),
        *look_grids(report, primary=True, last=LAST_LOOKS),
        *novelty_grids(report),
        distribution_grid(report),
        interaction_grid(report),
        traffic_grid(report),
    ]
    for folded_grid in folded:
        if folded_grid is not None:
            yield from _fold(folded_grid.title, _grid(folded_grid))
    yield from _fold(
        "Checks",
        (
            f"- {'passed' if check.passed else '**failed**'} {escaped(check_text(check))}"
            for check in report.checks
        ),
    )
    yield from _fold(
        "Definitions",
        (
            f"- **{escaped(title)}** ({escaped(unit)}): {escaped(definition)}"
            for title, unit, definition in definitions(report)
        ),
    )
    yield f"<sub>{escaped(provenance(report))}</sub>"
    yield ""


def _grid(grid: Grid) -> Iterator[str]:
    yield _table_row(map(escaped, grid.columns))
    yield _table_row(":--" if i < grid.labels else "--:" for i in range(len(grid.columns)))
    yield from (_table_row(map(escaped, grid.full(row))) for row in grid.rows)
    yield ""
    for line in (*grid.reasons, grid.note):
        if line:
            yield from (escaped(line), "")


def _table_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fold(title: str, lines: Iterable[str]) -> Iterator[str]:
    # A fold's title is HTML, in which backslashes would show.
    summary = _REFERENCE.sub("\\1\u200b", escape(title))
    yield from (f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", "")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _REFERENCE.sub("\\1\u200b", _SPECIAL.sub(r"\\\1", text))
