"""A log in Spark comes to the same numbers as the same Parquet in polars."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.platform.lift.page_logs import draw_clicks, draw_pages

from ranklift.lift.analysis import analyze
from ranklift.lift.cluster import moments_by_arm, usable
from ranklift.lift.columns import with_columns
from ranklift.lift.comparing import measure, method_for, moments_of
from ranklift.lift.days import unit_days
from ranklift.lift.flat import read_flat
from ranklift.lift.metrics import METRICS
from ranklift.lift.pages import PageRows, collect
from ranklift.lift.sums import unit_frame, unit_sums
from ranklift.lift.values import Measured
from ranklift.v1.errors import InvalidRequest

ARMS = ("control", "student")
# One of every form, and one that is capped.
CHOSEN = ("page_ctr", "user_ctr", "sessions_per_unit", "mean_unit_ctr", "capped_dwell_per_unit")


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A Spark of two threads in this machine, in a time zone far from UTC."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not installed")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.sql.session.timeZone": "Asia/Tokyo",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pages and clicks as Parquet."""
    folder = tmp_path_factory.mktemp("log")
    pages = draw_pages(5, units=200, pages=800)
    pages.write_parquet(folder / "pages.parquet")
    draw_clicks(5, pages, clicks=300).write_parquet(folder / "clicks.parquet")
    return folder / "pages.parquet", folder / "clicks.parquet"


@pytest.fixture(scope="module")
def in_spark(spark: Any, files: tuple[Path, Path]) -> tuple[Any, Any]:
    pages, clicks = (spark.read.parquet(str(file)) for file in files)
    return pages, clicks


@pytest.fixture(scope="module")
def logs(files: tuple[Path, Path], in_spark: tuple[Any, Any]) -> tuple[PageRows, PageRows]:
    """The page rows of polars and of Spark."""
    return read_flat(*files), read_flat(*in_spark)


def sums_of(read: PageRows) -> pl.DataFrame:
    return unit_sums(
        read.rows, measures=read.measures, constants=read.constants, segments=read.segments
    )


def test_unit_sums_are_the_same(logs: tuple[PageRows, PageRows]) -> None:
    here, there = logs
    assert there.measures == here.measures
    assert_frame_equal(sums_of(there), sums_of(here))


def test_sums_of_days_are_the_same(logs: tuple[PageRows, PageRows]) -> None:
    here, there = (unit_days(read.rows, measures=read.measures) for read in logs)
    assert_frame_equal(there, here)


def test_dwells_are_the_same(logs: tuple[PageRows, PageRows]) -> None:
    here, there = (collect(read.dwells).sort(pl.all()) for read in logs if read.dwells is not None)
    assert_frame_equal(there, here)


def test_moments_made_in_the_cluster_report_the_same_lifts(
    logs: tuple[PageRows, PageRows],
) -> None:
    here, there = logs
    units = sums_of(here).filter(pl.col("pages") > 0)
    metrics = [METRICS[name] for name in CHOSEN]
    method = method_for(units, metrics, confidence_level=0.95, covariates=False)
    frame = usable(unit_frame(there.rows, measures=there.measures), ARMS)
    columns = list(dict.fromkeys(name for metric in metrics for name in method.columns(metric)))
    found = moments_by_arm(with_columns(frame, metrics, method.thresholds), columns, ARMS)
    for metric in metrics:
        names = method.columns(metric)
        at = [columns.index(name) for name in names]
        moments = {}
        for arm in ARMS:
            expected = moments_of(units.filter(pl.col("arm") == arm), metric, method)
            made = found[arm]
            assert made.count == expected.count
            np.testing.assert_allclose(made.mean[at], expected.mean, rtol=1e-12)
            np.testing.assert_allclose(made.m2[np.ix_(at, at)], expected.m2, rtol=1e-9)
            moments[arm] = (expected, made)
        lifts = [
            measure(moments["control"][i], moments["student"][i], metric, method) for i in (0, 1)
        ]
        assert isinstance(lifts[0], Measured)
        assert isinstance(lifts[1], Measured)
        _assert_same(asdict(lifts[0]), asdict(lifts[1]))


def _assert_same(one: Any, other: Any) -> None:
    """Compare values with all their parts, numbers to 1e-9."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _assert_same(one[name], other[name])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for mine, yours in zip(one, other, strict=True):
            _assert_same(mine, yours)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-9, abs=1e-12)
    else:
        assert other == one


def test_the_report_is_the_same(files: tuple[Path, Path], in_spark: tuple[Any, Any]) -> None:
    here, there = (
        asdict(analyze(*log, control="control", segments=["device"])) for log in (files, in_spark)
    )
    assert here["lifts"]
    _assert_same(here, there)


def test_times_without_a_zone_are_refused_where_spark_would_shift_them(
    spark: Any, tmp_path: Path
) -> None:
    pages = draw_pages(6).with_columns(
        pl.col("timestamp").dt.replace_time_zone(None), clicked=pl.lit(1)
    )
    pages.write_parquet(tmp_path / "pages.parquet")
    with pytest.raises(InvalidRequest, match=r"timestamp: has no time zone.*Asia/Tokyo"):
        read_flat(spark.read.parquet(str(tmp_path / "pages.parquet")))


def test_values_that_mean_nothing_are_refused(spark: Any, tmp_path: Path) -> None:
    pages = draw_pages(7).with_columns(clicked=pl.lit(2), latency_ms=pl.lit(float("nan")))
    pages.write_parquet(tmp_path / "pages.parquet")
    with pytest.raises(InvalidRequest, match=r"clicked: 300 rows.*latency_ms: 300 rows"):
        read_flat(spark.read.parquet(str(tmp_path / "pages.parquet")))
