"""Is a report from Spark the same as from polars, on the same Parquet?

Every engine runs in a process of its own: a JVM keeps the first Spark that it started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ranklift.lift.analysis import analyze
from ranklift.lift.cluster import moments_by_arm, usable
from ranklift.lift.columns import with_columns
from ranklift.lift.comparing import method_for
from ranklift.lift.flat import read_flat
from ranklift.lift.metrics import METRICS
from ranklift.lift.sums import unit_frame, unit_sums

PAGES, USERS, DAYS = 1_000_000, 100_000, 7
MASTERS = {"Spark, local[2]": "local[2]", "Spark, two workers": "local-cluster[2,1,1024]"}
ARMS = ("control", "student")
MOMENTS = ("page_ctr", "user_ctr", "dwell_per_click", "mean_unit_ctr", "capped_dwell_per_unit")
TOLERANCE = 1e-9


def measure(pages: int = PAGES, users: int = USERS) -> str:
    """Return the page: how far the numbers of each engine are from those of polars, and its time.

    Raises:
        AssertionError: an engine says something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_log(Path(folder), pages, users)
        expected = _run("polars", Path(folder))
        found = {name: _run(master, Path(folder)) for name, master in MASTERS.items()}
    lines = [
        "# The same report from Spark",
        "",
        f"{pages:,} pages of {users:,} users with their clicks, in two Parquet files; the report "
        f"has {len(expected['report']['lifts'])} metrics, looks by day, segments and dwell "
        "quantiles. `report`: unit sums made by the engine, the rest here. `moments`: the moments "
        f"of {len(MOMENTS)} metrics made by the engine, one row per arm comes back. Differences "
        "are the largest relative ones to polars over all numbers; all else is equal. "
        "Times are without starting Spark, with one run each.",
        "",
        "| engine | report: difference | time | moments: difference | time |",
        "|---|---|---|---|---|",
        f"| polars | - | {expected['report_seconds']:.1f} s | - "
        f"| {expected['moments_seconds']:.1f} s |",
    ]
    for name, result in found.items():
        largest = {
            part: max(_differences(expected[part], result[part])) for part in ("report", "moments")
        }
        for part, difference in largest.items():
            if difference > TOLERANCE:
                raise AssertionError(f"{name}: the {part} differs by {difference:g}")
        lines.append(
            f"| {name} | {largest['report']:.1e} | {result['report_seconds']:.1f} s "
            f"| {largest['moments']:.1e} | {result['moments_seconds']:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def _write_log(folder: Path, pages: int, users: int) -> None:
    """Write pages of users that click and stay each in their own way, and their clicks."""
    rng = np.random.default_rng(11)
    likely, before = rng.beta(4, 6, users), rng.poisson(4, users)
    device = rng.choice(["phone", "desk"], users)
    user = rng.integers(0, users, pages)
    start = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp() * 1e6)
    shown = start + rng.integers(0, int(timedelta(days=DAYS).total_seconds() * 1e6), pages)
    pl.DataFrame(
        {
            "user_id": user,
            "arm": np.array(ARMS)[user % 2],
            "page_id": np.arange(pages),
            "timestamp": pl.Series(shown).cast(pl.Datetime("us", "UTC")),
            "session_id": rng.integers(0, 5, pages),
            "latency_ms": rng.gamma(4, 5, pages),
            "pre_clicks": before[user],
            "device": device[user],
        }
    ).write_parquet(folder / "pages.parquet")
    page = np.flatnonzero(rng.random(pages) < likely[user])
    pl.DataFrame(
        {
            "page_id": page,
            "timestamp": pl.Series(shown[page] + rng.integers(0, 60_000_000, len(page))).cast(
                pl.Datetime("us", "UTC")
            ),
            "position": rng.geometric(0.4, len(page)),
            "dwell_seconds": rng.lognormal(3, 1, len(page)),
            "censored": rng.random(len(page)) < 0.1,
        }
    ).write_parquet(folder / "clicks.parquet")


def _run(master: str, folder: Path) -> Mapping[str, Any]:
    """Return what an engine makes of the log, from a process of its own."""
    answer = folder / "answer.json"
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.lift_spark", master, str(folder), str(answer)],
        check=True,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        stderr=subprocess.DEVNULL if master != "polars" else None,
    )
    found: Mapping[str, Any] = json.loads(answer.read_text())
    return found


def _answer(master: str, folder: Path) -> dict[str, Any]:
    files = [folder / "pages.parquet", folder / "clicks.parquet"]
    log = files if master == "polars" else _in_spark(master, files)
    began = time.perf_counter()
    report = analyze(*log, control=ARMS[0], segments=["device"])
    between = time.perf_counter()
    moments = _moments(log, files)
    return {
        "report": asdict(report),
        "moments": moments,
        "report_seconds": between - began,
        "moments_seconds": time.perf_counter() - between,
    }


def _in_spark(master: str, files: list[Path]) -> list[Any]:
    from pyspark.sql import SparkSession

    settings: dict[str, bool | float | int | str | None] = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.ui.enabled": "false",
    }
    spark = SparkSession.builder.master(master).config(map=settings).getOrCreate()
    log = [spark.read.parquet(str(file)) for file in files]
    log[0].count()  # starts the workers
    return log


def _moments(log: list[Any], files: list[Path]) -> dict[str, Any]:
    metrics = [METRICS[name] for name in MOMENTS]
    # Caps are quantiles of all units, the same ones for every engine.
    here = read_flat(*files)
    units = unit_sums(here.rows, measures=here.measures)
    method = method_for(units, metrics, confidence_level=0.95, covariates=False)
    columns = list(dict.fromkeys(name for metric in metrics for name in method.columns(metric)))
    there = read_flat(*log)
    frame = usable(unit_frame(there.rows, measures=there.measures), ARMS)
    found = moments_by_arm(with_columns(frame, metrics, method.thresholds), columns, ARMS)
    return {
        arm: {"count": m.count, "mean": m.mean.tolist(), "m2": m.m2.tolist()}
        for arm, m in found.items()
    }


def _differences(one: Any, other: Any) -> Iterator[float]:
    """Yield the relative difference of all numbers in two values of one shape."""
    if isinstance(one, dict):
        for name in one:
            yield from _differences(one[name], other[name])
    elif isinstance(one, list):
        if len(one) != len(other):
            raise AssertionError(f"{len(one)} parts, but {len(other)}")
        for mine, yours in zip(one, other, strict=True):
            yield from _differences(mine, yours)
    elif isinstance(one, float) and isinstance(other, float):
        yield 0.0 if one == other else abs(one - other) / max(abs(one), abs(other))
    elif one != other:
        raise AssertionError(f"{one!r}, but {other!r}")
    else:
        yield 0.0


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(_answer(sys.argv[1], Path(sys.argv[2])), default=str))
