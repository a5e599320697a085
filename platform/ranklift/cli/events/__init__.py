"""`ranklift events`: the event log, from the command line."""

from __future__ import annotations

import typer

from ranklift.cli.events.archive import export, import_
from ranklift.cli.events.compact import compact
from ranklift.cli.events.forget import forget
from ranklift.cli.events.quarantine import quarantine
from ranklift.cli.events.retain import retain
from ranklift.cli.events.status import status

app = typer.Typer(no_args_is_help=True, help="Look after what was recorded.")
app.command("status", epilog="Example: ranklift events status")(status)
app.command("quarantine", epilog="Example: ranklift events quarantine --json")(quarantine)
app.command("compact", epilog="Example: ranklift events compact")(compact)
app.command("retain", epilog="Example: ranklift events retain --days 90")(retain)
app.command("forget", epilog="Example: ranklift events forget u4711 --yes")(forget)
app.command("export", epilog="Example: ranklift events export january --start 2026-01-01")(export)
app.command("import", epilog="Example: ranklift events import january")(import_)
