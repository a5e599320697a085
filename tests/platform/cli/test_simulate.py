"""`ranklift simulate aa | power | coverage | matrix` as a user types it, with the lift report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ranklift.cli.simulate import app
from ranklift.cli.simulate.statistics import LiftPlan, LiftReadout, SaltedSplit
from ranklift.cli.simulate.worlds import ranked_world
from ranklift.lift.metrics import METRICS
from ranklift.simulator.calibration.experiment import Experiments, two_arms
from ranklift.simulator.calibration.power import usual_traffic
from ranklift.simulator.calibration.repeat import repeat
from ranklift.store.values import Arm, Experiment, ModelRef
from ranklift.traffic.splitter import Splitter
from ranklift.v1.errors import RequestError

Run = Callable[..., str]
SMALL = ("--experiments", "6", "--pages", "1200", "--workers", "1")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ranklift simulate ARGUMENTS` and return what it prints; errors are raised."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


@pytest.fixture(scope="module")
def played() -> Experiments:
    ranked = ranked_world(seed=3)
    script = two_arms(ranked.world, ranked.control, ranked.arm)
    return Experiments(script, 400, SaltedSplit(ranked.world.name, "test/3"), LiftReadout())


def test_results_are_the_same_to_the_bit_for_any_number_of_workers(played: Experiments) -> None:
    alone = repeat(played, range(7))
    assert repeat(played, range(7), workers=2) == alone
    assert repeat(played, range(7), workers=3) == alone
    assert len({reading.metrics["page_ctr"].lift for reading in alone}) == 7


def test_users_are_split_as_the_gateway_splits_them(played: Experiments) -> None:
    users = np.arange(25_000_000, 25_000_500)
    arms = (Arm("control", 5_000, ModelRef("m", "1")), Arm("arm", 5_000, ModelRef("m", "2")))
    splitter = Splitter.of(Experiment("any", arms, "control", "test/3/11"))
    assigned = [splitter.assign(played.script.world.user_id(int(user))) for user in users]
    expected = [["control", "arm"].index(one.arm.name) for one in assigned if one is not None]
    assert played.split(users, 11).tolist() == expected
    assert played.split(users, 12).tolist() != expected


def test_every_metric_of_the_report_is_read_or_said_to_be_missing(played: Experiments) -> None:
    readings = played(0)
    assert set(readings.metrics) | set(readings.unavailable) == set(METRICS)
    assert set(readings.unavailable) == {"latency", "fallback_pages_per_unit"}


def test_the_plan_is_that_of_ranklift_power(played: Experiments, tmp_path: Path) -> None:
    from ranklift.cli.power import power

    log = usual_traffic(played.script, 3_000)
    planned = LiftPlan()(log, {"page_ctr": 0.1, "user_ctr": 0.1, "pages_per_unit": 0.0})
    pages, clicks = tmp_path / "pages.parquet", tmp_path / "clicks.parquet"
    log.pages.write_parquet(pages)
    log.clicks.write_parquet(clicks)
    import typer

    command = typer.Typer()
    command.command()(power)
    done = CliRunner().invoke(
        command,
        [str(pages), "--clicks", str(clicks), "--lift", "0.1", "--metric", "page_ctr"],
        catch_exceptions=False,
    )
    assert f"power {planned['page_ctr']:.1%}" in done.stdout
    assert planned["pages_per_unit"] == pytest.approx(0.05)


def test_aa_prints_every_metric_and_writes_plots(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "aa.html"
    printed = run("aa", *SMALL, "--output", str(page))
    assert "6 A/A experiments" in printed
    assert all(name in printed for name in METRICS)
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 1 + len(METRICS) - 2
    assert "sample_ratio" in html


def test_coverage_of_a_planted_lift_tells_the_truth(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "coverage.html"
    printed = run("coverage", *SMALL, "--lift", "0.05", "--output", str(page))
    row = next(line for line in printed.splitlines() if line.strip().startswith("page_ctr"))
    assert "+5.000 %" in row
    assert "<svg" in page.read_text(encoding="utf-8")


def test_power_has_a_row_for_each_size_and_metric(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "power.html"
    printed = run(
        *("power", "--lift", "0.05", "--pages", "1200,2400", "--experiments", "3"),
        *("--workers", "1", "--output", str(page)),
    )
    rows = [line for line in printed.splitlines() if line.strip().startswith("page_ctr")]
    assert len(rows) == 2
    assert "<svg" in page.read_text(encoding="utf-8")


def test_the_matrix_has_a_world_for_each_model(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "matrix.html"
    printed = run("matrix", *SMALL, "--models", "pbm,dctr", "--output", str(page))
    worlds = ("the log's own world", "pbm", "dctr")
    lines = [line.strip() for line in printed.splitlines()]
    assert all(sum(line.startswith(f"{name} ") for line in lines) == 2 for name in worlds)
    assert "fitted: pbm" in printed
    assert "obust" in page.read_text(encoding="utf-8")


def test_users_who_react_are_calibrated_too(run: Run) -> None:
    assert "users who react" in run("aa", *SMALL, "--react")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("aa", "--alpha", "1.5"), "alpha: 1.5 is not between 0 and 1"),
        (("aa", "--pages", "3"), "pages: make 1 users"),
        # Found in another process: two users who happen to be in one arm.
        (("aa", "--pages", "8", "--experiments", "9", "--workers", "2"), "is no arm"),
        (("aa", "--experiments", "999999999"), "take fewer"),
        (("aa", "--output", "aa.png"), "is no .html file"),
        (("aa", "--output", "nowhere/aa.html"), 'there is no folder "nowhere"'),
        (("aa", "--collection", "nowhere"), "nowhere"),
        (("power", "--lift", "0.01,x"), 'lift: "x" is no number'),
        (("power", "--pages", ""), 'pages: "" is no number'),
        (("power", "--lift", "50"), "lift: 50"),
        (("coverage", "--lift", "-1"), "lift: -1"),
        (("coverage", "--lift", "0.01", "--arm", "ideal"), "arm: stands beside lift"),
        (("matrix", "--models", "pbm,abc"), 'models: "abc" is no click model'),
        (("matrix", "--arm", "nowhere.trec"), "nowhere.trec"),
    ],
)
def test_bad_arguments_are_one_line(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
