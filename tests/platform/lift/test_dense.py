"""The dense path must be the group-by that it replaces, for any log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.lift import dense
from ranklift.lift.dense import dense_unit_sums
from ranklift.lift.unit_index import TABLE_LIMIT, Codes
from ranklift.v1.errors import InvalidRequest

MEASURES = ("pages", "dwell_ms")
START = datetime(2025, 3, 1, tzinfo=UTC)
UNIT_IDS: dict[str, Callable[[int], Any]] = {
    "small numbers": lambda unit: unit,
    "negative numbers": lambda unit: unit - 3,
    "sparse numbers": lambda unit: unit * (2**50 + 1),
    "text": lambda unit: f"user {unit}",
}
ARMS: dict[str, Callable[[int], Any]] = {
    "text": lambda arm: ("control", "b", "a")[arm],
    "numbers": lambda arm: arm,
    "booleans": lambda arm: arm == 1,
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "BATCH_ROWS", 7)


def grouped(rows: pl.DataFrame, *, timed: bool = True) -> pl.DataFrame:
    """The same by polars: an independent implementation."""
    first = pl.col("page_time") == pl.col("page_time").min()
    times = [
        pl.col("page_time").min().alias("first_page_time"),
        pl.col("page_time").max().alias("last_page_time"),
    ]
    return (
        rows.group_by("unit_id", "arm")
        .agg(
            *(pl.col(name).cast(pl.Int64).sum() for name in MEASURES),
            pl.col("pre_pages").first(),
            pl.col("pre_rate").first(),
            pl.col("device").filter(first).min() if timed else pl.col("device").first(),
            *(times if timed else ()),
        )
        .sort("arm", "unit_id")
    )


def logs(crossed: bool) -> st.SearchStrategy[pl.DataFrame]:
    """Logs of up to nine units; some with pages in several arms, some without a pre-period."""
    page = st.tuples(
        st.integers(0, 8),  # unit
        st.integers(0, 2),  # arm
        st.integers(0, 5),  # minute
        st.booleans(),
        st.one_of(st.none(), st.integers(-5, 2**40)),
        st.sampled_from(["phone", "desk", "tv", None]),
    )

    def build(pages: list[Any], unit_id: str, arm: str) -> pl.DataFrame:
        data = [
            {
                "unit_id": UNIT_IDS[unit_id](unit),
                "arm": ARMS[arm](arm_ if crossed else unit % 3),
                "page_time": START + timedelta(minutes=minute),
                "pages": served,
                "dwell_ms": dwell,
                "pre_pages": None if unit % 3 == 0 else unit,
                "pre_rate": None if unit % 4 == 0 else unit / 7 - 0.5,
                "device": device,
            }
            for unit, arm_, minute, served, dwell, device in pages
        ]
        types: Any = {
            "pre_pages": pl.Int16,
            "pre_rate": pl.Float64,
            "device": pl.String,
            "dwell_ms": pl.Int64,
        }
        return pl.DataFrame(data, schema_overrides=types)

    return st.builds(
        build,
        st.lists(page, min_size=1, max_size=60),
        st.sampled_from(sorted(UNIT_IDS)),
        st.sampled_from(sorted(ARMS)),
    )


def summed(rows: pl.DataFrame | pl.LazyFrame, **changed: Any) -> pl.DataFrame:
    asked: dict[str, Any] = {
        "measures": MEASURES,
        "constants": ("pre_pages", "pre_rate"),
        "segments": ("device",),
    }
    return dense_unit_sums(rows.lazy(), **(asked | changed))


@settings(max_examples=80, deadline=None)
@given(rows=logs(crossed=False))
def test_the_sums_are_those_of_a_group_by(rows: pl.DataFrame) -> None:
    assert summed(rows).equals(grouped(rows))


@settings(max_examples=80, deadline=None)
@given(rows=logs(crossed=True))
def test_a_unit_in_several_arms_has_a_row_in_each(rows: pl.DataFrame) -> None:
    assert summed(rows).equals(grouped(rows))


@settings(max_examples=30, deadline=None)
@given(rows=logs(crossed=True), seed=st.integers(0, 9))
def test_the_order_of_pages_changes_nothing(rows: pl.DataFrame, seed: int) -> None:
    assert summed(rows.sample(fraction=1.0, shuffle=True, seed=seed)).equals(summed(rows))


def some_rows(units: int = 40, pages: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    unit = rng.integers(0, units, pages)
    return pl.DataFrame(
        {
            "unit_id": [f"u{u}" for u in unit],
            "arm": [("control", "student")[u % 2] for u in unit],
            "page_time": [START + timedelta(seconds=int(s)) for s in rng.integers(0, 10**6, pages)],
            "pages": 1,
            "dwell_ms": rng.integers(0, 10**7, pages),
            "pre_pages": unit // 3,
            "pre_rate": unit / 9,
            "device": [("phone", "desk")[u % 2] for u in unit],
        }
    )


def test_scans_and_queries_give_what_frames_in_memory_give(tmp_path: Path) -> None:
    rows = some_rows()
    rows.write_parquet(tmp_path / "pages.parquet", row_group_size=50)
    scan = pl.scan_parquet(tmp_path / "pages.parquet")
    assert summed(scan).equals(grouped(rows))
    joined = scan.join(scan.select("unit_id").unique(), on="unit_id").filter(pl.col("dwell_ms") > 9)
    assert summed(joined).equals(grouped(joined.collect()))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["student", "control"])])
def test_arms_keep_their_type_and_its_order(dtype: Any) -> None:
    rows = some_rows().with_columns(pl.col("arm").cast(dtype))
    units = summed(rows)
    assert units.equals(grouped(rows))
    assert units["arm"].dtype == dtype


def test_without_times_segments_are_constants() -> None:
    rows = some_rows().drop("page_time")
    assert summed(rows).equals(grouped(rows, timed=False))
    rows[200, "device"] = "tv"
    with pytest.raises(InvalidRequest, match=r'device: differs .* unit "u\d+"'):
        summed(rows)


@pytest.mark.parametrize("column", ["pre_pages", "pre_rate"])
@pytest.mark.parametrize("value", [77, None])
def test_a_constant_that_varies_names_the_unit_and_the_column(
    column: str, value: int | None
) -> None:
    rows = some_rows()
    last = rows.height - 1  # batches after the unit's first page
    rows[last, column] = value
    unit = rows["unit_id"][last]
    with pytest.raises(InvalidRequest, match=f'{column}: differs between pages of unit "{unit}"'):
        summed(rows)


def test_minus_zero_is_zero() -> None:
    rows = some_rows().with_columns(pre_rate=pl.Series([0.0, -0.0]).gather([0, 1] * 150))
    assert summed(rows)["pre_rate"].to_list() == [0.0] * 40


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("unit_id", pl.Series(["a", None]), "unit_id: is null on 1 pages"),
        ("unit_id", pl.Series([1.5, 2.0]), "unit_id: has the type Float64, must be text"),
        ("arm", pl.Series(["a", None]), "arm: is null on 1 pages"),
        ("page_time", pl.Series([START, None]), "page_time: is null on 1 pages"),
        ("page_time", pl.Series(["1 March", ""]), "page_time: has the type String"),
        ("dwell_ms", pl.Series([1.0, float("nan")]), "dwell_ms: has values that are not finite"),
        ("dwell_ms", pl.Series([1.0, float("inf")]), "dwell_ms: has values that are not finite"),
        ("dwell_ms", pl.Series([1.0, 0.5]), "dwell_ms: .* no whole numbers"),
        ("dwell_ms", pl.Series([1.0, 2.0**54]), "dwell_ms: .* no whole numbers"),
        ("dwell_ms", pl.Series(["1", "2"]), "dwell_ms: has the type String, must be a number"),
        ("dwell_ms", pl.Series([0, 2**63], dtype=pl.UInt64), r"dwell_ms: has values of 2\^63"),
        ("dwell_ms", pl.Series([2**62, 2**62]), r"dwell_ms: sums pass 2\^63"),
        ("pre_rate", pl.Series([1.0, float("nan")]), "pre_rate: has values that are not finite"),
        ("pre_pages", pl.Series([-(2**63), 0]), "pre_pages: has the value -9223372036854775808"),
        ("device", pl.Series([0.5, 1.0]), "device: has the type Float64"),
    ],
)
def test_what_cannot_be_summed_is_refused_in_one_line(
    column: str, values: pl.Series, said: str
) -> None:
    rows = some_rows(pages=2).with_columns(values.alias(column))
    with pytest.raises(InvalidRequest, match=said) as refused:
        summed(rows)
    assert "\n" not in str(refused.value)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidRequest, match="dwell_ms: no such column; there are unit_id, arm"):
        summed(some_rows().drop("dwell_ms"))


def test_no_pages_have_no_units() -> None:
    units = summed(some_rows().head(0))
    assert units.height == 0
    assert units.columns == summed(some_rows()).columns


@pytest.mark.parametrize("amount", [2**28, 2**52 + 1])  # 7 of the first, a batch, have 31 bits
def test_sums_are_exact_far_beyond_32_bits(amount: int) -> None:
    rows = some_rows(units=2).with_columns(dwell_ms=pl.lit(amount))
    assert summed(rows).equals(grouped(rows))


def test_large_amounts_with_small_sums_are_no_overflow() -> None:
    # The bound on a sum, rows times the largest amount, passes 2^63; the sums do not.
    rows = some_rows(pages=40).with_columns(
        dwell_ms=pl.Series([2**59, -(2**59)] * 20), unit_id=pl.lit("u"), arm=pl.lit("a")
    )
    rows = rows.with_columns(pre_pages=1, pre_rate=0.5)
    assert summed(rows, segments=())["dwell_ms"].to_list() == [0]


@pytest.mark.parametrize("same", [0, 100, 299, 300])
@pytest.mark.parametrize("amount", [1, 2**28])
def test_measures_are_alike_only_as_long_as_their_amounts_are(same: int, amount: int) -> None:
    rows = (
        some_rows()
        .with_row_index("page")
        .with_columns(
            arm=pl.when(pl.col("page") % 10 == 0).then(pl.lit("student")).otherwise("arm"),
            **dict.fromkeys(("a", "b", "c"), pl.lit(amount)),
            d=amount + (pl.col("page") >= same).cast(pl.Int64),
            e=amount + (pl.col("page") >= same).cast(pl.Int64),
            narrow=pl.lit(amount, dtype=pl.Int32),
        )
    )
    names = ("a", "d", "narrow", "b", "e", "c")
    plain = rows.group_by("unit_id", "arm").agg(pl.col(names).cast(pl.Int64).sum())
    found = summed(rows.drop("page_time"), measures=names, constants=(), segments=())
    assert found.equals(plain.sort("arm", "unit_id").select(found.columns))


@pytest.mark.parametrize("kind", sorted(UNIT_IDS))
def test_codes_stand_for_their_values_while_the_index_grows(kind: str) -> None:
    rng = np.random.default_rng(3)
    values = pl.Series([UNIT_IDS[kind](int(u)) for u in rng.integers(0, 3_000, 12_000)])
    codes = Codes(values.dtype)
    given = np.concatenate([codes.of(values[at : at + 900]) for at in range(0, 12_000, 900)])
    assert len(codes) == values.n_unique() == given.max() + 1
    assert codes.values().gather(given).equals(values, check_names=False)
    assert codes.values(codes.order()).equals(values.unique().sort(), check_names=False)


def test_codes_stay_when_a_number_outgrows_the_table() -> None:
    codes = Codes(pl.Int64())
    five, nine = codes.of(pl.Series([5, 9])).tolist()
    assert codes.of(pl.Series([9, TABLE_LIMIT, -1])).tolist()[0] == nine
    assert codes.of(pl.Series([5, 9])).tolist() == [five, nine]
    assert sorted(codes.values()) == [-1, 5, 9, TABLE_LIMIT]


def test_texts_that_share_a_hash_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def weak(values: pl.Series, seed: int = 0) -> pl.Series:
        """The length while the seed is below 2, then a hash without collisions here."""
        return values.str.len_bytes().cast(pl.UInt64) if seed < 2 else real(values, seed)

    real = pl.Series.hash
    monkeypatch.setattr(pl.Series, "hash", weak)
    codes = Codes(pl.String())
    first = codes.of(pl.Series(["a", "bb", "a"])).tolist()
    assert sorted(first) in ([0, 0, 1], [0, 1, 1])
    later = codes.of(pl.Series(["cc", "a", "bb", "ccc"])).tolist()
    assert later[1:3] == first[:2]
    assert sorted(later) == [0, 1, 2, 3]
