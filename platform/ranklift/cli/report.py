"""`ranklift report`: the difference that an experiment made, read off the log without a server."""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.options import Home
from ranklift.cli.report_output import Format, FormatOption, OutputOption, check_output, write


def report(
    experiment: Annotated[str, typer.Argument(help="The experiment's name.")],
    style: FormatOption = Format.TABLE,
    output: OutputOption = None,
    home: Home = None,
) -> None:
    """Report the difference that an experiment made: verdict, lifts, guardrails, checks.

    An invalid report says so and exits with 0 like any other: the report was made.

    Example: `ranklift report title-boost --format html --output title-boost.html`
    """
    from ranklift.cli.composition import files_of, registry_of
    from ranklift.cli.reporting import report_of_home
    from ranklift.settings import load_settings

    check_output(style, output)
    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        registered = registry.experiments.get(experiment)
    write(report_of_home(settings.home, registered, files=files_of(settings)), style, output)
