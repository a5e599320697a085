"""`ranklift simulator fit`: a world made of a click log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.output import out, step
from ranklift.cli.simulator.choices import chosen


def fit(
    log: Annotated[Path, typer.Argument(help="A log: a file or folder of a format it knows.")],
    to: Annotated[Path, typer.Option("--out", help="The folder to make of the world.")],
    log_format: Annotated[
        str, typer.Option(help="ranklift, ubi, tiangong or yandex; found out if not given.")
    ] = "",
    model: Annotated[str, typer.Option(help="How users browse: pbm, ubm, dbn or sdbn.")] = "pbm",
    name: Annotated[str, typer.Option(help="Begins the ids of the simulated users.")] = "fitted",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same users.")] = 0,
    collection: Annotated[
        Path | None,
        typer.Option(help="Texts and judgments in BEIR layout; texts are ids when not given."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="A teacher's scores as a TREC run, for pairs that the log never showed."),
    ] = None,
) -> None:
    """Fit a world to a log: browsing, attractiveness, dwell, users; and say how real it is.

    Example: `ranklift simulator fit clicks.tsv --out world`
    """
    from ranklift.cli.simulator.realism import print_realism
    from ranklift.simulator.collections import load_beir
    from ranklift.simulator.fitting import Model, fit_world
    from ranklift.simulator.logs.reading import LogFormat, read_log
    from ranklift.simulator.logs.simulated import simulated_log
    from ranklift.simulator.realism import realism
    from ranklift.simulator.scores import load_scores
    from ranklift.simulator.world_file import refuse_taken, save_world

    refuse_taken(to)
    of_format = chosen("log_format", log_format, LogFormat) if log_format else None
    of_model = chosen("model", model, Model)
    texts = load_beir(collection) if collection else None
    step(f"reading {log}")
    read = read_log(log, of_format)
    step(f"fitting {read.pages.height:,} pages with {read.clicks.height:,} clicks")
    fitted = fit_world(
        read,
        name=name,
        seed=seed,
        model=of_model,
        collection=texts,
        scores=load_scores(scores) if scores else None,
    )
    save_world(fitted.world, to, shown=fitted.shown)
    for one in fitted.found:
        out.print(
            f"{one.part:<15} {'fitted ' if one.fitted else 'assumed'}  {one.value}", soft_wrap=True
        )
    step("playing the world against the log")
    print_realism(realism(read, simulated_log(fitted.world, fitted.shown), seed=seed))
    out.print(f"The world is in {to}.", soft_wrap=True)
