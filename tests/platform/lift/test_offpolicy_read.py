"""Frames become pages and a candidate: by hand, from ranklift's own log, and whatever the order."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.lift.offpolicy.estimate import Demands, Estimate, estimate
from ranklift.lift.offpolicy.estimators import ESTIMATORS
from ranklift.lift.offpolicy.pages import Propensities
from ranklift.lift.offpolicy.policy import NOTHING
from ranklift.lift.offpolicy.position_model import fit_position
from ranklift.lift.offpolicy.read import digest_of, of_events, read
from ranklift.v1.errors import InvalidRequest

T0 = datetime(2026, 5, 1, tzinfo=UTC)
LOG = pl.DataFrame(
    {
        "impression_id": ["i1", "i2", "i3"],
        "unit_id": ["u2", "u1", "u2"],
        "query": ["tea", "tea", "cup"],
        "documents": [["a", "b", "c"], ["b", "a"], ["a"]],
        "clicks": [[0, 2, 1], [0, 1], [0]],
    }
)
RANKINGS = pl.DataFrame({"query": ["cup", "tea"], "documents": [["a"], ["c", "a", "b", "z"]]})


def test_a_log_by_hand() -> None:
    pages, target = read(LOG, RANKINGS)
    # Pairs by query, then document: cup/a, tea/a, tea/b, tea/c, tea/z.
    assert pages.pairs == 5
    assert pages.shown.tolist() == [[1, 2, 3], [2, 1, NOTHING], [0, NOTHING, NOTHING]]
    assert pages.clicks.tolist() == [[0, 2, 1], [0, 1, 0], [0, 0, 0]]
    assert pages.rewards.tolist() == pages.clicks.tolist()
    assert pages.units.tolist() == [1, 0, 1]
    assert pages.logger is None
    # The candidate's fourth document has no place on these pages.
    assert target.lists[target.context, 0].tolist() == [
        [3, 1, 2],
        [3, 1, 2],
        [0, NOTHING, NOTHING],
    ]
    assert target.probabilities.tolist() == [[1], [1]]


def test_page_ctr_rewards_the_topmost_click() -> None:
    pages, _ = read(LOG, RANKINGS, metric="page_ctr")
    assert pages.rewards.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_rankings_of_single_pages_and_stochastic_ones() -> None:
    single = pl.DataFrame(
        {
            "impression_id": ["i3", "i1", "i2", "i1"],
            "documents": [["a"], ["a", "b"], ["b", "a"], ["b", "a"]],
            "probability": [1.0, 0.25, 1.0, 0.75],
        }
    )
    _, target = read(LOG, single)
    first = {
        tuple(one): p
        for one, p in zip(
            target.lists[target.context[0]].tolist(),
            target.probabilities[target.context[0]].tolist(),
            strict=True,
        )
    }
    assert first == {(1, 2, NOTHING): 0.25, (2, 1, NOTHING): 0.75}
    assert target.probabilities[target.context[1]].tolist() == [1.0, 0.0]


def test_recorded_propensities_come_along() -> None:
    log = LOG.with_columns(
        list_propensity=pl.Series([0.5, 0.25, 1.0]),
        prefix_propensities=pl.Series([[0.9, 0.6, 0.5], [0.5, 0.25], [1.0]]),
    )
    pages, _ = read(log, RANKINGS)
    assert isinstance(pages.logger, Propensities)
    assert pages.logger.prefix is not None
    assert pages.logger.prefix.tolist() == [[0.9, 0.6, 0.5], [0.5, 0.25, 0.25], [1, 1, 1]]
    assert pages.logger.position is None


def event_frames() -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    pages = pl.DataFrame(
        {
            "impression_id": ["i1", "i2", "i3"],
            "user_id": ["u1", "u1", "u2"],
            "session_id": ["s1", "s2", "s3"],
            "query": ["tea", "tea", "tea"],
            "documents": [["a", "b"], ["b", "a"], []],
        },
        schema_overrides={"documents": pl.List(pl.String)},
    )
    clicks = pl.DataFrame(
        {
            "event_id": ["e1", "e2", "e3", "e3"],
            "impression_id": ["i1", "i1", "i1", "i1"],
            "position": [2, 2, 1, 1],
        },
        schema_overrides={"position": pl.Int32},
    )
    dwells = pl.DataFrame(
        {
            "click_event_id": ["e1", "e2", "e3"],
            "dwell_ms": [40_000, 2_500, 31_000],
            "censored": [False, False, True],
        }
    )
    return pages.lazy(), clicks.lazy(), dwells.lazy()


@pytest.mark.parametrize(
    ("metric", "rewards"),
    [
        ("clicks_per_page", [1.0, 2.0]),
        ("satisfied_click_rate", [1.0, 1.0]),
        ("dwell_per_page", [0.0, 42.5]),
    ],
)
def test_ranklifts_own_log_by_hand(metric: str, rewards: list[float]) -> None:
    """Delivered twice counts once; a censored dwell satisfies but adds no seconds."""
    log = of_events(*event_frames(), metric=metric, unit="session_id")
    assert log.select("impression_id", "unit_id").rows() == [("i1", "s1"), ("i2", "s2")]
    assert log["documents"].to_list() == [["a", "b"], ["b", "a"]]
    assert log["clicks"].to_list() == [[1.0, 2.0], [0.0, 0.0]]
    assert log["rewards"].to_list() == [rewards, [0.0, 0.0]]
    pages, _ = read(log, pl.DataFrame({"query": ["tea"], "documents": [["a", "b"]]}), metric=metric)
    assert pages.rewards.tolist() == [rewards, [0, 0]]


def random_log(seed: int, users: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for page in range(users * 5):
        order = [f"d{i}" for i in rng.permutation(6)[:4]]
        likely = np.array([1, 0.6, 0.4, 0.3]) * [0.1 + 0.1 * int(d[1]) for d in order]
        rows.append(
            {
                "impression_id": f"i{page}",
                "unit_id": f"u{rng.integers(users):03}",
                "query": f"q{rng.integers(3)}",
                "documents": order,
                "clicks": (rng.random(4) < likely).astype(int).tolist(),
            }
        )
    return pl.DataFrame(rows)


BEST_FIRST = pl.DataFrame(
    {"query": ["q0", "q1", "q2"], "documents": [["d5", "d4", "d3", "d2"]] * 3}
)


def forecast(log: pl.DataFrame, rankings: pl.DataFrame = BEST_FIRST) -> Estimate:
    pages, target = read(log, rankings)
    found = estimate(
        ESTIMATORS["position_based_doubly_robust"],
        pages,
        target,
        fit=lambda pages: fit_position(pages, (1, 0.6, 0.4, 0.3)),
        demands=Demands(2, 0),
    )
    assert isinstance(found, Estimate)
    return found


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_means_nothing(seed: int) -> None:
    log = random_log(1)
    before, after = forecast(log), forecast(log.sample(fraction=1, shuffle=True, seed=seed))
    assert after.digest == before.digest
    assert after.value == pytest.approx(before.value, rel=1e-12)
    assert after.standard_error == pytest.approx(before.standard_error, rel=1e-9)


def test_other_names_for_documents_and_queries_mean_nothing() -> None:
    log, rankings = random_log(2), BEST_FIRST
    renamed = [
        frame.with_columns(
            pl.col("query").str.replace("q", "Z"),
            pl.col("documents").list.eval(pl.lit("9") + pl.element().str.reverse()),
        )
        for frame in (log, rankings)
    ]
    before, after = forecast(log, rankings), forecast(*renamed)
    assert after.relative_lift == pytest.approx(before.relative_lift, rel=1e-9)
    assert after.digest != before.digest


def test_the_digest_knows_every_value() -> None:
    log = random_log(3)
    assert digest_of(log) == digest_of(log.select(sorted(log.columns)).reverse())
    for column, value in (("clicks", [9, 0, 0, 0]), ("unit_id", "u999"), ("query", "q")):
        seventh = pl.when(pl.col("impression_id") == "i7").then(pl.lit(value))
        other = log.with_columns(seventh.otherwise(column).alias(column))
        assert digest_of(other) != digest_of(log)
    assert digest_of(log.head(-1)) != digest_of(log)


@pytest.mark.parametrize(
    ("log", "rankings", "says"),
    [
        (LOG.drop("clicks"), RANKINGS, 'log: has no column "clicks"'),
        (LOG, RANKINGS.drop("documents"), 'rankings: has no column "documents"'),
        (LOG.clear(), RANKINGS, "log: has no row"),
        (LOG.with_columns(unit_id=pl.lit(None, pl.String)), RANKINGS, 'nulls in column "unit_id"'),
        (LOG, RANKINGS.head(1), 'rankings: have none for query "tea" and so 2 pages in all'),
        (LOG, pl.concat([RANKINGS, RANKINGS]), "have several for query"),
        (
            LOG.with_columns(clicks=pl.lit([1, 0])),
            RANKINGS,
            "log.clicks: is not as long as documents on 2 pages",
        ),
        (
            LOG,
            RANKINGS.with_columns(documents=pl.lit(["a", "a"])),
            'rankings: a list shows "a" twice',
        ),
        (
            LOG.with_columns(list_propensity=pl.lit(0.0)),
            RANKINGS,
            "logger.whole: page 0 has a propensity outside",
        ),
        (LOG.with_columns(list_propensity=None), RANKINGS, "logger.whole: page 0"),
        (
            LOG,
            RANKINGS.with_columns(probability=pl.lit(0.5)),
            "must be at least 0 and sum to 1",
        ),
    ],
)
def test_frames_that_do_not_fit_are_named(
    log: pl.DataFrame, rankings: pl.DataFrame, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read(log, rankings)


def test_unknown_metrics_and_missing_rewards_are_named() -> None:
    with pytest.raises(InvalidRequest, match='metric: "dcg" is none of clicks_per_page'):
        read(LOG, RANKINGS, metric="dcg")
    with pytest.raises(InvalidRequest, match='needs a column "rewards"'):
        read(LOG, RANKINGS, metric="dwell_per_page")
    with pytest.raises(InvalidRequest, match='metric: "dcg"'):
        of_events(*event_frames(), metric="dcg")
