"""A tally that grows page by page must be the one that is counted at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.lift.dense import dense_unit_sums
from ranklift.lift.moments import Moments
from ranklift.lift.tally import Tally, UnitColumns
from ranklift.lift.tally_file import ABOUT, UnreadableTally
from ranklift.lift.unit_layout import Layout
from ranklift.v1.errors import InvalidRequest

START = datetime(2025, 3, 1, tzinfo=UTC)
MEASURES = ("pages", "clicks", "dwell_ms")
SCHEMA: dict[str, Any] = {
    "unit_id": pl.String(),
    "arm": pl.String(),
    "page_time": pl.Datetime("us", "UTC"),
    "pages": pl.Int8(),
    "clicks": pl.Int64(),
    "dwell_ms": pl.Int64(),
    "pre_pages": pl.Int64(),
    "device": pl.String(),
}
LAYOUT = Layout(SCHEMA, MEASURES, ("pre_pages",), ("device",))
COLUMNS = UnitColumns(
    ("pages", "dwell_ms", "any(clicks)", "clicks/pages", "no_pre_period"),
    lambda units: units.with_columns(
        (pl.col("clicks") > 0).alias("any(clicks)"),
        (pl.col("clicks") / pl.col("pages")).alias("clicks/pages"),
        pl.col("pre_pages").is_null().alias("no_pre_period"),
    ),
)
# A page: unit, arm, minute, whether the arm served it, clicks, milliseconds of dwell.
Page = tuple[int, int, int, bool, int, int]
page = st.tuples(
    st.integers(0, 12),
    st.integers(0, 19),
    st.integers(0, 90),
    st.integers(0, 9).map(bool),
    st.integers(0, 3),
    st.integers(0, 3_600_000),
)


def rows_of(pages: Sequence[Page], *, crossed: bool = False) -> pl.DataFrame:
    """Return page rows; if crossed, one page in twenty is in the arm that is not the unit's."""
    return pl.DataFrame(
        [
            {
                "unit_id": f"u{unit}",
                "arm": ("control", "student")[(unit + (crossed and turn == 0)) % 2],
                "page_time": START + timedelta(minutes=minute),
                "pages": int(served),
                "clicks": clicks if served else 0,
                "dwell_ms": dwell if served and clicks else 0,
                "pre_pages": None if unit % 3 == 0 else unit,
                "device": ("phone", "desk")[minute % 2],
            }
            for unit, turn, minute, served, clicks, dwell in pages
        ],
        schema=SCHEMA,
    )


def tally_of(*batches: pl.DataFrame) -> Tally:
    tally = Tally(LAYOUT, COLUMNS)
    for batch in batches:
        tally.add(batch)
    return tally


def assert_is_count_of(tally: Tally, rows: pl.DataFrame) -> None:
    """Hold a tally against sums and moments that are made of all rows at once."""
    units = dense_unit_sums(
        rows.lazy(), measures=MEASURES, constants=("pre_pages",), segments=("device",)
    )
    assert tally.units().equals(units)
    counted = units.filter(~pl.col("unit_id").is_duplicated() & (pl.col("pages") > 0))
    for arm in ("control", "student"):
        expected = Moments.of(COLUMNS.names, COLUMNS.of(counted.filter(pl.col("arm") == arm)))
        assert_same_moments(tally.moments(arm), expected)


def assert_same_moments(found: Moments, expected: Moments) -> None:
    assert found.columns == expected.columns
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
    # A co-moment is as exact as the sums of squares of its two columns.
    scale = np.sqrt(np.outer(np.diag(expected.m2), np.diag(expected.m2)))
    assert (np.abs(found.m2 - expected.m2) <= 1e-12 * scale + 1e-15).all()


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(page, max_size=40), min_size=1, max_size=6))
def test_adding_batches_is_counting_all_pages_at_once(batches: list[list[Page]]) -> None:
    parts = [rows_of(pages) for pages in batches]
    assert_is_count_of(tally_of(*parts), pl.concat(parts))


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(page, max_size=40), min_size=1, max_size=6))
def test_it_holds_when_units_appear_in_two_arms(batches: list[list[Page]]) -> None:
    parts = [rows_of(pages, crossed=True) for pages in batches]
    assert_is_count_of(tally_of(*parts), pl.concat(parts))


def test_a_unit_in_a_second_arm_leaves_the_moments_of_both() -> None:
    tally = tally_of(rows_of([(0, 1, 0, True, 1, 500), (2, 1, 0, True, 0, 0)]))
    assert tally.moments("control").count == 2
    tally.add(rows_of([(0, 0, 1, True, 0, 0), (1, 1, 1, True, 0, 0)], crossed=True))
    assert tally.moments("control").count == 1
    assert tally.moments("student").count == 1
    assert tally.moments("student").mean_of("pages") == 1
    assert tally.units()["unit_id"].to_list() == ["u0", "u2", "u0", "u1"]


