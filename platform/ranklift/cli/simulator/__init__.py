"""`ranklift simulator`: worlds made of logs, and how real they are."""

from __future__ import annotations

import typer

from ranklift.cli.simulator.fit import fit
from ranklift.cli.simulator.realism import realism

app = typer.Typer(no_args_is_help=True, help="Make worlds of logs, and hold them against logs.")
app.command("fit")(fit)
app.command("realism")(realism)
