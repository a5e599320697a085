"""Forecasts against measurements: worked by hand, against chance, and as a user types it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from ranklift.cli import forecast as commands
from ranklift.cli.composition import registry_of
from ranklift.lift.forecasts import Outcome, Score, calibration, score, table
from ranklift.lift.values import (
    Check,
    Decision,
    Interval,
    LiftReport,
    Measured,
    MetricLift,
    Role,
    Unavailable,
    Verdict,
)
from ranklift.settings import load_settings
from ranklift.store.analysis import AnalysisPlan, Horizon
from ranklift.store.forecasts import Forecast, RecordedForecast
from ranklift.store.values import Arm, Experiment, Lineage, ModelRef, ModelVersion
from ranklift.v1.errors import InvalidRequest, NotReady

T0 = datetime(2026, 5, 1, tzinfo=UTC)
# 1.96 standard errors of 0.02 and of 0.015.
FORECAST = Forecast(
    "boost",
    "new",
    "clicks_per_page",
    "position_based",
    0.05,
    0.05 - 0.0392,
    0.05 + 0.0392,
    0.95,
    500,
    1.0,
    "sha256:1",
)
MEASURED = Measured(
    control_value=1.0,
    arm_value=1.02,
    difference=0.02,
    difference_interval=Interval(-0.0094, 0.0494),
    relative_lift=0.02,
    relative_lift_interval=Interval(0.02 - 0.0294, 0.02 + 0.0294),
    standard_error=0.015,
    p_value=0.18,
    control_units=1000,
    arm_units=1000,
)


def recorded(forecast: Forecast = FORECAST, made: datetime = T0) -> RecordedForecast:
    return RecordedForecast(1, made, forecast)


def report(
    found: Measured | Unavailable = MEASURED,
    experiment: str = "boost",
    start: datetime | None = T0 + timedelta(days=1),
    valid: bool = True,
) -> LiftReport:
    return LiftReport(
        experiment=experiment,
        revision=1,
        control="old",
        unit="user",
        primary_metric="clicks_per_page",
        plan=AnalysisPlan(),
        horizon=Horizon.FIXED,
        confidence_level=0.95,
        start=start,
        end=None,
        verdict=Verdict(Decision.KEEP_RUNNING, "", "", ()),
        checks=(Check("srm", valid, None, ""),),
        arms=(),
        metrics=(),
        lifts=(MetricLift("clicks_per_page", "new", Role.PRIMARY, found),),
    )


def outcome_of(one: Score) -> Outcome:
    assert isinstance(one.outcome, Outcome), one.outcome
    return one.outcome


def test_a_forecast_by_hand() -> None:
    (one,) = score([recorded()], [report()])
    found = outcome_of(one)
    assert found.measured_lift == 0.02
    assert found.error == pytest.approx(0.03)
    # Errors of 0.02 and 0.015 make 0.025 together.
    assert found.standardised_error == pytest.approx(0.03 / 0.025, rel=1e-4)
    assert (found.within, found.overlap) == (True, True)


def test_within_and_overlap_are_two_things() -> None:
    beside = replace(MEASURED, relative_lift=0.0, relative_lift_interval=Interval(-0.02, 0.02))
    found = outcome_of(score([recorded()], [report(beside)])[0])
    assert (found.within, found.overlap) == (False, True)
    far = replace(MEASURED, relative_lift=-0.1, relative_lift_interval=Interval(-0.15, -0.05))
    found = outcome_of(score([recorded()], [report(far)])[0])
    assert (found.within, found.overlap) == (False, False)


def test_another_level_of_the_report_is_another_error() -> None:
    """The same interval at 99 % says less of an error than at 95 %."""
    loose = outcome_of(score([recorded()], [report()])[0])
    strict = outcome_of(score([recorded()], [replace(report(), confidence_level=0.99)])[0])
    assert loose.standardised_error is not None
    assert strict.standardised_error is not None
    assert strict.standardised_error > loose.standardised_error


def test_an_interval_without_an_end_gives_no_standardised_error() -> None:
    open_ended = replace(MEASURED, relative_lift_interval=Interval(-0.02, inf))
    found = outcome_of(score([recorded()], [report(open_ended)])[0])
    assert found.standardised_error is None
    assert found.overlap


@pytest.mark.parametrize(
    ("forecast", "reports", "says"),
    [
        (recorded(), [], "has measured nothing yet"),
        (recorded(), [report(experiment="other")], "has measured nothing yet"),
        (recorded(), [report(valid=False)], "the report is invalid"),
        (recorded(), [report(Unavailable("no clicks"))], "no clicks"),
        (recorded(replace(FORECAST, metric="page_ctr")), [report()], "has no page_ctr of arm new"),
        (
            recorded(replace(FORECAST, arm="newer")),
            [report()],
            "has no clicks_per_page of arm newer",
        ),
        (recorded(made=T0 + timedelta(days=1)), [report()], "entered after"),
    ],
)
def test_what_cannot_be_scored_says_why(
    forecast: RecordedForecast, reports: list[LiftReport], says: str
) -> None:
    (one,) = score([forecast], reports)
    assert isinstance(one.outcome, Unavailable)
    assert says in one.outcome.reason
    assert calibration([one]) == ()
    assert table([one])["reason"].item() == one.outcome.reason
    assert table([one])["measured_lift"].item() is None


def test_honest_forecasts_agree_in_95_of_100_experiments_and_biased_ones_do_not() -> None:
    rng = np.random.default_rng(5)
    scores: list[Score] = []
    for number in range(2_000):
        truth = rng.normal(0, 0.03)
        for estimator, bias in (("honest", 0.0), ("biased", 0.05)):
            lift = truth + bias + rng.normal(0, 0.02)
            measured = truth + rng.normal(0, 0.015)
            name = f"{number}-{estimator}"
            forecast = replace(
                FORECAST,
                experiment=name,
                estimator=estimator,
                lift=lift,
                lower=lift - 0.0392,
                upper=lift + 0.0392,
            )
            found = replace(
                MEASURED,
                relative_lift=measured,
                relative_lift_interval=Interval(measured - 0.0294, measured + 0.0294),
            )
            scores += score([recorded(forecast)], [report(found, name)])
    biased, honest = calibration(scores)
    assert (honest.estimator, honest.scored, honest.comparable) == ("honest", 2_000, 2_000)
    assert 0.93 < honest.agreeing / honest.scored < 0.97
    # The measured point has an error of its own: less than 95 % lie within.
    assert 0.85 < honest.within / honest.scored < 0.91
    assert honest.mean_error == pytest.approx(0, abs=0.002)
    assert honest.root_mean_square_error == pytest.approx(0.025, rel=0.05)
    assert biased.agreeing / biased.scored < 0.6
    assert biased.mean_error == pytest.approx(0.05, abs=0.002)
    assert biased.same_sign < honest.same_sign


def test_the_table_has_a_row_for_every_forecast() -> None:
    rows = table(score([recorded(), recorded(replace(FORECAST, arm="newer"))], [report()]))
    assert rows["measured_lift"].to_list() == [0.02, None]
    assert rows["within"].to_list() == [True, None]
    assert rows["made"].to_list() == [T0, T0]
    assert table([]).columns == rows.columns


# --- as a user types it --------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation with one draft experiment."""
    home = tmp_path / "home"
    with registry_of(load_settings(home=home)) as registry:
        for version in ("1", "2"):
            registry.models.register(
                ModelVersion(
                    ModelRef("bm25", version),
                    "bm25",
                    "sha256:" + version * 64,
                    "fp32",
                    "m",
                    Lineage("sft"),
                    T0,
                )
            )
        arms = (Arm("old", 5000, ModelRef("bm25", "1")), Arm("new", 5000, ModelRef("bm25", "2")))
        registry.experiments.create(Experiment("boost", arms, "old", salt="s"), actor="ada")
    return home


