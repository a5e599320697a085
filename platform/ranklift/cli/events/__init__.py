"""`ranklift events`: the event log, from the command line."""

from __future__ import annotations

import typer

from ranklift.cli.events.compact import compact

app = typer.Typer(no_args_is_help=True, help="Look after what was recorded.")
app.command("compact", epilog="Example: ranklift events compact")(compact)
