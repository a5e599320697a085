"""`analyze`: a log of others, whoever holds it, to its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from tests.platform.lift.page_logs import draw_clicks, draw_pages

from ranklift.lift.analysis import analyze
from ranklift.lift.values import Decision, LiftReport, Measured, Role
from ranklift.store.analysis import AnalysisPlan, Direction, Form, Guardrail, Horizon, Metric


def draw_log(seed: int, units: int = 80, pages: int = 600) -> pl.DataFrame:
    """Return pages that tell their clicks and dwells themselves."""
    rng = np.random.default_rng(seed)
    clicked = rng.random(pages) < 0.4
    seconds = np.where(clicked & (rng.random(pages) < 0.9), rng.lognormal(3, 1, pages), np.nan)
    return draw_pages(seed, units, pages).with_columns(
        clicked=pl.Series(clicked), dwell_seconds=pl.Series(seconds).fill_nan(None)
    )


def by_metric(report: LiftReport) -> dict[str, Measured]:
    return {lift.metric: lift.found for lift in report.lifts if isinstance(lift.found, Measured)}


def test_a_log_by_hand() -> None:
    pages = pl.DataFrame(
        {
            "user_id": ["ada", "ada", "bob", "cat", "cat", "dan"],
            "arm": ["x", "x", "x", "y", "y", "y"],
            "clicked": [True, False, False, True, True, False],
            "dwell_seconds": [40.0, None, None, 10.0, 20.0, None],
        }
    )
    report = analyze(pages, control="x", name="by hand")
    found = by_metric(report)
    assert (report.experiment, report.control, report.unit) == ("by hand", "x", "user")
    assert (report.start, report.end, report.looks) == (None, None, ())
    assert (found["page_ctr"].control_value, found["page_ctr"].arm_value) == pytest.approx(
        (1 / 3, 2 / 3)
    )
    assert (
        found["dwell_per_unit"].control_value,
        found["dwell_per_unit"].arm_value,
    ) == pytest.approx((20.0, 15.0))
    assert not report.valid  # four users


def test_a_log_has_all_parts_of_a_report() -> None:
    report = analyze(draw_log(1), control="control", segments=["device", "known"])
    assert report.valid
    assert {lift.role for lift in report.lifts} == {
        Role.PRIMARY,
        Role.SECONDARY,
        Role.DIAGNOSTIC,
    }
    assert len(report.looks) == 3
    assert {lift.dimension for lift in report.segments} == {"device", "known"}
    assert {day.day for day in report.novelty} == {0, 1, 2}
    assert len(report.distributions) == 4
    # "pre_clicks" is of no metric of this log; it adjusts none of the others' either.
    assert by_metric(report)["page_ctr"].variance_ratio == 1


def test_without_details_the_table_is_the_same_and_the_rest_is_left_out() -> None:
    log = draw_log(2)
    whole, quick = (analyze(log, control="control", details=details) for details in (True, False))
    assert (quick.lifts, quick.checks, quick.arms) == (whole.lifts, whole.checks, whole.arms)
    assert [quick.looks, quick.novelty, quick.distributions] == [(), (), ()]


def test_only_named_metrics_are_the_same_numbers() -> None:
    log = draw_log(3)
    whole = by_metric(analyze(log, control="control"))
    few = analyze(log, control="control", metrics=["user_ctr", "dwell_per_click"])
    assert [lift.metric for lift in few.lifts] == ["page_ctr", "user_ctr", "dwell_per_click"]
    for name, found in by_metric(few).items():
        assert found == whole[name]


def test_the_same_log_gives_the_same_report_twice() -> None:
    log = draw_log(4)
    reports = [
        analyze(log, control="control", segments=["device"], plan=AnalysisPlan()) for _ in range(2)
    ]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("name", ["pandas", "pyarrow", "lazy", "duckdb", "path"])
def test_whoever_holds_the_log_the_report_is_the_same(name: str, tmp_path: Path) -> None:
    log, path = draw_log(5), tmp_path / "pages.parquet"
    log.write_parquet(path)
    held: dict[str, Any] = {
        "pandas": log.to_pandas,
        "pyarrow": log.to_arrow,
        "lazy": log.lazy,
        "duckdb": lambda: duckdb.connect().read_parquet(str(path)),
        "path": lambda: path,
    }
    reports = [
        analyze(frame, control="control", segments=["device"]) for frame in (held[name](), log)
    ]
    assert reports[0] == reports[1]


def test_clicks_in_a_table_are_as_clicks_in_the_pages() -> None:
    pages = draw_pages(6, 80, 600)
    clicks = draw_clicks(6, pages).select("page_id")
    counts = clicks.group_by("page_id").len("clicks")
    told = pages.join(counts, on="page_id", how="left").with_columns(pl.col("clicks").fill_null(0))
    assert analyze(pages, clicks, control="control") == analyze(told, control="control")


def test_a_declared_metric_of_a_column_of_ones_own_is_tested() -> None:
    spend = Metric(
        name="spend",
        title="Spend",
        unit="euro per user",
        definition="Euro spent.",
        numerator="spent",
        form=Form.MEAN,
        direction=Direction.UP,
    )
    log = draw_log(7).with_columns(spent=pl.col("latency_ms") / 2, pre_spent=pl.lit(1.5))
    plan = AnalysisPlan(metrics=(spend,), secondary_metrics=("spend",))
    report = analyze(log, control="control", plan=plan)
    (lift,) = [lift for lift in report.lifts if lift.metric == "spend"]
    assert lift.role is Role.SECONDARY
    assert isinstance(lift.found, Measured)
    users = log.filter(arm="control").group_by("user_id").agg(pl.col("spent").sum())
    assert lift.found.control_value == pytest.approx(users["spent"].mean())


def test_a_number_of_before_adjusts_and_may_be_missing() -> None:
    log = draw_log(8)
    clicks = log.group_by("user_id").agg(pre_taste=pl.col("clicked").mean() + 0.25)
    unknown = pl.col("user_id").str.ends_with("3")
    log = log.drop("pre_clicks").join(
        clicks.with_columns(pre_taste=pl.when(~unknown).then("pre_taste")), on="user_id"
    )
    adjusted = by_metric(analyze(log, control="control"))["page_ctr"]
    assert adjusted.variance_ratio < 0.8
    plain = analyze(log, control="control", plan=AnalysisPlan(covariates=False))
    assert by_metric(plain)["page_ctr"].variance_ratio == 1


def test_shares_are_parts_of_whatever_they_sum_to() -> None:
    log = draw_log(9)
    report = analyze(log, control="control", shares={"student": 3, "control": 3})
    assert [(arm.arm, arm.planned_share) for arm in report.arms] == [
        ("control", 0.5),
        ("student", 0.5),
    ]
    assert report == analyze(log, control="control")


def test_a_fixed_horizon_without_a_planned_size_takes_the_log_for_complete() -> None:
    log = draw_log(10)
    complete = analyze(log, control="control", plan=AnalysisPlan(horizon=Horizon.FIXED))
    assert complete.verdict.decision in (Decision.NO_DIFFERENCE, Decision.SHIP, Decision.ROLL_BACK)
    planned = AnalysisPlan(horizon=Horizon.FIXED, planned_units=1_000)
    running = analyze(log, control="control", plan=planned)
    assert running.verdict.decision is Decision.KEEP_RUNNING
    assert "until 920 more units are exposed" in running.verdict.sentence


def test_a_planned_size_makes_looks_group_sequential() -> None:
    plan = AnalysisPlan(planned_units=160, guardrails=(Guardrail("user_ctr", 0.3),))
    report = analyze(draw_log(11), control="control", plan=plan)
    assert report.horizon is Horizon.GROUP_SEQUENTIAL
    assert report.looks[2].information == pytest.approx(0.5)
