"""`ranklift events quarantine`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out

COLUMNS = ("received", "reason", "kind", "event_id", "impression_id", "document_id")


def quarantine(
    reason: Annotated[str, typer.Option(help="Only these, e.g. bot_like.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    home: Home = None,
) -> None:
    """Events that were acknowledged and are not counted as clicks or dwells, oldest first."""
    import polars as pl

    from ranklift.cli.composition import log_of
    from ranklift.events.frames import frames_of
    from ranklift.events.snapshot import read_snapshot
    from ranklift.settings import load_settings

    with told_plainly():
        log = log_of(load_settings(home=home))
        rows = frames_of(log.files, read_snapshot(log.folder, log.files.url)).quarantine
        if reason:
            rows = rows.filter(pl.col("reason") == reason)
        found = rows.sort("received", "event_id").collect()
    if as_json:
        for row in found.iter_rows(named=True):
            told = row | {"received": row["received"].isoformat(), "body": json.loads(row["body"])}
            typer.echo(json.dumps(told))
        return
    table = Table(*COLUMNS, box=None)
    for row in found.iter_rows(named=True):
        told = row | {"received": f"{row['received']:%Y-%m-%d %H:%M:%S}"}
        table.add_row(*(told[name].replace("[", "\\[") for name in COLUMNS))
    out.print(table if table.row_count else "nothing is in quarantine")
