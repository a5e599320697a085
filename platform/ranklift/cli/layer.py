"""`ranklift layer`: the layers of experiments, from the command line."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ranklift.cli.experiment import experiment_registry
from ranklift.cli.options import Actor, Home, Reason
from ranklift.cli.output import out

app = typer.Typer(no_args_is_help=True, help="See and set the layers of experiments.")


@app.command("list", epilog="Example: ranklift layer list")
def list_(home: Home = None) -> None:
    """List all layers."""
    table = Table("layer", "holdout", "salt", box=None)
    with experiment_registry(home) as registry:
        for layer in registry.layers():
            table.add_row(layer.name, f"{layer.holdout_share / 100:g} %", layer.salt)
    out.print(table if table.row_count else "no layers yet")


@app.command("set", epilog="Example: ranklift layer set default --holdout 0.05")
def set_(
    name: Annotated[str, typer.Argument(help="The layer's name.")],
    holdout: Annotated[
        float, typer.Option(help="The part of all units that is kept out of its experiments.")
    ],
    home: Home = None,
    actor: Actor = "",
    reason: Reason = "",
) -> None:
    """Set a layer's holdout, while none of its experiments runs or is paused."""
    with experiment_registry(home) as registry:
        layer = registry.set_layer(name, holdout, actor=actor, reason=reason)
    out.print(f"{layer.name} keeps {layer.holdout_share / 100:g} % of all units out")
