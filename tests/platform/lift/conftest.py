"""Event logs to measure: written down by hand, or drawn from users that differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ranklift.store.values import (
    Arm,
    Experiment,
    ExperimentState,
    ModelRef,
    RegisteredExperiment,
)

Schema = dict[str, pl.DataType | type[pl.DataType]]
T0 = datetime(2025, 3, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
ASSIGNMENT = pl.Struct(
    {
        "experiment": pl.String,
        "revision": pl.Int64,
        "layer": pl.String,
        "arm": pl.String,
        "unit_id": pl.String,
        "bucket": pl.Int32,
    }
)
PAGES: Schema = {
    "impression_id": pl.String,
    "page_time": INSTANT,
    "user_id": pl.String,
    "session_id": pl.String,
    "query": pl.String,
    "documents": pl.List(pl.String),
    "scores": pl.List(pl.Float64),
    "model": pl.String,
    "version": pl.String,
    "digest": pl.String,
    "assignments": pl.List(ASSIGNMENT),
    "fallback_reason": pl.String,
    "latency_ms": pl.Float64,
}
CLICKS: Schema = {
    "event_id": pl.String,
    "impression_id": pl.String,
    "document_id": pl.String,
    "position": pl.Int32,
    "click_time": INSTANT,
}
DWELLS: Schema = {
    "event_id": pl.String,
    "click_event_id": pl.String,
    "impression_id": pl.String,
    "document_id": pl.String,
    "dwell_ms": pl.Int64,
    "censored": pl.Boolean,
}


@dataclass(frozen=True)
class Tables:
    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    dwells: pl.LazyFrame


@pytest.fixture(scope="session")
def tables() -> type[Tables]:
    return Tables


@pytest.fixture(scope="session")
def experiment() -> RegisteredExperiment:
    """Half the users see "control", half see "student"."""
    arms = (
        Arm("control", 5_000, ModelRef("bm25", "1")),
        Arm("student", 5_000, ModelRef("student", "1")),
    )
    return RegisteredExperiment(
        Experiment("student-vs-bm25", arms, control="control", salt="s"),
        ExperimentState.RUNNING,
        revision=2,
        created=T0,
        updated=T0,
        started=T0,
    )


@pytest.fixture(scope="session")
def write_log() -> Callable[..., Tables]:
    """Write a log by hand, a page a minute, each as (unit, arm, clicks) or with a fallback reason.

    The clicks of a page are a string: "30s" a click with its dwell, "12s+" a censored one, "-" a
    click without a dwell.
    """

    def write(*shown: tuple[str, ...], experiment: str = "student-vs-bm25") -> Tables:
        pages: list[dict[str, object]] = []
        clicks: list[dict[str, object]] = []
        dwells: list[dict[str, object]] = []
        for number, (unit, arm, clicked, *fallback) in enumerate(shown):
            impression = f"{experiment}-{number}"
            when = T0 + timedelta(minutes=number)
            pages.append(
                {
                    "impression_id": impression,
                    "page_time": when,
                    "user_id": unit,
                    "query": "q",
                    "documents": ["d0", "d1", "d2"],
                    "assignments": [
                        {"experiment": "another", "arm": "x", "unit_id": unit},
                        {"experiment": experiment, "arm": arm, "unit_id": unit},
                    ],
                    "fallback_reason": "".join(fallback),
                }
            )
            for position, dwell in enumerate(clicked.split(), start=1):
                event = f"{impression}-c{position}"
                clicks.append(
                    {
                        "event_id": event,
                        "impression_id": impression,
                        "position": position,
                        "click_time": when,
                    }
                )
                if dwell != "-":
                    dwells.append(
                        {
                            "event_id": f"{event}-d",
                            "click_event_id": event,
                            "impression_id": impression,
                            "dwell_ms": round(1000 * float(dwell.rstrip("+").rstrip("s"))),
                            "censored": dwell.endswith("+"),
                        }
                    )
        return Tables(
            pl.LazyFrame(pages, schema=PAGES),
            pl.LazyFrame(clicks, schema=CLICKS),
            pl.LazyFrame(dwells, schema=DWELLS),
        )

    return write


@pytest.fixture(scope="session")
def random_log(write_log: Callable[..., Tables]) -> Callable[..., Tables]:
    """Draw a log of users that differ in how often they come, how likely they click, how long
    they stay; one page in fifty is a fallback page."""

    def draw(seed: int, units: int = 60) -> Tables:
        rng = np.random.default_rng(seed)
        shown: list[tuple[str, ...]] = []
        for unit in range(units):
            arm = ("control", "student")[int(rng.integers(2))]
            likely, stay = rng.beta(4, 6), rng.lognormal(3, 0.5)
            for _ in range(1 + rng.poisson(4)):
                clicks = " ".join(
                    f"{rng.lognormal(np.log(stay), 1):.3f}s{'+' if rng.random() < 0.1 else ''}"
                    for _ in range(rng.binomial(2, likely))
                )
                shown.append(
                    (f"u{unit:03}", arm, clicks, "deadline" if rng.random() < 0.02 else "")
                )
        return write_log(*shown)

    return draw
