"""`ranklift reproduce`: DisRanker's tables at the size of this machine, and what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.options import refuse_given

DEFAULT_OUT = Path(".ranklift/reproduce")
SEEDS = 10
OF_SYNTHETIC = ("tables", "seeds", "size", "jobs")
OF_COLLECTION = ("folds", "teacher", "warm_steps")


def reproduce(
    context: typer.Context,
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
    collection: Annotated[
        Path | None,
        typer.Option(help="A judged collection in BEIR layout, in place of synthetic worlds."),
    ] = None,
    folds: Annotated[str, typer.Option(help="Of a collection's five folds, which.")] = "1,2,3,4,5",
    teacher: Annotated[
        str, typer.Option(help="Of a collection: mpnet or minilm, whose embeddings teach.")
    ] = "minilm",
    warm_steps: Annotated[
        int, typer.Option(min=1, help="Of a collection: steps on made-up queries.")
    ] = 1_500,
    jobs: Annotated[
        int, typer.Option(min=0, help="Of synthetic worlds, so many side by side; 0: one a core.")
    ] = 0,
    out: Annotated[
        Path, typer.Option(help="The run's folder; in the same one a killed run goes on.")
    ] = DEFAULT_OUT,
) -> None:
    """Train teachers and students on synthetic worlds, and hold DisRanker's claims against them.

    With a collection: a student that a teacher's scores taught, against BM25 and against one that
    labels alone taught, fold by fold.

    Example: `ranklift reproduce --out reproduced`
    """
    from ranklift.cli.reproduce.judged import reproduce_collection
    from ranklift.cli.reproduce.synthetic import reproduce_synthetic

    others, why = (
        (OF_COLLECTION, "is of a collection, and there is none; give --collection, or leave it out")
        if collection is None
        else (OF_SYNTHETIC, "is of synthetic worlds, not of a collection; leave it out")
    )
    refuse_given(context, dict.fromkeys(others, why))
    if collection is not None:
        reproduce_collection(collection, folds, teacher, warm_steps, out)
        return
    reproduce_synthetic(tables, seeds, size, jobs or os.cpu_count() or 1, out)
