"""`ranklift report`: the difference that an experiment made, read off the log without a server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.options import Home
from ranklift.cli.output import out


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


def report(
    experiment: Annotated[str, typer.Argument(help="The experiment's name.")],
    style: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; the terminal when not given.")
    ] = None,
    home: Home = None,
) -> None:
    """Report the lift of an experiment in PageCTR, UserCTR and dwell per click.

    Example: `ranklift report title-boost --format html --output title-boost.html`
    """
    from ranklift.cli.composition import registry_of
    from ranklift.events.frames import read_events
    from ranklift.lift.render.as_html import to_html
    from ranklift.lift.render.as_json import to_json
    from ranklift.lift.render.as_table import to_table
    from ranklift.lift.report import lift_report
    from ranklift.settings import load_settings
    from ranklift.v1.errors import InvalidRequest

    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        registered = registry.experiments.get(experiment)
    made = lift_report(registered, read_events(settings.home))
    if style is Format.TABLE:
        if output is not None:
            raise InvalidRequest.of("output", "a table goes to the terminal; use json or html")
        out.print(to_table(made))
        return
    text = to_json(made) if style is Format.JSON else to_html(made)
    if output is None:
        typer.echo(text)
    else:
        output.write_text(text, encoding="utf-8")
        out.print(f"written to {output}")
