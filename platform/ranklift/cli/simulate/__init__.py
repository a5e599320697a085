"""`ranklift simulate`: play worlds, and see what statistics make of them."""

from __future__ import annotations

import typer

from ranklift.cli.simulate.aa import aa
from ranklift.cli.simulate.coverage import coverage
from ranklift.cli.simulate.matrix import matrix
from ranklift.cli.simulate.power import power
from ranklift.cli.simulate.replay import replay_world
from ranklift.cli.simulate.run import run_world
from ranklift.cli.simulate.scenario import play_scenarios

app = typer.Typer(no_args_is_help=True, help="Play simulated users whose truth is known.")
app.command("replay")(replay_world)
app.command("aa")(aa)
app.command("power")(power)
app.command("coverage")(coverage)
app.command("matrix")(matrix)
app.command("run")(run_world)
app.command("scenario")(play_scenarios)
