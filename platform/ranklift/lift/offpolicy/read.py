"""Frames become logged pages and a candidate.

A log has one row a page: `unit_id`, `query`, `documents` (a list in shown order) and `clicks` (a
list of counts along it); optionally `impression_id`, `rewards` (a list of numbers along it),
`list_propensity` (a number), `prefix_propensities` and `position_propensities` (lists along it).
Rankings have `query`, or `impression_id` for a ranking of its own for every page, and `documents`;
several rows for one of these need a `probability`.
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from ranklift.lift.offpolicy.pages import (
    CLICKS_PER_PAGE,
    PAGE_CTR,
    LoggedPages,
    Propensities,
    topmost_clicks,
)
from ranklift.lift.offpolicy.policy import NOTHING, Floats, Ints, Policy
from ranklift.v1.errors import InvalidRequest

# Metrics of ranklift.lift.metrics that are a sum over results, and what a result's reward is.
METRICS = (CLICKS_PER_PAGE, PAGE_CTR, "satisfied_click_rate", "dwell_per_page")
SATISFIED_MS = 30_000


def read(
    log: pl.DataFrame, rankings: pl.DataFrame, *, metric: str = CLICKS_PER_PAGE
) -> tuple[LoggedPages, Policy]:
    """Return the pages of `log` and what `rankings` would have shown on them.

    Without a `rewards` column the reward is the clicks; for page_ctr it is whether the page was
    clicked. Without propensities the logger counts as unknown.

    Raises:
        InvalidRequest: a column lacks or does not fit, or a page has no ranking.
    """
    key = "impression_id" if "impression_id" in rankings.columns else "query"
    _check(log, rankings, metric, key)
    log = log.with_row_index("page")
    rankings = _with_contexts(log, rankings, key)
    shown = _ranked(log, "page", ["query"])
    listed = _ranked(rankings, "row", ["query"])
    pair = ["query", "documents"]
    pairs = pl.concat([shown.select(pair), listed.select(pair)]).unique().sort(pair)
    pairs = pairs.with_row_index("pair")
    ranks = int(log["documents"].list.len().max() or 0)  # type: ignore[arg-type]
    pages = log.height
    of_pages = _scatter(shown.join(pairs, on=pair), "page", (pages, ranks))
    of_rows = _scatter(
        listed.filter(pl.col("rank") < ranks).join(pairs, on=pair),
        "row",
        (rankings.height, ranks),
    )
    _check_distinct(shown, "log")
    _check_distinct(listed, "rankings")
    clicks = _along(log, "clicks", ranks)
    rewards = clicks
    if metric == PAGE_CTR:
        rewards = topmost_clicks(clicks)
    elif "rewards" in log.columns:
        rewards = _along(log, "rewards", ranks)
    return LoggedPages(
        metric=metric,
        pairs=pairs.height,
        units=log["unit_id"].rank("dense").to_numpy().astype(np.int64) - 1,
        shown=of_pages,
        clicks=clicks,
        rewards=rewards,
        logger=_propensities(log, ranks, of_pages),
        digest=digest_of(log.drop("page")),
    ), _policy(log, rankings, of_rows, key)


def of_events(
    pages: pl.LazyFrame,
    clicks: pl.LazyFrame,
    dwells: pl.LazyFrame,
    *,
    metric: str = CLICKS_PER_PAGE,
    unit: str = "user_id",
    explored: bool = False,
) -> pl.DataFrame:
    """Return ranklift's own log (docs/architecture.md, "Event frames") as `read` takes it.

    `unit` is "user_id" or "session_id". Without `explored` all pages come, and no propensities: the
    gateway's rankers always answer the same. With it come the pages whose order was explored, those
    that the draw left alone included, with their propensities. Not those that were interleaved too:
    the log does not say how likely their rankings were to meet as they did.
    """
    if metric not in METRICS:
        raise InvalidRequest.of("metric", f'"{metric}" is none of {", ".join(METRICS)}')
    dwell = dwells.group_by("click_event_id").agg(
        pl.col("dwell_ms").max(),
        pl.col("dwell_ms").filter(~pl.col("censored")).max().alias("observed_ms"),
    )
    reward = {
        "satisfied_click_rate": (pl.col("dwell_ms") >= SATISFIED_MS).sum(),
        "dwell_per_page": pl.col("observed_ms").sum() / 1000,
    }.get(metric, pl.len())
    results = (
        clicks.unique("event_id")
        .join(dwell, left_on="event_id", right_on="click_event_id", how="left")
        .group_by("impression_id", pl.col("position").cast(pl.Int64))
        .agg(pl.len().cast(pl.Float64).alias("clicks"), reward.cast(pl.Float64).alias("rewards"))
    )
    shown = (
        pages.unique("impression_id")
        .select("impression_id", pl.col(unit).alias("unit_id"), "query", "documents")
        .filter(pl.col("documents").list.len() > 0)
    )
    if explored:
        chances = _explored(pages)
        shown = shown.join(chances.select("impression_id"), on="impression_id", how="semi")
    log = (
        shown.with_columns(position=pl.int_ranges(1, pl.col("documents").list.len() + 1))
        .explode("documents", "position")
        .join(results, on=["impression_id", "position"], how="left")
        .sort("impression_id", "position")
        .group_by("impression_id", "unit_id", "query", maintain_order=True)
        .agg(
            pl.col("documents"),
            pl.col("clicks").fill_null(0.0),
            pl.col("rewards").fill_null(0.0),
        )
    )
    if explored:
        log = log.join(chances, on="impression_id", how="left", maintain_order="left")
    return log.collect()


def _explored(pages: pl.LazyFrame) -> pl.LazyFrame:
    """Return the propensities of the pages that were explored and nothing else."""
    exploration = pl.col("exploration").struct
    return (
        pages.unique("impression_id")
        .filter(
            exploration.field("method").is_not_null(),
            pl.col("interleaving").struct.field("method").is_null(),
        )
        .select(
            "impression_id",
            list_propensity=exploration.field("list_propensity"),
            position_propensities=exploration.field("position_propensities"),
        )
    )


def digest_of(log: pl.DataFrame) -> str:
    """Return "sha256:<hex>" of the rows of a log, in any order."""
    columns = sorted(log.columns)
    rows = log.select(pl.struct(columns).struct.json_encode().alias("row"))["row"].sort()
    digest = hashlib.sha256("\n".join(columns).encode())
    for row in rows:
        digest.update(b"\n" + row.encode())
    return f"sha256:{digest.hexdigest()}"


def _check(log: pl.DataFrame, rankings: pl.DataFrame, metric: str, key: str) -> None:
    if metric not in METRICS:
        raise InvalidRequest.of("metric", f'"{metric}" is none of {", ".join(METRICS)}')
    needed = {"log": ("unit_id", "query", "documents", "clicks", key), "rankings": ("documents",)}
    for name, frame in (("log", log), ("rankings", rankings)):
        for column in (*needed[name], *((key,) if name == "rankings" else ())):
            if column not in frame.columns:
                raise InvalidRequest.of(name, f'has no column "{column}"; see the documentation')
            if frame[column].null_count():
                raise InvalidRequest.of(
                    name, f'has nulls in column "{column}"; leave such rows out'
                )
        if frame.is_empty():
            raise InvalidRequest.of(name, "has no row; there is nothing to estimate from")
    if metric not in (CLICKS_PER_PAGE, PAGE_CTR) and "rewards" not in log.columns:
        raise InvalidRequest.of("log", f'{metric} needs a column "rewards", a number a result')
    along = ("clicks", "rewards", "prefix_propensities", "position_propensities")
    for column in set(along) & set(log.columns):
        wrong = log.filter(pl.col(column).list.len() != pl.col("documents").list.len()).height
        if wrong:
            raise InvalidRequest.of(
                f"log.{column}", f"is not as long as documents on {wrong} pages; one for each"
            )


def _with_contexts(log: pl.DataFrame, rankings: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return the rankings with `context`, the number of its key, `choice` within it, and `row`."""
    if key == "impression_id":
        rankings = rankings.drop("query", strict=False).join(
            log.select("impression_id", "query"), on=key
        )
    missing = log.join(rankings, on=key, how="anti")
    if missing.height:
        raise InvalidRequest.of(
            "rankings",
            f'have none for {key} "{missing[key][0]}" and so {missing.height} pages in all; '
            "rank them, or leave those pages out",
        )
    if "probability" not in rankings.columns:
        rankings = rankings.with_columns(probability=pl.lit(1.0))
        repeated = rankings.filter(pl.col(key).is_duplicated())
        if repeated.height:
            raise InvalidRequest.of(
                "rankings", f'have several for {key} "{repeated[key][0]}" and no probability'
            )
    return (
        rankings.join(log.select(key).unique(), on=key, how="semi")
        .with_columns(context=pl.col(key).rank("dense") - 1)
        .with_columns(choice=pl.int_range(pl.len()).over("context"))
        .with_row_index("row")
    )


