"""Logs of others: what their columns come to, whoever holds them, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.platform.lift.page_logs import draw_clicks, draw_pages

from ranklift.lift.flat import read_flat
from ranklift.lift.pages import collect, faults_first, without_faults
from ranklift.lift.sums import unit_sums
from ranklift.v1.errors import InvalidRequest

PAGES = pl.DataFrame(
    {
        "user_id": ["ada", "ada", "bob", "cat"],
        "arm": ["x", "x", "y", "y"],
        "clicked": [True, False, True, True],
        "dwell_seconds": [31.5, None, 2.0, None],
    }
)
INSTANTS = ["2025-03-01T10:00:00Z", "2025-03-01T11:00:00Z", "2025-03-02T00:00:00Z"]


def sums(pages: Any, clicks: Any = None, **given: Any) -> pl.DataFrame:
    read = read_flat(pages, clicks, **given)
    return unit_sums(
        read.rows, measures=read.measures, constants=read.constants, segments=read.segments
    )


def column(frame: pl.DataFrame, name: str) -> list[Any]:
    return frame[name].to_list()


def refused(pages: Any, clicks: Any = None, **given: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        sums(pages, clicks, **given)
    return str(caught.value)


def test_clicked_pages_with_their_dwell_counted_by_hand() -> None:
    found = sums(PAGES)
    assert column(found, "unit_id") == ["ada", "bob", "cat"]
    assert column(found, "pages") == [2, 1, 1]
    assert column(found, "clicked_pages") == [1, 1, 1]
    assert column(found, "abandoned_pages") == [1, 0, 0]
    assert column(found, "dwell_ms") == [31_500, 2_000, 0]
    assert column(found, "dwell_count") == [1, 1, 0]
    assert column(found, "satisfied_clicks") == column(found, "satisfied_pages") == [1, 0, 0]
    assert column(found, "log_dwell")[:2] == [round(1e9 * math.log(s)) for s in (32.5, 3.0)]


def test_a_censored_dwell_satisfies_but_is_not_summed() -> None:
    pages = PAGES.with_columns(dwell_censored=pl.Series([True, None, False, None]))
    found = sums(pages)
    assert column(found, "dwell_ms") == [0, 2_000, 0]
    assert column(found, "dwell_count") == [0, 1, 0]
    assert column(found, "satisfied_clicks") == [1, 0, 0]
    assert column(found, "clicks_with_dwell") == [1, 1, 0]


def test_counted_clicks_share_their_pages_dwell() -> None:
    pages = PAGES.drop("clicked").with_columns(clicks=pl.Series([3, 0, 2, 1]))
    read = read_flat(pages)
    found = sums(pages)
    assert column(found, "clicks") == [3, 2, 1]
    assert column(found, "clicked_pages") == [1, 1, 1]
    assert column(found, "dwell_count") == [3, 2, 0]
    # 31.5 s after three clicks: nobody knows whether one of them satisfied.
    assert not {"satisfied_clicks", "log_dwell"} & set(read.measures)
    assert read.dwells is None


def test_a_log_has_only_the_measures_that_its_columns_support() -> None:
    read = read_flat(PAGES.drop("dwell_seconds"))
    assert read.measures == ("pages", "clicked_pages", "abandoned_pages")
    assert read.dwells is None


def test_dwells_are_kept_click_by_click() -> None:
    dwells = read_flat(PAGES).dwells
    assert dwells is not None
    assert sorted(collect(dwells).rows()) == [
        ("ada", "x", 31_500, False),
        ("bob", "y", 2_000, False),
    ]


def test_latency_is_kept_in_microseconds() -> None:
    found = sums(PAGES.with_columns(latency_ms=pl.Series([1.5, 2.0, 0.0004, 10.0])))
    assert column(found, "latency_us") == [3_500, 0, 10_000]


def test_declared_columns_are_summed_and_absent_ones_passed_over() -> None:
    pages = PAGES.with_columns(bought=pl.Series([1, 2, None, 4]), spent=pl.Series([0.5, 1, 2, 4]))
    found = sums(pages, measures=["bought", "spent", "clicked_pages", "returned"])
    assert column(found, "bought") == [3, 0, 4]
    assert column(found, "spent") == [1.5, 2.0, 4.0]
    assert "returned" not in found.columns


def test_text_categories_and_booleans_can_be_segments() -> None:
    pages = PAGES.with_columns(
        country=pl.Series(["de", "de", "fr", None]),
        device=pl.Series(["phone", "phone", "desk", "desk"], dtype=pl.Categorical),
        known=pl.Series([True, True, False, None]),
        spent=pl.Series([1.0, 2.0, 3.0, 4.0]),
    )
    assert read_flat(pages).segments == ("country", "device", "known")
    found = sums(pages)
    assert column(found, "country") == ["de", "fr", None]
    assert column(found, "device") == ["phone", "desk", "desk"]
    assert column(found, "known") == ["true", "false", None]


def test_units_may_be_numbers_and_need_not_be_users() -> None:
    pages = PAGES.drop("user_id").with_columns(unit_id=pl.Series([7, 7, 5, 6], dtype=pl.UInt8))
    found = sums(pages)
    assert column(found, "unit_id") == [7, 5, 6]
    hashes = PAGES.with_columns(user_id=pl.Series([2**64 - 1] * 2 + [1, 2], dtype=pl.UInt64))
    assert column(sums(hashes), "unit_id") == [str(2**64 - 1), "1", "2"]


@pytest.mark.parametrize("arms", [[0, 0, 1, 1], [False, False, True, True]])
def test_arms_become_text(arms: list[Any]) -> None:
    found = sums(PAGES.with_columns(arm=pl.Series(arms)))
    assert column(found, "arm") == [str(arms[0]).lower(), *[str(arms[2]).lower()] * 2]


def test_times_may_be_instants_or_text() -> None:
    text = PAGES.with_columns(timestamp=pl.Series([*INSTANTS, INSTANTS[-1]]))
    instants = text.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    tokyo = instants.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"))
    naive = instants.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    found = sums(text)
    assert column(found, "first_page_time")[0] == datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert column(found, "last_page_time")[0] == datetime(2025, 3, 1, 11, tzinfo=UTC)
    for other in (instants, tokyo, naive):
        assert_frame_equal(sums(other), found)


def test_a_page_that_is_there_twice_is_one_page() -> None:
    pages = PAGES.with_columns(page_id=pl.Series(["p1", "p2", "p3", "p4"]))
    assert_frame_equal(sums(pl.concat([pages, pages[1:3]])), sums(pages))


def test_a_click_that_is_there_twice_is_one_click_with_the_longest_dwell() -> None:
    pages = PAGES.select("user_id", "arm", page_id=pl.Series([1, 2, 3, 4]))
    clicks = pl.DataFrame(
        {"page_id": [1, 1, 1], "click_id": ["a", "a", "b"], "dwell_seconds": [4.0, 9.0, 1.0]}
    )
    assert column(sums(pages, clicks), "clicks") == [2, 0, 0]
    assert column(sums(pages, clicks), "dwell_ms") == [10_000, 0, 0]
    assert column(sums(pages, clicks.drop("click_id")), "clicks") == [3, 0, 0]


def test_a_table_without_clicks_is_a_log_in_which_nobody_clicked() -> None:
    pages = PAGES.select("user_id", "arm", page_id=pl.Series([1, 2, 3, 4]))
    none = pl.DataFrame(schema={"page_id": pl.Int64, "position": pl.Int64})
    assert column(sums(pages, none), "abandoned_pages") == [2, 1, 1]


def test_all_null_dwell_is_no_dwell() -> None:
    for nulls in (pl.Series([None] * 4), pl.Series([None] * 4, dtype=pl.Float64)):
        found = sums(PAGES.with_columns(dwell_seconds=nulls))
        assert column(found, "dwell_count") == [0, 0, 0]


def from_duckdb(frame: pl.DataFrame) -> Any:
    return duckdb.from_arrow(frame.to_arrow())


ENGINES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "pandas": lambda frame: frame.to_pandas(),
    "pyarrow": lambda frame: frame.to_arrow(),
    "duckdb": from_duckdb,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_log_gives_the_same_sums_whoever_holds_it(engine: str, tmp_path: Path) -> None:
    pages = draw_pages(1).with_columns(pl.col("pre_clicks").cast(pl.Float64))
    clicks = draw_clicks(1, pages)
    pages.write_parquet(tmp_path / "pages.parquet")
    clicks.write_parquet(tmp_path / "clicks.parquet")
    expected = sums(tmp_path / "pages.parquet", str(tmp_path / "clicks.parquet"))
    held = ENGINES[engine]
    assert_frame_equal(sums(held(pages), held(clicks)), expected)
    assert expected["clicks"].sum() == clicks.height


def test_all_measures_need_times_ranks_and_dwells_of_clicks() -> None:
    pages = draw_pages(2)
    read = read_flat(pages, draw_clicks(2, pages))
    assert {"first_satisfied_rr", "last_satisfied_rr", "first_click_ms", "weighted_clicks"} <= set(
        read.measures
    )
    assert read.constants == ("pre_clicks",)
    assert read.segments == ("device", "known")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda p: p.drop("user_id"), "user_id: is missing in the pages"),
        (
            lambda p: p.drop("arm"),
            "arm: is missing in the pages; call what was shown so (found: user_",
        ),
        (lambda p: p.with_columns(unit_id="user_id"), "unit_id: stands beside user_id"),
        (lambda p: p.drop("clicked"), "clicked: is missing, and clicks too"),
        (lambda p: p.with_columns(clicks=1), "clicked: stands beside clicks; keep one"),
        (
            lambda p: p.drop("dwell_seconds").with_columns(dwell_censored=False),
            "dwell_censored: tells nothing without dwell_seconds",
        ),
        (lambda p: p.clear(), "pages: has no rows"),
        (lambda p: p.with_columns(clicked=pl.lit("yes")), "clicked: is String, must hold booleans"),
        (lambda p: p.with_columns(user_id=pl.lit(1.5)), "user_id: is Float64, must hold text or"),
        (lambda p: p.with_columns(pre_clicks=pl.lit("many")), "pre_clicks: is String, must hold"),
        (lambda p: p.with_columns(timestamp=7), "timestamp: is Int32, must hold instants"),
    ],
)
def test_a_table_that_cannot_be_pages_is_refused(
    change: Callable[[pl.DataFrame], pl.DataFrame], complaint: str
) -> None:
    assert complaint in refused(change(PAGES))


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("user_id", ["ada", None, None, "cat"], "user_id: 2 rows without a value"),
        ("user_id", ["ada", "", "bob", "cat"], "user_id: 1 row with empty text"),
        ("arm", ["x", None, "y", "y"], "arm: 1 row without a value"),
        ("clicked", [1, 0, 2, -1], "clicked: 2 rows with something else than booleans or 0 and 1"),
        ("clicked", [1.0, 0.0, 0.5, 1.0], "clicked: 1 row with something else than booleans"),
        ("clicked", [True, None, True, True], "clicked: 1 row without a value"),
        ("dwell_seconds", [-1.0, None, 2.0, 3.0], "dwell_seconds: 1 row with something else"),
        ("dwell_seconds", [1e9 + 1, None, 2.0, 3.0], "dwell_seconds: 1 row with something else"),
        (
            "dwell_seconds",
            [math.inf, None, math.nan, 3.0],
            "dwell_seconds: 2 rows with infinity or NaN",
        ),
        ("dwell_seconds", [1.0, 5.0, 2.0, 3.0], "dwell_seconds: 1 row with a dwell but no click"),
        (
            "dwell_censored",
            [None, False, True, False],
            "dwell_censored: 1 row with null beside a dwell",
        ),
        ("latency_ms", [1.0, None, 2.0, 3.0], "latency_ms: 1 row without a value"),
        ("latency_ms", [1.0, -2.0, 2.0, 3.0], "latency_ms: 1 row with something else than numbers"),
        (
            "timestamp",
            [*INSTANTS, "soon"],
            "timestamp: 1 row without a value; it must hold instants",
        ),
        ("page_id", ["p", "p", "q", "r"], "page_id: 1 row with the id of another page"),
        ("pre_clicks", [1.0, 1.0, math.inf, 2.0], "pre_clicks: 1 row with infinity or NaN"),
        ("spent", [1.0, 1.0, math.nan, 2.0], "spent: 1 row with infinity or NaN"),
    ],
)
def test_values_that_mean_nothing_are_refused(name: str, values: list[Any], complaint: str) -> None:
    pages = PAGES.with_columns(pl.Series(name, values, strict=False))
    assert complaint in refused(pages, measures=["spent"])


def test_counts_below_zero_are_refused() -> None:
    pages = PAGES.drop("clicked", "dwell_seconds").with_columns(clicks=pl.Series([1, -1, 0, 2]))
    assert "clicks: 1 row with something else than whole numbers from 0" in refused(pages)


def test_a_covariate_that_changes_within_a_user_is_refused_with_his_name() -> None:
    pages = PAGES.with_columns(pre_clicks=pl.Series([1, 2, 3, 4]))
    assert "pre_clicks: differs between pages of" in refused(pages)
    assert "ada" in refused(pages)


def test_everything_wrong_is_said_at_once() -> None:
    pages = PAGES.with_columns(arm=pl.lit(None, pl.String), clicked=pl.lit(7))
    assert refused(pages).count(";") >= 3


@pytest.mark.parametrize(
    ("clicks", "complaint"),
    [
        ({"position": [1]}, "page_id: is missing in the clicks"),
        ({"page_id": ["1"]}, "clicks.page_id: is String, in the pages Int64; give both one type"),
        ({"page_id": [1, 8, 9]}, "clicks.page_id: 2 of 3 clicks name pages that the pages lack"),
        (
            {"page_id": [1], "position": [0]},
            "clicks.position: 1 row with something else than whole",
        ),
        ({"page_id": [1], "dwell_seconds": [-1.0]}, "clicks.dwell_seconds: 1 row with something"),
        ({"page_id": [1], "censored": [True]}, "clicks.censored: tells nothing without dwell_sec"),
        ({"page_id": [1], "timestamp": ["later"]}, "clicks.timestamp: 1 row without a value"),
    ],
)
def test_clicks_that_fit_no_page_are_refused(clicks: dict[str, Any], complaint: str) -> None:
    pages = PAGES.select("user_id", "arm", page_id=pl.Series([1, 2, 3, 4]))
    assert complaint in refused(pages, pl.DataFrame(clicks))


def test_with_a_table_of_clicks_the_pages_do_not_tell_them_too() -> None:
    complaint = refused(PAGES, pl.DataFrame({"page_id": [1]}))
    assert "page_id: is missing in the pages; the clicks need it" in complaint
    assert "clicked: is in the pages, but the table of clicks tells it" in complaint


def test_pages_and_clicks_must_be_in_one_engine() -> None:
    pages = PAGES.select("user_id", "arm", page_id=pl.Series([1, 2, 3, 4]))
    complaint = refused(pages, from_duckdb(pl.DataFrame({"page_id": [1]})))
    assert "clicks: are in duckdb, the pages in polars; give both in one engine" in complaint


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    assert "pages: a list is no frame; give a polars, pandas" in refused([1, 2])
    assert "cannot be read as Parquet" in refused(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("user_id,arm\n")
    assert "cannot be read as Parquet" in refused(tmp_path / "text.parquet")


def test_a_pandas_column_of_mixed_types_is_refused() -> None:
    mixed = PAGES.to_pandas().astype({"user_id": object})
    mixed.loc[1, "user_id"] = 5
    assert "pages: cannot be read" in refused(mixed)


def test_text_times_in_a_database_must_be_cast_there() -> None:
    pages = PAGES.with_columns(timestamp=pl.lit("2025-03-01T10:00:00Z"))
    assert "cast it to TIMESTAMP first" in refused(from_duckdb(pages))


def test_pages_without_the_trigger_are_left_out() -> None:
    pages = pl.DataFrame(
        {
            "user_id": ["a", "a", "b"],
            "arm": ["x", "x", "y"],
            "page_id": [1, 2, 3],
            "differs": [True, False, True],
        }
    )
    clicks = pl.DataFrame({"page_id": [1, 2, 2, 3]})
    log = read_flat(pages, clicks, trigger="differs")
    rows = collect(log.rows).sort("unit_id")
    assert rows["unit_id"].to_list() == ["a", "b"]
    assert rows["clicks"].to_list() == [1, 1]
    assert "differs" not in (*log.measures, *log.segments)


@pytest.mark.parametrize(
    ("trigger", "says"),
    [("diffs", '"diffs" is no column of flags'), ("arm", '"arm" is no column of flags')],
)
def test_a_trigger_that_is_no_column_of_flags_is_refused(trigger: str, says: str) -> None:
    pages = pl.DataFrame({"user_id": ["a"], "arm": ["x"], "clicked": [1], "differs": ["maybe"]})
    with pytest.raises(InvalidRequest, match=says):
        read_flat(pages, trigger=trigger)
    with pytest.raises(InvalidRequest, match=r"differs: .*booleans or 0 and 1"):
        read_flat(pages, trigger="differs")


WRONG = PAGES.with_columns(dwell_seconds=pl.Series([31.5, None, 2.0, 2e9]))


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_values_can_be_looked_at_by_whoever_sums_them(engine: str) -> None:
    pages = WRONG if engine == "polars" else duckdb.from_arrow(WRONG.to_arrow())
    read = read_flat(pages, at_once=False)
    rows = collect(read.rows)
    assert sorted(rows.select("unit_id", *read.unchecked).rows()) == [
        ("ada", 0),
        ("ada", 0),
        ("bob", 0),
        ("cat", 1),
    ]
    with (
        pytest.raises(InvalidRequest, match="dwell_seconds: 1 row with something else"),
        faults_first(read),
    ):
        without_faults(read, rows)
    without_faults(read, rows.filter(pl.col("unit_id") != "cat"))


@pytest.mark.parametrize("wrong", [WRONG, PAGES.head(0)], ids=["a value", "no rows"])
def test_an_error_that_wrong_values_led_to_is_not_told(wrong: pl.DataFrame) -> None:
    with (
        pytest.raises(InvalidRequest, match=r"something else|has no rows"),
        faults_first(read_flat(wrong, at_once=False)),
    ):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), faults_first(read_flat(PAGES, at_once=False)):
        raise ZeroDivisionError


def test_pages_that_change_while_they_are_read_give_no_numbers() -> None:
    read = read_flat(PAGES, at_once=False)
    rows = collect(read.rows).with_columns(pl.lit(1).alias(*read.unchecked))
    with pytest.raises(RuntimeError, match="right in the next"), faults_first(read):
        without_faults(read, rows)


def test_values_that_decide_which_rows_there_are_are_looked_at_at_once() -> None:
    with pytest.raises(InvalidRequest, match="dwell_seconds"):
        read_flat(WRONG.with_columns(page_id=pl.Series(["a", "b", "c", "d"])), at_once=False)
