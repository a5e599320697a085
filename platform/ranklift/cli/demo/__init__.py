"""`ranklift demo`: the whole loop in one command, on simulated users with a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_HOME = Path(".ranklift/demo")


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="The two-minute form.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same report.")] = 0,
    collection: Annotated[
        Path | None,
        typer.Option(help="A judged collection in BEIR layout instead of the made-up world."),
    ] = None,
    home: Annotated[Path, typer.Option(help="The demo's own folder.")] = DEFAULT_HOME,
) -> None:
    """Train a teacher and a student, split simulated traffic, report the lift, retrain.

    Example: `ranklift demo --quick --seed 7`
    """
    from ranklift.cli.demo.run import run_demo

    run_demo(quick=quick, seed=seed, folder=collection, home=home)
