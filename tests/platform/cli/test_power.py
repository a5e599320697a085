"""`ranklift power` as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from ranklift.cli.power import power
from ranklift.lift.planning import units_needed
from ranklift.v1.errors import InvalidRequest

T0 = datetime(2025, 3, 1, tzinfo=UTC)
Run = Callable[..., str]


@pytest.fixture
def pages() -> pl.DataFrame:
    """Two weeks of 1,500 users, each of whom comes on one day in five, with a CTR of his own."""
    rng = np.random.default_rng(4)
    day, user = np.nonzero(rng.random((14, 1_500)) < 0.2)
    return pl.DataFrame(
        {
            "user_id": user,
            "timestamp": [T0 + timedelta(days=int(d), hours=int(d) % 24) for d in day],
            "clicked": rng.random(len(user)) < rng.beta(4, 6, 1_500)[user],
        }
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ranklift power LOG OPTIONS` and return what it prints; errors are raised."""
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    app.command()(power)

    def call(log: pl.DataFrame, *options: str) -> str:
        log.write_parquet(tmp_path / "pages.parquet")
        done = CliRunner().invoke(
            app, [str(tmp_path / "pages.parquet"), *options], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


def test_a_plan_tells_units_days_and_what_the_log_itself_would_show(
    run: Run, pages: pl.DataFrame
) -> None:
    printed = run(pages, "--lift", "0.05")
    users = pages.group_by("user_id").agg(pl.len(), pl.col("clicked").sum())
    n, c = users["len"].to_numpy(), users["clicked"].to_numpy()
    variance = float((c - c.sum() / n.sum() * n).var(ddof=1) / c.mean() ** 2)
    assert f"The log has {len(n):,} units." in printed
    assert f"with power 80%: {units_needed(variance, 0.05):,}" in printed
    assert "With as many units as the log: power" in printed


def test_units_that_a_log_has_met_by_a_day_take_that_day(run: Run, pages: pl.DataFrame) -> None:
    # About 300 users on the first day.
    printed = run(pages, "--lift", "0.5")
    assert "Days with all of this traffic: about 1, at least 1, at most 1." in printed


def test_arms_of_an_earlier_experiment_do_not_matter(run: Run, pages: pl.DataFrame) -> None:
    arms = pages.with_columns(arm=pl.when(pl.col("user_id") < 50).then(1).otherwise(2))
    assert run(arms, "--lift", "0.05") == run(pages, "--lift", "0.05")


def test_pre_period_columns_lower_the_units_needed(run: Run, pages: pl.DataFrame) -> None:
    rng = np.random.default_rng(5)
    known = pages.group_by("user_id").agg(
        pre_pages=pl.len() * 10, pre_clicked_pages=pl.col("clicked").sum() * 10
    )
    noise = pl.Series(rng.poisson(2, known.height))
    known = known.with_columns(pre_pages=pl.col("pre_pages") + noise)
    printed = run(pages.join(known, on="user_id"), "--lift", "0.05")
    assert "Covariates leave" in printed
    assert "100%" not in printed


def test_simulated_experiments_confirm_the_plan(run: Run, pages: pl.DataFrame) -> None:
    options = ("--lift", "0.1", "--simulate", "60", "--seed", "1")
    printed = run(pages, *options)
    assert "Of 60 experiments drawn from it" in printed
    assert "exaggerate the lift" in printed
    assert run(pages, *options) == printed


def test_a_log_without_times_cannot_tell_days(run: Run, pages: pl.DataFrame) -> None:
    assert "Days: the log has no times to tell." in run(pages.drop("timestamp"), "--lift", "0.05")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--lift", "0"), "lift"),
        (("--lift", "0.1", "--alpha", "2"), "alpha"),
        (("--lift", "0.1", "--power", "0.01"), "power"),
        (("--lift", "0.1", "--metric", "ctr"), "metric"),
        (("--lift", "0.1", "--metric", "dwell_per_click"), "metric"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    run: Run, pages: pl.DataFrame, options: tuple[str, ...], field: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{field}"):
        run(pages, *options)


def test_a_log_without_clicks_cannot_be_planned_from(run: Run, pages: pl.DataFrame) -> None:
    with pytest.raises(InvalidRequest, match=r"^pages: cannot be planned from: the value"):
        run(pages.with_columns(clicked=False), "--lift", "0.1")