def test_a_unit_with_only_fallback_pages_is_in_no_moments_until_it_is_served() -> None:
    tally = tally_of(rows_of([(0, 1, 0, False, 0, 0)]))
    assert tally.moments("control").count == 0
    tally.add(rows_of([(0, 1, 5, True, 2, 700)]))
    assert tally.moments("control").count == 1
    assert tally.moments("control").mean_of("clicks/pages") == 2


def test_an_unknown_arm_has_the_moments_of_no_units() -> None:
    assert tally_of(rows_of([(0, 1, 0, True, 0, 0)])).moments("nobody").count == 0


@settings(max_examples=60, deadline=None)
@given(pages=st.lists(page, min_size=1, max_size=40), data=st.data())
def test_replacing_pages_is_counting_the_new_ones_only(pages: list[Page], data: Any) -> None:
    rows = rows_of(pages, crossed=True)
    at = data.draw(st.lists(st.integers(0, len(pages) - 1), unique=True))
    old = rows[at]
    late = old.with_columns(pl.col("clicks") + 1, pl.col("dwell_ms") // 2)
    tally = tally_of(rows)
    tally.replace(old, late)
    kept = rows[[row for row in range(len(pages)) if row not in at]]
    assert_is_count_of(tally, pl.concat([kept, late]))


def test_pages_that_were_never_added_cannot_be_replaced() -> None:
    tally = tally_of(rows_of([(0, 1, 0, True, 1, 500)]))
    stranger = rows_of([(4, 1, 0, True, 1, 500)])
    with pytest.raises(InvalidRequest, match='"u4" has no pages in the arm "control"'):
        tally.replace(stranger, stranger)
    # Nothing is kept of it, not even its constant.
    tally.add(stranger.with_columns(pre_pages=pl.lit(99, pl.Int64)))
    assert tally.units()["pre_pages"].to_list() == [None, 99]


def test_a_replaced_page_stays_the_same_page() -> None:
    old = rows_of([(0, 1, 0, True, 1, 500)])
    tally = tally_of(old)
    with pytest.raises(InvalidRequest, match="page_time: differs between the old and the new"):
        tally.replace(old, old.with_columns(pl.col("page_time") + timedelta(minutes=1)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.col("unit_id").str.len_bytes(), "unit_id: has the type UInt32, must be String as"),
        (pl.lit(None, pl.String).alias("arm"), "arm: is null on 1 pages"),
        (pl.lit("many").alias("clicks"), "clicks: has the type String, must be Int64 as before"),
        (pl.lit(0.5).alias("clicks"), "clicks: has values that are no whole numbers"),
        (pl.lit(1.0).alias("pre_pages"), "pre_pages: has the type Float64, must be Int64"),
    ],
)
def test_rows_unlike_those_before_are_refused(change: pl.Expr, said: str) -> None:
    rows = rows_of([(0, 1, 0, True, 1, 500)])
    tally = tally_of(rows)
    with pytest.raises(InvalidRequest, match=said):
        tally.add(rows.with_columns(change))
    with pytest.raises(InvalidRequest, match=said):
        tally.replace(rows.with_columns(change), rows.with_columns(change))
    with pytest.raises(InvalidRequest, match="device: no such column; there are unit_id, arm"):
        tally.add(rows.drop("device"))
    assert_is_count_of(tally, rows)


def test_a_refused_batch_changes_nothing() -> None:
    good = rows_of([(0, 1, 0, True, 1, 500), (1, 1, 0, True, 0, 0), (2, 1, 3, True, 0, 0)])
    tally = tally_of(good)
    bad = rows_of([(5, 1, 0, True, 1, 500), (1, 1, 9, True, 0, 0)])
    bad[1, "pre_pages"] = 40
    with pytest.raises(InvalidRequest, match='pre_pages: differs between pages of unit "u1"'):
        tally.add(bad)
    assert_is_count_of(tally, good)
    more = rows_of([(5, 1, 0, True, 1, 500)])
    tally.add(more)
    assert_is_count_of(tally, pl.concat([good, more]))


def test_moments_stay_exact_when_a_huge_unit_shrinks_again() -> None:
    # 1e14 in one unit's dwell takes all digits of what the others add to the sum of squares.
    pages = [(unit, 1, 0, True, 1, 1_000 + unit) for unit in range(13)]
    rows = rows_of(pages)
    tally = tally_of(rows)
    huge = rows.head(1).with_columns(dwell_ms=pl.lit(10**14))
    tally.replace(rows.head(1), huge)
    tally.replace(huge, rows.head(1))
    assert_is_count_of(tally, rows)


