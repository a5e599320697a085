"""Moments made where the rows are equal those of a table that is here."""

from __future__ import annotations

import duckdb
import narwhals as nw
import numpy as np
import polars as pl

from ranklift.lift.cluster import moments_by_arm, usable
from ranklift.lift.moments import Moments


def units(seed: int, mean: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, 1, 500)
    return pl.DataFrame(
        {
            "unit_id": np.arange(500),
            "arm": rng.choice(["a", "b"], 500).tolist(),
            "pages": rng.poisson(2, 500),
            "x": x,
            "y": x + rng.normal(mean, 1, 500),
        }
    )


def test_moments_equal_those_of_the_table() -> None:
    table = units(1)
    for engine in (table.lazy(), duckdb.from_arrow(table.to_arrow())):
        found = moments_by_arm(nw.from_native(engine), ["x", "y"], ["a", "b"])
        for arm, moments in found.items():
            expected = Moments.from_frame(table.filter(pl.col("arm") == arm), ["x", "y"])
            assert moments.count == expected.count
            np.testing.assert_allclose(moments.mean, expected.mean, rtol=1e-12)
            np.testing.assert_allclose(moments.m2, expected.m2, rtol=1e-12)


def test_large_means_leave_small_variances_intact() -> None:
    # Around 0, squares near 1e16 would leave nothing of a variance near 1.
    table = units(2, mean=1e8)
    found = moments_by_arm(nw.from_native(table.lazy()), ["x", "y"], ["a"])["a"]
    expected = Moments.from_frame(table.filter(pl.col("arm") == "a"), ["x", "y"])
    np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-9)


def test_an_arm_that_nobody_is_in_has_no_units() -> None:
    found = moments_by_arm(nw.from_native(units(3).lazy()), ["x"], ["a", "c"])
    assert (found["a"].count > 0, found["c"].count) == (True, 0)
    empty = moments_by_arm(nw.from_native(units(3).clear().lazy()), ["x"], ["a"])
    assert empty["a"].count == 0


def test_units_in_two_arms_in_none_or_never_served_do_not_count() -> None:
    table = pl.DataFrame(
        {
            "unit_id": ["both", "both", "once", "once", "odd", "odd", "fallback", "odd one", "ok"],
            "arm": ["a", "b", "a", "b", "a", "z", "a", "z", "b"],
            "pages": [1, 1, 1, 0, 1, 1, 0, 1, 1],
        }
    )
    for engine in (table.lazy(), duckdb.from_arrow(table.to_arrow())):
        kept = usable(nw.from_native(engine), ["a", "b"]).select("unit_id")
        assert nw.to_native(kept.collect(backend="polars")).rows() == [("ok",)]
