"""`ranklift ramp`: what a guarded ramp waits for, and one look by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ranklift.cli.options import Home
from ranklift.cli.output import out

app = typer.Typer(no_args_is_help=True, help="Watch guarded ramps and carry them on.")


@app.command(epilog="Example: ranklift ramp status student-7")
def status(
    experiment: Annotated[str, typer.Argument(help="The experiment's name.")], home: Home = None
) -> None:
    """Show the step of a ramp, what it waits for, and the evidence. Changes nothing."""
    from ranklift.cli.composition import registry_of
    from ranklift.cli.ramping import evidence_of_home
    from ranklift.settings import load_settings
    from ranklift.store.database import utc_now
    from ranklift.store.values import ExperimentState
    from ranklift.traffic.ramps.decision import decide
    from ranklift.traffic.ramps.position import position_of
    from ranklift.v1.errors import NotReady

    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        registered = registry.experiments.get(experiment)
    ramp = registered.experiment.ramp
    if ramp is None:
        raise NotReady.of("experiment", f'"{experiment}" has no ramp; its file may declare one')
    at = position_of(registered, ramp)
    evidence = evidence_of_home(settings.home, registered, at.began)
    facts = Table.grid(padding=(0, 2))
    runs = registered.state is ExperimentState.RUNNING
    rows = [
        ("experiment", f"{experiment} ({registered.state})"),
        ("ramp", f"{at}, since {at.began:%Y-%m-%d %H:%M:%S} UTC"),
        ("exposed units", f"{evidence.units:,}, {evidence.units_in_step:,} of them in this step"),
        *(("watched", str(one)) for one in evidence.watched),
        *(("not known yet", line) for line in evidence.untold),
        *(("fault", line) for line in evidence.faults),
    ]
    if runs:
        move = decide(registered, ramp, evidence, utc_now())
        rows.append(("next look", f"{_words(move)}: {move.why}"))
    elif registered.revisions:
        last = registered.revisions[-1]
        rows.append(("last change", f"{last.actor or '-'}: {last.reason or '-'}"))
    for label, value in rows:
        facts.add_row(f"[dim]{label}[/]", value)
    out.print(facts)


@app.command(epilog="Example: ranklift ramp step")
def step(home: Home = None) -> None:
    """Look at all running ramps once and do what they call for, as the scheduler does."""
    from ranklift.cli.composition import registry_of
    from ranklift.cli.ramping import controller_of
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        moves = controller_of(settings.home, registry).look()
    for name, move in moves.items():
        out.print(f"{name}: {_words(move)}: {move.why}")
    if not moves:
        out.print("no ramp runs")


def _words(move: object) -> str:
    from ranklift.traffic.ramps.decision import Advance, Pause, RollBack

    match move:
        case Advance():
            return "advance"
        case Pause():
            return "pause"
        case RollBack():
            return "roll back"
        case _:
            return "wait"
