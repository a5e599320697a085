"""`ranklift simulate scenario`: experiments to which something happens, and what is reported."""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.output import out, step


def play_scenarios(
    where: Annotated[
        str, typer.Argument(help="A built-in scenario's name, a file, or a folder of them.")
    ],
) -> None:
    """Play scenarios and say which expectations hold; exits with 1 unless all do.

    Built in: nothing, lost-logs, lost-dwells, bot-attack, bots-everywhere, holiday, novelty, and
    with real servers on this machine outage, slow-ranker.

    Example: `ranklift simulate scenario outage`
    """
    from rich.markup import escape

    from ranklift.cli.simulate.scenario_file import find_scenarios, load_scenario
    from ranklift.cli.simulate.scenario_judge import judge
    from ranklift.cli.simulate.scenario_run import run_at_once
    from ranklift.cli.simulate.scenario_served import run_served

    scenarios = [load_scenario(path) for path in find_scenarios(where)]
    all_hold = True
    for scenario in scenarios:
        step(f"{scenario.name}: {scenario.says}")
        outcome = run_served(scenario) if scenario.served else run_at_once(scenario)
        out.print(escape(outcome.report.verdict.sentence))
        for each in judge(scenario.expect, outcome):
            mark = "[green]holds[/]" if each.holds else "[bold red]does not hold[/]"
            expected = "" if each.holds else f", expected {escape(each.expected)}"
            out.print(f"  {mark}: {escape(each.what)}: {escape(each.found)}{expected}")
            all_hold &= each.holds
    if not all_hold:
        raise typer.Exit(1)
