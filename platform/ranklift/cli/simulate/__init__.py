"""`ranklift simulate`: play worlds, and see what statistics make of them."""

from __future__ import annotations

import typer

from ranklift.cli.simulate.replay import replay_world
from ranklift.cli.simulate.run import run_world

app = typer.Typer(no_args_is_help=True, help="Play simulated users whose truth is known.")
app.command("replay")(replay_world)
app.command("run")(run_world)
from ranklift.cli.simulate.scenario import play_scenarios

app.command("scenario")(play_scenarios)
