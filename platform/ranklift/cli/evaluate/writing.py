"""The report to the terminal or to a file."""

from __future__ import annotations

from pathlib import Path

import typer

from ranklift.cli.evaluate.as_json import to_json
from ranklift.cli.evaluate.page import page_of
from ranklift.cli.evaluate.report import EvaluationReport
from ranklift.cli.output import notes
from ranklift.cli.simulate.pages import show, to_html
from ranklift.v1.errors import InvalidRequest


def check_output(style: str, output: Path | None) -> None:
    """Refuse what cannot be written, before hours of scoring.

    Raises:
        InvalidRequest: a table for a file, or a folder that is not there.
    """
    if output is None:
        return
    if style == "table":
        raise InvalidRequest.of("output", "a table goes to the terminal; use --format json or html")
    if not output.parent.is_dir():
        raise InvalidRequest.of("output", f'there is no folder "{output.parent}"; make it first')


def write(report: EvaluationReport, style: str, output: Path | None) -> None:
    """Write a report as "table", "json" or "html".

    Raises:
        InvalidRequest: the file cannot be written.
    """
    if style == "table":
        show(page_of(report), None)
        return
    content = to_json(report) if style == "json" else to_html(page_of(report))
    if output is None:
        typer.echo(content)
        return
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest.of(
            "output", f"{output} cannot be written: {error.strerror}"
        ) from error
    notes.print(f"written to {output}", markup=False, soft_wrap=True)
