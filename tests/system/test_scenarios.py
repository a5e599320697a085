"""Every built-in scenario: the report says of it what it should."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ranklift.cli.simulate.scenario_file import FOLDER, Happens, find_scenarios, load_scenario
from ranklift.cli.simulate.scenario_judge import judge
from ranklift.cli.simulate.scenario_run import run_at_once
from ranklift.cli.simulate.scenario_served import run_served
from ranklift.v1.errors import InvalidRequest, NotFound

SCENARIOS = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_expectation_of_a_scenario_holds(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    outcome = run_served(scenario) if scenario.served else run_at_once(scenario)
    wrong = [each for each in judge(scenario.expect, outcome) if not each.holds]
    assert not wrong, wrong


@pytest.mark.parametrize("name", ["lost-dwells", "lost-logs", "novelty"])
def test_without_what_happens_the_expectations_do_not_hold(name: str) -> None:
    scenario = load_scenario(FOLDER / f"{name}.toml")
    calm = dataclasses.replace(scenario, happens=Happens("nothing"))
    assert not all(each.holds for each in judge(calm.expect, run_at_once(calm)))


def test_a_holiday_and_bots_everywhere_leave_their_mark_in_both_arms() -> None:
    """Or that no check fails would say nothing."""
    holiday = load_scenario(FOLDER / "holiday.toml")
    calm = dataclasses.replace(holiday, happens=Happens("nothing"))
    shifted, usual = (run_at_once(each).report for each in (holiday, calm))
    for during, before in zip(shifted.arms, usual.arms, strict=True):
        assert during.pages < 0.95 * before.pages
        assert during.clicks is not None
        assert before.clicks is not None
        assert during.clicks / during.pages < 0.97 * before.clicks / before.pages
    bots = load_scenario(FOLDER / "bots-everywhere.toml")
    (check,) = (c for c in run_at_once(bots).report.checks if c.name == "bot_units")
    assert check.p_value is not None


GOOD = """
name = "x"
says = "y"
[happens]
kind = "nothing"
[expect]
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('"y"', "y"), r"malformed: .*line 3"),
        (GOOD.replace("nothing", "flood"), r"happens\.kind"),
        (GOOD.replace("[expect]", "share = 1.5\n[expect]"), r"happens\.share: 1\.5, must be in"),
        (GOOD.replace("[expect]", 'arm = "b"\n[expect]'), r'happens\.arm: "b", must be control'),
        (GOOD + "colour = 1", r"expect\.colour"),
        (GOOD.replace("[expect]", ""), r"expect"),
        (GOOD + 'decision = "maybe"', r"expect\.decision"),
        (GOOD + '[world]\nusers = "many"', r"world\.users"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        load_scenario(tmp_path / "wrong.toml")


def test_scenarios_are_found_by_name_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    assert find_scenarios("outage") == [FOLDER / "outage.toml"]
    assert find_scenarios(str(tmp_path)) == [tmp_path / "mine.toml"]
    assert load_scenario(find_scenarios(str(tmp_path / "mine.toml"))[0]).name == "x"
    with pytest.raises(NotFound, match="outage"):
        find_scenarios("flood")
