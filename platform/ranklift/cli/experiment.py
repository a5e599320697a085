"""`ranklift experiment`: the registry of experiments, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ranklift.cli.options import Actor, Home, Reason
from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.store.analysis import AnalysisPlan
    from ranklift.store.values import RegisteredExperiment
    from ranklift.traffic.registry import ExperimentRegistry

app = typer.Typer(no_args_is_help=True, help="Register experiments and carry them through.")

Name = Annotated[str, typer.Argument(help="The experiment's name.")]


class Ending(StrEnum):
    """What an experiment can be stopped with."""

    SHIP = "ship"
    ROLL_BACK = "roll_back"
    NONE = "none"


@app.command(epilog="Example: ranklift experiment apply title-boost.toml")
def apply(
    file: Annotated[Path, typer.Argument(help="A TOML, YAML or JSON file with the definition.")],
    home: Home = None,
    actor: Actor = "",
) -> None:
    """Register the experiment that FILE defines, as a draft."""
    from ranklift.traffic.experiment_file import read_experiment_file

    definition = read_experiment_file(file)
    with _registry(home) as registry:
        # The file again is no error: the same definition is the same request.
        request_id = f"apply:{definition.name}"
        made = registry.create(definition, actor=actor, request_id=request_id)
    out.print(
        f"{made.experiment.name} is registered ({made.state}); "
        f'begin with "ranklift experiment start {made.experiment.name}"'
    )


@app.command("list", epilog="Example: ranklift experiment list")
def list_(home: Home = None) -> None:
    """List all experiments."""
    table = Table("experiment", "state", "layer", "unit", "arms", "revision", box=None)
    with _registry(home) as registry:
        token = ""
        while True:
            found, token = registry.list(page_token=token)
            for one in found:
                table.add_row(
                    one.experiment.name,
                    one.state,
                    one.experiment.layer,
                    one.experiment.unit,
                    _arms(one),
                    str(one.revision),
                )
            if not token:
                break
    out.print(table if table.row_count else "no experiments yet")


@app.command(epilog="Example: ranklift experiment show title-boost")
def show(name: Name, home: Home = None) -> None:
    """Show one experiment and everything that happened to it."""
    with _registry(home) as registry:
        one = registry.get(name)
    experiment = one.experiment
    facts = Table.grid(padding=(0, 2))
    for label, value in (
        ("experiment", experiment.name),
        ("state", f"{one.state}" + (f" ({one.decision})" if one.decision else "")),
        ("hypothesis", experiment.hypothesis or "-"),
        ("owner", experiment.owner or "-"),
        ("layer", experiment.layer),
        ("unit", experiment.unit),
        ("traffic", f"{experiment.traffic_share / 100:g} %"),
        ("arms", _arms(one)),
        ("control", experiment.control),
        ("primary metric", experiment.primary_metric),
        *_plan(experiment.analysis),
        ("salt", experiment.salt),
    ):
        facts.add_row(f"[dim]{label}[/]", value)
    out.print(facts)
    history = Table("revision", "state", "when (UTC)", "who", "why", box=None)
    for revision in one.revisions:
        history.add_row(
            str(revision.number),
            revision.state,
            f"{revision.created:%Y-%m-%d %H:%M:%S}",
            revision.actor or "-",
            revision.reason or "-",
        )
    out.print(history)


def _plan(plan: AnalysisPlan) -> list[tuple[str, str]]:
    """Return what an analysis plan says beside the defaults."""
    guardrails = (f"{one.metric} (at most {one.margin:.2%} worse)" for one in plan.guardrails)
    said = {
        "secondary metrics": ", ".join(plan.secondary_metrics),
        "guardrails": ", ".join(guardrails),
        "own metrics": ", ".join(metric.name for metric in plan.metrics),
        "horizon": plan.horizon or "",
        "planned units": f"{plan.planned_units:,}" if plan.planned_units else "",
    }
    return [(label, value) for label, value in said.items() if value]


@app.command(epilog='Example: ranklift experiment start title-boost --reason "reviewed"')
def start(name: Name, home: Home = None, actor: Actor = "", reason: Reason = "") -> None:
    """Start a draft, or continue a paused experiment."""
    with _registry(home) as registry:
        registry.start(name, actor=actor, reason=reason)
    out.print(f"{name} is running; gateways take it up within two seconds")


@app.command(epilog="Example: ranklift experiment pause title-boost")
def pause(name: Name, home: Home = None, actor: Actor = "", reason: Reason = "") -> None:
    """Pause a running experiment: its units are served by the champion."""
    with _registry(home) as registry:
        registry.pause(name, actor=actor, reason=reason)
    out.print(f'{name} is paused; continue with "ranklift experiment start {name}"')


@app.command(epilog="Example: ranklift experiment stop title-boost --decision ship --arm treatment")
def stop(
    name: Name,
    decision: Annotated[
        Ending, typer.Option(help="ship makes the arm's version the champion.")
    ] = Ending.NONE,
    arm: Annotated[str, typer.Option(help="The arm to ship.")] = "",
    home: Home = None,
    actor: Actor = "",
    reason: Reason = "",
) -> None:
    """Conclude an experiment for good."""
    from ranklift.store.values import Decision

    with _registry(home) as registry:
        registry.conclude(name, Decision(decision), arm=arm, actor=actor, reason=reason)
    out.print(f"{name} is concluded ({decision})")


@contextmanager
def _registry(home: Path | None) -> Iterator[ExperimentRegistry]:
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings
    from ranklift.traffic.registry import ExperimentRegistry

    with registry_of(load_settings(home=home)) as registry:
        yield ExperimentRegistry(registry.experiments)


def _arms(one: RegisteredExperiment) -> str:
    return ", ".join(f"{arm.name} {arm.share / 100:g} % {arm.model}" for arm in one.experiment.arms)
