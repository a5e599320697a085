"""The command line: where settings are read and every part is built and joined.

Each command imports what it needs when it runs, so that `ranklift report`
starts without torch.
"""

from __future__ import annotations

import sys

import typer

from ranklift.cli import (
    bench,
    db,
    events,
    experiment,
    forecast,
    layer,
    ramp,
    retrain,
    serve,
    simulate,
    simulator,
    token,
    train,
)
from ranklift.cli.audit import audit as audit_command
from ranklift.cli.audit import audited
from ranklift.cli.demo import demo as demo_command
from ranklift.cli.evaluate import evaluate as evaluate_command
from ranklift.cli.lift import lift
from ranklift.cli.logs import configure_logs
from ranklift.cli.output import complain
from ranklift.cli.power import power
from ranklift.cli.report import report as report_command
from ranklift.cli.reproduce import reproduce
from ranklift.rankers.failures import NotFinite, TrainingFailed
from ranklift.v1.errors import RequestError

HELP = "Distil, serve, split, measure and retrain search rankers, and prove the lift."


def command() -> typer.Typer:
    """Return the whole command."""
    app = typer.Typer(
        name="ranklift",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode="markdown",
    )
    app.command("demo")(demo_command)
    app.command("report")(report_command)
    app.command("lift")(lift)
    app.command("power")(power)
    app.command("evaluate")(evaluate_command)
    app.command("reproduce")(reproduce)
    app.command("audit", epilog="Example: ranklift audit --since 2026-03-01")(audit_command)
    app.add_typer(serve.app, name="serve")
    app.add_typer(experiment.app, name="experiment")
    app.add_typer(layer.app, name="layer")
    app.add_typer(ramp.app, name="ramp")
    app.add_typer(events.app, name="events")
    app.add_typer(simulate.app, name="simulate")
    app.add_typer(simulator.app, name="simulator")
    app.add_typer(forecast.app, name="forecast")
    app.add_typer(train.app, name="train")
    app.add_typer(retrain.app, name="retrain")
    app.add_typer(bench.app, name="bench")
    app.add_typer(token.app, name="token")
    app.add_typer(db.app, name="db")
    return app


def main() -> None:
    """Run the command; what the caller got wrong is one line on stderr and exit code 2.

    A model that broke down is one line too, and exit code 1.
    """
    configure_logs()
    try:
        audited(typer.main.get_command(command()))()
    except RequestError as error:
        complain(str(error))
        sys.exit(2)
    except (TrainingFailed, NotFinite) as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(130)
