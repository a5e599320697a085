"""How the shadows of a registered experiment compare with what was served, from the event log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from ranklift.store.values import RegisteredExperiment

QUANTILES = (0.05, 0.5, 0.95)
LATENCIES = (0.5, 0.95, 0.99)


class ShadowTables(Protocol):
    """The event log as frames; the schemas are in docs/architecture.md, "Event frames"."""

    @property
    def pages(self) -> pl.LazyFrame: ...
    @property
    def shadows(self) -> pl.LazyFrame: ...


@dataclass(frozen=True, slots=True)
class ShadowSummary:
    """A shadow of an arm ("model@version") against the pages that the arm's users saw.

    `pages` were scored, `errors` more were not. `rank_correlation` is the mean of Kendall's tau-b,
    `top_agreement` the part of the pages on which both put the same document first; None without
    pages that tell. `score_differences` are the `QUANTILES` over documents of the shadow's score
    minus the one served, over pages whose places keep the ranker's own scores; None without any.
    `latencies_ms` and `served_latencies_ms`, what users waited for on the same pages, are the
    `LATENCIES` quantiles; they include the network, and a shadow waits for nobody.
    """

    arm: str
    model: str
    pages: int
    errors: int
    rank_correlation: float | None
    top_agreement: float | None
    score_differences: tuple[float, ...] | None
    latencies_ms: tuple[float, ...] | None
    served_latencies_ms: tuple[float, ...] | None


def shadow_summaries(
    registered: RegisteredExperiment,
    events: ShadowTables,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[ShadowSummary, ...]:
    """Return a summary of each shadow of each arm, over the pages shown in [start, end)."""
    experiment = registered.experiment
    if not any(arm.shadows for arm in experiment.arms):
        return ()
    scored = _scored(events, experiment.name, start, end)
    return tuple(
        _summary(
            arm.name,
            str(model),
            scored.filter(
                pl.col("arm") == arm.name,
                pl.col("model") == model.model,
                pl.col("version") == model.version,
            ),
        )
        for arm in experiment.arms
        for model in arm.shadows
    )


def _scored(
    events: ShadowTables, experiment: str, start: datetime | None, end: datetime | None
) -> pl.DataFrame:
    """Return one row a page and shadow."""
    assignment = pl.col("assignments").struct
    pages = events.pages
    if start is not None:
        pages = pages.filter(pl.col("page_time") >= start)
    if end is not None:
        pages = pages.filter(pl.col("page_time") < end)
    own = (
        pl.col("interleaving").struct.field("method").is_null()
        & pl.col("exploration").struct.field("method").is_null()
    )
    shown = (
        pages.select(
            "impression_id",
            "assignments",
            served_scores="scores",
            served_ms="latency_ms",
            own=own,
        )
        .explode("assignments")
        .filter(assignment.field("experiment") == experiment)
        .with_columns(arm=assignment.field("arm"))
        .drop("assignments")
    )
    return events.shadows.join(shown, on="impression_id").collect()


def _summary(arm: str, model: str, rows: pl.DataFrame) -> ShadowSummary:
    answered = rows.filter(pl.col("error") == "")
    ranked = answered.filter(pl.col("scores").list.len() > 0)
    documents = (
        ranked.filter("own")
        .select("scores", "served_scores")
        .explode("scores", "served_scores")
        .select(pl.col("scores") - pl.col("served_scores"))
        .to_series()
    )
    first = ranked["scores"].list.arg_max() == 0
    return ShadowSummary(
        arm=arm,
        model=model,
        pages=answered.height,
        errors=rows.height - answered.height,
        rank_correlation=_mean(answered["rank_correlation"]),
        top_agreement=_mean(first.cast(pl.Float64)),
        score_differences=_quantiles(documents, QUANTILES),
        latencies_ms=_quantiles(answered["latency_ms"], LATENCIES),
        served_latencies_ms=_quantiles(answered["served_ms"], LATENCIES),
    )


def _mean(values: pl.Series) -> float | None:
    found = values.mean()
    return found if isinstance(found, float) else None


def _quantiles(values: pl.Series, at: tuple[float, ...]) -> tuple[float, ...] | None:
    if values.is_empty():
        return None
    return tuple(float(values.quantile(q, "linear") or 0.0) for q in at)
