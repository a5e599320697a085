"""`ranklift reproduce`: DisRanker's tables at the size of this machine, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUT = Path(".ranklift/reproduce")
SEEDS = 5


def reproduce(
    tables: Annotated[
        str,
        typer.Option(
            help="Which, of a (teachers), b (losses), c (depths), d (speed), e (distributions)."
        ),
    ] = "a,b,c,d,e",
    seeds: Annotated[
        int, typer.Option(min=1, max=500, help="How many worlds and initialisations.")
    ] = SEEDS,
    size: Annotated[str, typer.Option(help="small, medium, or tiny to try it.")] = "small",
    out: Annotated[
        Path, typer.Option(help="The run's folder; in the same one a killed run goes on.")
    ] = DEFAULT_OUT,
) -> None:
    """Train teachers and students on synthetic worlds, and hold DisRanker's claims against them.

    Example: `ranklift reproduce --seeds 5 --out reproduced`
    """
    from ranklift.cli.reproduce.synthetic import reproduce_synthetic

    reproduce_synthetic(tables, seeds, size, out)
