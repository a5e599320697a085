"""`ranklift experiment`: the registry of experiments, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ranklift.cli.options import Actor, Home, Reason
from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.traffic.registry import ExperimentRegistry

app = typer.Typer(no_args_is_help=True, help="Register experiments and carry them through.")

Name = Annotated[str, typer.Argument(help="The experiment's name.")]
Etag = Annotated[str, typer.Option(help="Refuse when it is not the present one.")]


class State(StrEnum):
    """Which experiments are listed."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    CONCLUDED = "concluded"


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
    reason: Reason = "",
) -> None:
    """Register the experiment that FILE defines, as a draft, or change it to what FILE says.

    Once it ran, only its owner, hypothesis, planned end and forced units change.
    """
    from ranklift.traffic.experiment_file import read_experiment_file

    definition = read_experiment_file(file)
    with experiment_registry(home) as registry:
        made = registry.apply(definition, actor=actor, reason=reason)
    name = made.experiment.name
    next_step = (
        f'; begin with "ranklift experiment start {name}"' if made.state.value == "draft" else ""
    )
    out.print(f"{name} is registered ({made.state}, revision {made.revision}){next_step}")


@app.command(epilog="Example: ranklift experiment schema > experiment.schema.json")
def schema() -> None:
    """Print the JSON schema of an experiment's file, for editors."""
    import json

    from ranklift.traffic.experiment_file import experiment_schema

    typer.echo(json.dumps(experiment_schema(), indent=2))


@app.command("list", epilog="Example: ranklift experiment list --state running")
def list_(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    layer: Annotated[str, typer.Option(help="Only those of this layer.")] = "",
    owner: Annotated[str, typer.Option(help="Only those of this owner.")] = "",
    home: Home = None,
) -> None:
    """List experiments."""
    from ranklift.cli.experiment_output import arms_text, percent
    from ranklift.store.values import ExperimentState

    wanted = ExperimentState(state) if state else None
    table = Table(
        "experiment", "state", "layer", "unit", "traffic", "arms", "owner", "revision", box=None
    )
    with experiment_registry(home) as registry:
        token = ""
        while True:
            found, token = registry.list(wanted, layer=layer, owner=owner, page_token=token)
            for one in found:
                table.add_row(
                    one.experiment.name,
                    one.state,
                    one.experiment.layer,
                    one.experiment.unit,
                    percent(one.experiment.traffic_share),
                    arms_text(one),
                    one.experiment.owner or "-",
                    str(one.revision),
                )
            if not token:
                break
    out.print(table if table.row_count else "no such experiments")


@app.command(epilog="Example: ranklift experiment show title-boost")
def show(name: Name, home: Home = None) -> None:
    """Show one experiment and everything that happened to it."""
    from ranklift.cli.experiment_output import arms_text, percent, plan_facts, targeting_facts

    with experiment_registry(home) as registry:
        one = registry.get(name)
    experiment = one.experiment
    facts = Table.grid(padding=(0, 2))
    for label, value in (
        ("experiment", experiment.name),
        ("state", f"{one.state}" + (f" ({one.decision})" if one.decision else "")),
        ("etag", one.etag),
        ("hypothesis", experiment.hypothesis or "-"),
        ("owner", experiment.owner or "-"),
        ("layer", f"{experiment.layer}, {percent(experiment.layer_share)} of it"),
        ("slots", ", ".join(f"{start}-{end - 1}" for start, end in one.slots) or "-"),
        ("unit", experiment.unit),
        ("traffic", percent(experiment.traffic_share)),
        *targeting_facts(experiment),
        ("arms", arms_text(one)),
        ("control", experiment.control),
        ("primary metric", experiment.primary_metric),
        *plan_facts(experiment.analysis),
        ("salt", experiment.salt),
    ):
        facts.add_row(f"[dim]{label}[/]", value)
    out.print(facts)
    history = Table("revision", "state", "traffic", "when (UTC)", "who", "why", box=None)
    for revision in one.revisions:
        history.add_row(
            str(revision.number),
            revision.state,
            percent(revision.traffic_share),
            f"{revision.created:%Y-%m-%d %H:%M:%S}",
            revision.actor or "-",
            revision.reason or "-",
        )
    out.print(history)


@app.command(epilog='Example: ranklift experiment start title-boost --reason "reviewed"')
def start(
    name: Name, etag: Etag = "", home: Home = None, actor: Actor = "", reason: Reason = ""
) -> None:
    """Start a draft, or continue a paused experiment."""
    with experiment_registry(home) as registry:
        registry.start(name, actor=actor, reason=reason, etag=etag)
    out.print(f"{name} is running; gateways take it up within two seconds")


@app.command(epilog="Example: ranklift experiment ramp title-boost 0.25")
def ramp(
    name: Name,
    traffic_share: Annotated[float, typer.Argument(help="Above the share of now, at most 1.")],
    etag: Etag = "",
    home: Home = None,
    actor: Actor = "",
    reason: Reason = "",
) -> None:
    """Raise an experiment's traffic share: units join its arms, and none leaves its arm."""
    with experiment_registry(home) as registry:
        registry.ramp(name, traffic_share, actor=actor, reason=reason, etag=etag)
    out.print(f"{name} has {traffic_share:.2%} of the traffic of its part of the layer")


@app.command(epilog="Example: ranklift experiment update title-boost --owner search-team")
def update(
    name: Name,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    hypothesis: Annotated[str | None, typer.Option(help="What it is meant to show.")] = None,
    planned_end: Annotated[
        datetime | None,
        typer.Option(help="When it is planned to end, in UTC.", formats=["%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option(help="UNIT=ARM: this unit meets this arm. Replaces all forced units."),
    ] = None,
    etag: Etag = "",
    home: Home = None,
    actor: Actor = "",
    reason: Reason = "",
) -> None:
    """Change what may change of any experiment. Drafts change by "ranklift experiment apply"."""
    from ranklift.cli.experiment_output import update_of

    definition, paths = update_of(name, owner, hypothesis, planned_end, force)
    with experiment_registry(home) as registry:
        changed = registry.update(definition, paths, actor=actor, reason=reason, etag=etag)
    out.print(f"{name} is at revision {changed.revision}")


@app.command(epilog="Example: ranklift experiment pause title-boost")
def pause(
    name: Name, etag: Etag = "", home: Home = None, actor: Actor = "", reason: Reason = ""
) -> None:
    """Pause a running experiment: its units are served by the champion."""
    with experiment_registry(home) as registry:
        registry.pause(name, actor=actor, reason=reason, etag=etag)
    out.print(f'{name} is paused; continue with "ranklift experiment start {name}"')


@app.command(epilog="Example: ranklift experiment stop title-boost --decision ship --arm treatment")
def stop(
    name: Name,
    decision: Annotated[
        Ending, typer.Option(help="ship makes the arm's version the champion.")
    ] = Ending.NONE,
    arm: Annotated[str, typer.Option(help="The arm to ship.")] = "",
    etag: Etag = "",
    home: Home = None,
    actor: Actor = "",
    reason: Reason = "",
) -> None:
    """Conclude an experiment for good."""
    from ranklift.store.values import Decision

    with experiment_registry(home) as registry:
        registry.conclude(name, Decision(decision), arm=arm, actor=actor, reason=reason, etag=etag)
    out.print(f"{name} is concluded ({decision})")


@contextmanager
def experiment_registry(home: Path | None) -> Iterator[ExperimentRegistry]:
    """Open the experiments of an installation."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings
    from ranklift.traffic.registry import ExperimentRegistry

    with registry_of(load_settings(home=home)) as registry:
        yield ExperimentRegistry(registry.experiments)
