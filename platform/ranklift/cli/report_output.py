"""How the commands that make a lift report write it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.lift.values import LiftReport


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"
    MARKDOWN = "markdown"
    CSV = "csv"
    PARQUET = "parquet"


FormatOption = Annotated[Format, typer.Option("--format", help="How to write it.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="The file to write; the terminal when not given.")
]


def check_output(style: Format, output: Path | None) -> None:
    """Refuse what cannot be written, before the report is made.

    Raises:
        InvalidRequest: a table for a file, or Parquet for the terminal.
    """
    from ranklift.v1.errors import InvalidRequest

    if style is Format.TABLE and output is not None:
        files = ", ".join(one for one in Format if one is not Format.TABLE)
        raise InvalidRequest.of("output", f"a table goes to the terminal; use --format {files}")
    if style is Format.PARQUET and output is None:
        raise InvalidRequest.of("output", "is missing; Parquet is no text, name a file for it")


def write(report: LiftReport, style: Format, output: Path | None) -> None:
    """Write a report to a file or to the terminal.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    from ranklift.v1.errors import InvalidRequest

    if style is Format.TABLE:
        from ranklift.lift.render.as_table import to_table

        out.print(to_table(report))
        return
    content = _content(report, style)
    if output is None:
        typer.echo(content.decode())
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise InvalidRequest.of(
            "output", f"{output} cannot be written: {error.strerror}"
        ) from error
    out.print(f"written to {output}", markup=False, soft_wrap=True)


def _content(report: LiftReport, style: Format) -> bytes:
    from ranklift.lift.render.as_frame import to_csv, to_parquet
    from ranklift.lift.render.as_html import to_html
    from ranklift.lift.render.as_json import to_json
    from ranklift.lift.render.as_markdown import to_markdown

    if style is Format.PARQUET:
        return to_parquet(report)
    texts = {
        Format.JSON: to_json,
        Format.HTML: to_html,
        Format.MARKDOWN: to_markdown,
        Format.CSV: to_csv,
    }
    return texts[style](report).encode()