def files(folder: Path) -> tuple[Path, Path]:
    """A log of 300 users whose second result is the better one, and a ranking that swaps them."""
    rng = np.random.default_rng(7)
    likely = np.array([0.2, 0.6]) * [1, 0.5]
    log = pl.DataFrame(
        {
            "unit_id": [f"u{page // 4}" for page in range(1_200)],
            "query": "tea",
            "documents": [["a", "b"]] * 1_200,
            "clicks": (rng.random((1_200, 2)) < likely).astype(int).tolist(),
        }
    )
    log.write_parquet(folder / "log.parquet")
    pl.DataFrame({"query": ["tea"], "documents": [["b", "a"]]}).write_parquet(
        folder / "rankings.parquet"
    )
    return folder / "log.parquet", folder / "rankings.parquet"


def run(home: Path, *arguments: str) -> str:
    result = CliRunner().invoke(
        commands.app, [*arguments, "--home", str(home)], env={"COLUMNS": "200"}
    )
    if result.exception is not None:
        raise result.exception
    return result.output


def test_a_forecast_is_made_entered_and_listed(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, rankings = files(tmp_path)
    assert "no forecasts yet" in run(home, "list")
    made = run(
        home,
        *("make", "boost", "new", "--rankings", str(rankings), "--log", str(log)),
        *("--examination", "1,0.5"),
    )
    assert "entered as forecast 1 of boost, arm new" in made
    assert "300 units" in made
    # Truth: 0.6 + 0.1 over 0.2 + 0.3.
    with registry_of(load_settings(home=home)) as registry:
        from ranklift.store.forecasts import Forecasts

        (one,) = Forecasts(registry.engine).list("boost")
    assert one.forecast.lower < 0.4 < one.forecast.upper
    assert one.forecast.log_digest.startswith("sha256:")
    listed = run(home, "list", "boost")
    assert "position_based_doubly_robust" in listed
    assert "has measured nothing yet" in listed


def test_what_cannot_be_forecast_says_why(home: Path, tmp_path: Path) -> None:
    log, rankings = files(tmp_path)
    make = ("make", "boost", "new", "--rankings", str(rankings), "--log", str(log))
    with pytest.raises(NotReady, match="no forecast: the log cannot tell how often each rank"):
        run(home, *make)
    with pytest.raises(NotReady, match="no forecast: the log has no propensities"):
        run(home, *make, "--estimator", "ips")
    with pytest.raises(InvalidRequest, match='estimator: "oracle" is none of direct, ips'):
        run(home, *make, "--estimator", "oracle")
    with pytest.raises(InvalidRequest, match='"steep" is neither fit, default nor numbers'):
        run(home, *make, "--examination", "steep")
    with pytest.raises(InvalidRequest, match='rankings: "absent" cannot be read as Parquet'):
        run(home, "make", "boost", "new", "--rankings", "absent", "--log", str(log))
    with pytest.raises(InvalidRequest, match="log: has no row"):
        run(home, "make", "boost", "new", "--rankings", str(rankings))
    assert "no forecasts yet" in run(home, "list")
