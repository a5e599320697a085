"""How the commands that make a lift report write it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.lift.preference.values import ArmPreferences
    from ranklift.lift.shadows import ShadowSummary
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


class Beside(NamedTuple):
    """What stands beside a lift report: preferences of arms that interleave, shadows."""

    preferences: Sequence[ArmPreferences] = ()
    shadows: Sequence[ShadowSummary] = ()


NOTHING_BESIDE = Beside()


def write(
    report: LiftReport, style: Format, output: Path | None, beside: Beside = NOTHING_BESIDE
) -> None:
    """Write a report to a file or to the terminal. Markdown, CSV and Parquet hold lifts only.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    if style is Format.TABLE:
        from ranklift.lift.render.as_table import to_table
        from ranklift.lift.render.mode_grids import mode_grids

        out.print(to_table(report, beside=mode_grids(*beside)))
        return
    _write(_content(report, style, beside), output)


def write_beside(experiment: str, beside: Beside, style: Format, output: Path | None) -> None:
    """Write what there is to say of an experiment without a lift.

    Raises:
        InvalidRequest: another format than a table or JSON, or the file cannot be written.
    """
    from ranklift.lift.render.as_json import as_text, modes
    from ranklift.lift.render.as_table import grids_table
    from ranklift.lift.render.mode_grids import mode_grids
    from ranklift.v1.errors import InvalidRequest

    if style is Format.TABLE:
        out.print(grids_table(mode_grids(*beside)))
    elif style is Format.JSON:
        _write(as_text({"experiment": experiment, **modes(*beside)}).encode(), output)
    else:
        raise InvalidRequest.of(
            "format", f"{style} holds lifts, and one arm has none; use --format table or json"
        )


def _write(content: bytes, output: Path | None) -> None:
    from ranklift.v1.errors import InvalidRequest

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


def _content(report: LiftReport, style: Format, beside: Beside) -> bytes:
    from ranklift.lift.render.as_frame import to_csv, to_parquet
    from ranklift.lift.render.as_html import to_html
    from ranklift.lift.render.as_json import to_json
    from ranklift.lift.render.as_markdown import to_markdown
    from ranklift.lift.render.mode_grids import mode_grids

    match style:
        case Format.PARQUET:
            return to_parquet(report)
        case Format.JSON:
            text = to_json(report, preferences=beside.preferences, shadows=beside.shadows)
        case Format.HTML:
            text = to_html(report, beside=mode_grids(*beside))
        case Format.MARKDOWN:
            text = to_markdown(report)
        case _:
            text = to_csv(report)
    return text.encode()
