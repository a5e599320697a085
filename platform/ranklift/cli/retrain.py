"""`ranklift retrain`: fresh students, from the command line."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ranklift.cli.options import Home
from ranklift.cli.output import bar, out

app = typer.Typer(no_args_is_help=True, help="Retrain students on fresh logs.")


@app.command(epilog="Example: ranklift retrain run nightly")
def run(
    schedule: Annotated[str, typer.Argument(help="The schedule's name.")],
    home: Home = None,
) -> None:
    """Retrain now as SCHEDULE says, in this process."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    with registry_of(load_settings(home=home)) as registry:
        queued = registry.runs.create(schedule)
    _carry_out(queued.run_id, home)


@app.command(hidden=True)
def execute(
    run_id: Annotated[str, typer.Argument(help="The queued run's id.")],
    home: Home = None,
    rankers: Annotated[list[str] | None, typer.Option("--ranker")] = None,
) -> None:
    """Carry out a queued run; the scheduler calls this."""
    _carry_out(run_id, home, rankers)


@app.command("list", epilog="Example: ranklift retrain list")
def list_(home: Home = None) -> None:
    """List the latest runs."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    with registry_of(load_settings(home=home)) as registry:
        runs, _ = registry.runs.list()
    table = Table("asked for (UTC)", "schedule", "state", "version", "experiment", "why", box=None)
    for one in runs:
        table.add_row(
            f"{one.created:%Y-%m-%d %H:%M:%S}",
            one.schedule,
            one.state,
            one.model_version or "-",
            one.experiment or "-",
            one.reason or "-",
        )
    out.print(table if runs else "no runs yet")


def _carry_out(run_id: str, home: object, rankers: list[str] | None = None) -> None:
    from ranklift.cli.composition import registry_of
    from ranklift.cli.learning import retraining
    from ranklift.settings import load_settings
    from ranklift.store.values import RunState

    gateway = {"rankers": rankers} if rankers else None
    settings = load_settings(home=home, gateway=gateway)
    with registry_of(settings) as registry, bar("retraining") as progress:
        ended = retraining(
            run_id, settings, registry, lambda _step, done, total: progress.update(done, total)
        )
    out.print(f"{ended.run_id}: {ended.state}" + (f", {ended.reason}" if ended.reason else ""))
    for step in ended.steps:
        out.print(f"  {step.name}: {step.detail or step.state}")
    if ended.state is RunState.FAILED:
        raise typer.Exit(1)