def _ranked(frame: pl.DataFrame, row: str, keep: list[str]) -> pl.DataFrame:
    """Return one row for each listed document with its 0-based `rank`."""
    return (
        frame.select(row, *keep, "documents", rank=pl.int_ranges(pl.col("documents").list.len()))
        .filter(pl.col("documents").list.len() > 0)
        .explode("documents", "rank")
    )


def _check_distinct(ranked: pl.DataFrame, name: str) -> None:
    row = ranked.columns[0]
    again = ranked.filter(pl.struct(row, "documents").is_duplicated())
    if again.height:
        raise InvalidRequest.of(
            name, f'a list shows "{again["documents"][0]}" twice (query "{again["query"][0]}")'
        )


def _scatter(ranked: pl.DataFrame, row: str, shape: tuple[int, int]) -> Ints:
    lists = np.full(shape, NOTHING, dtype=np.int64)
    lists[ranked[row].to_numpy(), ranked["rank"].to_numpy()] = ranked["pair"].to_numpy()
    return lists


def _along(log: pl.DataFrame, column: str, ranks: int) -> Floats:
    """Return a list column as an array, 0 behind the page's end; (pages, ranks)."""
    values = np.zeros((log.height, ranks))
    long = (
        log.select("page", pl.col(column), rank=pl.int_ranges(pl.col(column).list.len()))
        .filter(pl.col(column).list.len() > 0)
        .explode(column, "rank")
    )
    values[long["page"].to_numpy(), long["rank"].to_numpy()] = (
        long[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    )
    return values


def _propensities(log: pl.DataFrame, ranks: int, shown: Ints) -> Propensities | None:
    if "list_propensity" not in log.columns:
        return None
    whole = log["list_propensity"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    prefix, position = (
        np.where(shown == NOTHING, behind, _along(log, column, ranks))
        if column in log.columns
        else None
        for column, behind in (
            ("prefix_propensities", whole[:, None]),
            ("position_propensities", 1.0),
        )
    )
    return Propensities(whole, prefix, position)


def _policy(log: pl.DataFrame, rankings: pl.DataFrame, of_rows: Ints, key: str) -> Policy:
    context, choice = (rankings[name].to_numpy().astype(np.int64) for name in ("context", "choice"))
    shape = (int(context.max()) + 1, int(choice.max()) + 1)
    lists = np.full((*shape, of_rows.shape[1]), NOTHING, dtype=np.int64)
    lists[context, choice] = of_rows
    probabilities = np.zeros(shape)
    probabilities[context, choice] = rankings["probability"].cast(pl.Float64).to_numpy()
    of_key = rankings.select(key, "context").unique()
    pages = log.select("page", key).join(of_key, on=key).sort("page")
    return Policy(lists, probabilities, pages["context"].to_numpy().astype(np.int64))
