"""Sums per unit: the rules, and that every engine and every order gives the same ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.platform.lift.page_logs import draw_clicks, draw_pages

from ranklift.lift.flat import read_flat
from ranklift.lift.pages import PageRows
from ranklift.lift.sums import grouped_unit_sums, unit_sums
from ranklift.v1.errors import InvalidRequest

T0 = datetime(2025, 3, 1, tzinfo=UTC)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)


def rows(**columns: Any) -> Any:
    """Return page rows, an hour apart, of these columns."""
    frame = pl.DataFrame(columns)
    times = [T0 + timedelta(hours=n) for n in range(frame.height)]
    return nw.from_native(frame.with_columns(page_time=pl.Series(times)).lazy())


def sums_of(read: PageRows) -> pl.DataFrame:
    return unit_sums(
        read.rows, measures=read.measures, constants=read.constants, segments=read.segments
    )


def test_sums_are_sorted_by_arm_and_unit_and_split_a_unit_in_two_arms() -> None:
    found = unit_sums(
        rows(unit_id=["z", "y", "z", "z"], arm=["b", "b", "a", "b"], clicks=[1, 2, 4, 8]),
        measures=["clicks"],
    )
    assert found.select("arm", "unit_id", "clicks").rows() == [
        ("a", "z", 4),
        ("b", "y", 2),
        ("b", "z", 9),
    ]
    assert found["first_page_time"].to_list() == [T0 + timedelta(hours=n) for n in (2, 1, 0)]
    assert found["last_page_time"].to_list() == [T0 + timedelta(hours=n) for n in (2, 1, 3)]


@pytest.mark.parametrize("how", [unit_sums, grouped_unit_sums])
def test_a_segment_is_the_value_of_the_units_first_page_in_its_arm(how: Any) -> None:
    given = rows(
        unit_id=["a", "a", "b", "b"],
        arm=["x", "x", "x", "y"],
        clicks=[1, 1, 1, 1],
        device=["phone", "desk", None, "desk"],
    )
    found = how(given, measures=["clicks"], segments=["device"])
    assert found["device"].to_list() == ["phone", None, "desk"]


@pytest.mark.parametrize("how", [unit_sums, grouped_unit_sums])
def test_of_first_pages_at_one_instant_the_first_value_by_name_counts(how: Any) -> None:
    given = rows(unit_id=["a"] * 3, arm=["x"] * 3, clicks=[1] * 3, device=["b", "a", None])
    given = given.with_columns(page_time=nw.col("page_time").min())
    found = how(given, measures=["clicks"], segments=["device"])
    assert found["device"].to_list() == ["a"]


def test_without_times_a_segment_must_not_change() -> None:
    given = rows(unit_id=["a", "a"], arm=["x", "x"], clicks=[1, 1], device=["phone", "desk"])
    with pytest.raises(InvalidRequest, match="device: differs between pages of one unit"):
        unit_sums(given.drop("page_time"), measures=["clicks"], segments=["device"])


@pytest.mark.parametrize("how", [unit_sums, grouped_unit_sums])
@pytest.mark.parametrize("before", [[1, 2], [1, None]])
@pytest.mark.parametrize("arms", [["x", "x"], ["x", "y"]])
def test_a_constant_must_not_change(how: Any, before: list[int | None], arms: list[str]) -> None:
    given = rows(unit_id=["a", "a"], arm=arms, clicks=[1, 1], pre_clicks=before)
    with pytest.raises(InvalidRequest, match="pre_clicks: differs between pages of"):
        how(given, measures=["clicks"], constants=["pre_clicks"])


def test_a_unit_without_a_time_before_keeps_its_null() -> None:
    given = rows(unit_id=["a", "b", "b"], arm=["x"] * 3, clicks=[1] * 3, pre_clicks=[None, 3, 3])
    found = unit_sums(given, measures=["clicks"], constants=["pre_clicks"])
    assert found["pre_clicks"].to_list() == [None, 3]


def test_fractions_are_summed_as_they_are() -> None:
    given = rows(unit_id=["a", "a"], arm=["x", "x"], spent=[0.5, 0.25])
    assert unit_sums(given, measures=["spent"])["spent"].to_list() == [0.75]


@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_the_dense_kernel_equals_the_group_by_of_polars_and_duckdb(seed: int) -> None:
    pages = draw_pages(seed)
    clicks = draw_clicks(seed, pages)
    read = read_flat(pages, clicks)
    names: dict[str, Any] = {
        "measures": read.measures,
        "constants": read.constants,
        "segments": read.segments,
    }
    grouped = grouped_unit_sums(read.rows, **names)
    assert_frame_equal(unit_sums(read.rows, **names), grouped)
    pushed = read_flat(duckdb.from_arrow(pages.to_arrow()), duckdb.from_arrow(clicks.to_arrow()))
    assert_frame_equal(sums_of(pushed), grouped)


@few
@given(seed=seeds, order=seeds, part=st.floats(0.1, 1))
def test_the_order_of_rows_and_rows_delivered_twice_change_nothing(
    seed: int, order: int, part: float
) -> None:
    pages = draw_pages(seed)
    clicks = draw_clicks(seed, pages)

    def again(frame: pl.DataFrame) -> pl.DataFrame:
        twice = pl.concat([frame, frame.sample(fraction=part, seed=order)])
        return twice.sample(fraction=1, shuffle=True, seed=order)

    changed = sums_of(read_flat(again(pages), again(clicks)))
    assert_frame_equal(changed, sums_of(read_flat(pages, clicks)))


@few
@given(seed=seeds)
def test_other_names_for_users_rename_the_sums_and_nothing_else(seed: int) -> None:
    pages = draw_pages(seed)
    renamed = pages.with_columns(pl.col("user_id").str.reverse())
    clicks = draw_clicks(seed, pages)
    found = sums_of(read_flat(renamed, clicks)).with_columns(pl.col("unit_id").str.reverse())
    assert_frame_equal(found.sort("arm", "unit_id"), sums_of(read_flat(pages, clicks)))