def test_rounding_does_not_add_up_over_many_refreshes() -> None:
    rng = np.random.default_rng(8)

    def draw() -> pl.DataFrame:
        drawn = rng.integers(0, [13, 20, 91, 10, 4, 3_600_000], (30, 6)).tolist()
        return rows_of([(*page[:3], bool(page[3]), *page[4:]) for page in drawn])

    parts = [draw() for _ in range(300)]
    assert_is_count_of(tally_of(*parts), pl.concat(parts))


@settings(max_examples=20, deadline=None)
@given(first=st.lists(page, max_size=40), second=st.lists(page, max_size=40))
def test_a_saved_tally_goes_on_where_it_was(
    tmp_path_factory: pytest.TempPathFactory, first: list[Page], second: list[Page]
) -> None:
    path = tmp_path_factory.mktemp("tally") / "tally.arrow"
    parts = [rows_of(pages, crossed=True) for pages in (first, second)]
    tally_of(parts[0]).save(path)
    loaded = Tally.load(path, COLUMNS)
    assert_is_count_of(loaded, parts[0])
    loaded.add(parts[1])
    assert_is_count_of(loaded, pl.concat(parts))


def test_a_tally_without_times_is_saved_too(tmp_path: Path) -> None:
    rows = rows_of([(0, 1, 0, True, 1, 500), (1, 1, 2, True, 0, 0)]).drop("page_time")
    tally = Tally(Layout(dict(rows.schema), MEASURES), COLUMNS_WITHOUT_PRE)
    tally.add(rows)
    tally.save(tmp_path / "tally.arrow")
    loaded = Tally.load(tmp_path / "tally.arrow", COLUMNS_WITHOUT_PRE)
    assert loaded.units().equals(tally.units())


COLUMNS_WITHOUT_PRE = UnitColumns(("dwell_ms",), lambda units: units)


def test_the_moments_of_one_column_leave_the_sums_alone() -> None:
    # One column of floats needs no copying on its way out of a frame.
    columns = UnitColumns(("rate",), lambda units: units.with_columns(rate=pl.col("pre_rate")))
    rows = pl.DataFrame(
        {"unit_id": ["a", "b", "c"], "arm": "x", "pages": 1, "pre_rate": [0.5, 1.5, 4.0]}
    )
    tally = Tally(Layout(dict(rows.schema), ("pages",), ("pre_rate",)), columns)
    for part in (rows[:1], rows[1:], rows):
        tally.add(part)
    assert tally.units()["pre_rate"].to_list() == [0.5, 1.5, 4.0]
    assert tally.moments("x").mean.tolist() == [2.0]
    assert tally.moments("x").m2.tolist() == [[6.5]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tally.arrow"
    tally_of(rows_of([(unit, 1, unit, True, 1, 500 * unit) for unit in range(13)])).save(path)
    return path


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_torn_file_is_refused(saved: Path, part: float) -> None:
    saved.write_bytes(saved.read_bytes()[: int(part * saved.stat().st_size)])
    with pytest.raises(UnreadableTally, match=r"tally.arrow is damaged .*; delete it, and it is"):
        Tally.load(saved, COLUMNS)


@pytest.mark.parametrize(
    ("value", "changed"),
    [((500 * 12).to_bytes(8, "little"), (501 * 12).to_bytes(8, "little")), (b"u11", b"u17")],
    ids=["an amount", "a unit"],
)
def test_a_file_with_a_changed_value_is_refused(saved: Path, value: bytes, changed: bytes) -> None:
    content = saved.read_bytes()
    assert content.count(value) == 1
    saved.write_bytes(content.replace(value, changed))
    with pytest.raises(UnreadableTally, match="its sums are not those that were written"):
        Tally.load(saved, COLUMNS)


def test_a_file_of_another_version_is_refused(saved: Path) -> None:
    about = '{"format": "ranklift.tally/9"}'
    units = pl.read_ipc(saved).with_columns(pl.lit(about, pl.Enum([about])).alias(ABOUT))
    units.write_ipc(saved)
    with pytest.raises(UnreadableTally, match=r"format ranklift.tally/9, this version reads"):
        Tally.load(saved, COLUMNS)


def test_another_arrow_file_is_no_tally(saved: Path) -> None:
    pl.DataFrame({"unit_id": ["u"], "arm": ["a"]}).write_ipc(saved)
    with pytest.raises(UnreadableTally, match="is damaged or no tally"):
        Tally.load(saved, COLUMNS)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tally.load(tmp_path / "tally.arrow", COLUMNS)


def test_a_failed_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(frame: pl.DataFrame, file: Any) -> None:
        file.write(b"ARROW1")
        raise OSError("no space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_ipc", full)
    with pytest.raises(OSError, match="no space"):
        tally_of(rows_of([(0, 1, 0, True, 1, 1)])).save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["tally.arrow"]
