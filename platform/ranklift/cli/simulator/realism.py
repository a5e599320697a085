"""`ranklift simulator realism`: a world held against a log."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.output import out
from ranklift.cli.simulator.choices import chosen

if TYPE_CHECKING:
    from ranklift.simulator.realism import Realism


class RealismFormat(StrEnum):
    """How the report is written."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


def realism(
    world: Annotated[Path, typer.Argument(help="The folder of a world.")],
    log: Annotated[Path, typer.Argument(help="The log to hold it against, best one it never saw.")],
    log_format: Annotated[
        str, typer.Option(help="ranklift, ubi, tiangong or yandex; found out if not given.")
    ] = "",
    style: Annotated[
        RealismFormat, typer.Option("--format", help="How to write it.")
    ] = RealismFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; the terminal when not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the classifier's folds.")] = 0,
) -> None:
    """Hold a simulated log against a real one: distributions, and whether a classifier sees it.

    Example: `ranklift simulator realism world clicks-of-march.tsv`
    """
    from ranklift.simulator.logs.reading import LogFormat, read_log
    from ranklift.simulator.logs.simulated import simulated_log
    from ranklift.simulator.realism import realism as compare
    from ranklift.simulator.realism_page import as_html, as_values
    from ranklift.simulator.world_file import load_shown, load_world
    from ranklift.v1.errors import InvalidRequest

    if style is RealismFormat.TABLE and output is not None:
        raise InvalidRequest.of("output", "a table goes to the terminal; use --format json or html")
    made = load_world(world)
    real = read_log(log, chosen("log_format", log_format, LogFormat) if log_format else None)
    found = compare(real, simulated_log(made, load_shown(made, world)), seed=seed)
    if style is RealismFormat.TABLE:
        print_realism(found)
        return
    text = (
        json.dumps(as_values(found), indent=2) + "\n"
        if style is RealismFormat.JSON
        else as_html(found, f"{world} and {log}")
    )
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def print_realism(found: Realism) -> None:
    """Print the report as a table."""
    from rich.table import Table

    table = Table("measure", "real", "simulated", "distance", "by chance", box=None)
    for one in found.compared:
        sides = (
            " ".join("-" if value != value else f"{value:.3f}" for value in side)
            for side in (one.real, one.simulated)
        )
        table.add_row(
            one.measure, *sides, f"{one.distance:.3f} +- {one.error:.3f}", f"{one.by_chance:.3f}"
        )
    out.print(table)
    for why in found.missing:
        out.print(f"not compared: {why}", soft_wrap=True)
    out.print(
        f"A classifier tells simulated from real pages with an AUC of {found.auc.value:.3f} "
        f"+- {1.96 * found.auc.error:.3f} (0.5: not at all).",
        soft_wrap=True,
    )
