"""The dwell per click beyond its mean: which dwells count, and whose."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.platform.lift.unit_tables import ARMS

from ranklift.lift.distributions import distributions
from ranklift.lift.quantiles import Rows, compare_quantile
from ranklift.lift.ratio import Difference
from ranklift.lift.values import Distribution

NAMES = ("median", "p90", "restricted_mean", "mann_whitney")


def draw_dwells(seed: int, *, censored: float = 0.0, longer: float = 1.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    users = 400
    clicks = 1 + rng.poisson(4, users)
    unit = np.repeat(np.arange(users), clicks)
    stay = rng.lognormal(3, 0.5, users)[unit] * np.where(unit % 2 == 1, longer, 1.0)
    return pl.DataFrame(
        {
            "unit_id": [f"u{number:03}" for number in unit],
            "arm": np.array(ARMS)[unit % 2],
            "dwell_ms": np.rint(1_000 * stay * rng.lognormal(0, 1, len(unit))).astype(int),
            "censored": rng.random(len(unit)) < censored,
        }
    )


def units_of(dwells: pl.DataFrame) -> pl.DataFrame:
    return dwells.select("unit_id", "arm").unique().sort("unit_id")


def found_in(dwells: pl.DataFrame, units: pl.DataFrame | None = None) -> dict[str, Distribution]:
    counted = units_of(dwells) if units is None else units
    found = distributions(dwells, counted, ARMS, confidence_level=0.95)
    assert tuple(one.statistic for one in found) == NAMES
    assert {one.arm for one in found} == {"student"}
    return {one.statistic: one for one in found}


def test_quantiles_are_those_of_the_dwells_in_seconds_by_unit() -> None:
    dwells = draw_dwells(1)
    found = found_in(dwells)
    sides = [dwells.filter(arm=arm) for arm in ARMS]
    for name, q in (("median", 0.5), ("p90", 0.9)):
        values = [float(np.quantile(side["dwell_ms"] / 1_000, q)) for side in sides]
        assert (found[name].control_value, found[name].arm_value) == pytest.approx(values)
        control, arm = (
            Rows(
                (side["dwell_ms"] / 1_000).to_numpy(),
                side["unit_id"].str.slice(1).cast(pl.Int64).to_numpy(),
            )
            for side in sides
        )
        expected = compare_quantile(control, arm, q)
        assert isinstance(expected, Difference)
        assert found[name].p_value == pytest.approx(expected.p_value, rel=1e-9)


def test_units_left_out_do_not_count() -> None:
    dwells = draw_dwells(2)
    kept = dwells.filter(~pl.col("unit_id").str.ends_with("7"))
    assert kept.height < dwells.height
    assert found_in(dwells, units_of(kept)) == found_in(kept)


def test_a_unit_in_the_other_arm_does_not_count_either() -> None:
    dwells = draw_dwells(3)
    strays = (
        dwells.filter(arm="control")
        .head(50)
        .with_columns(arm=pl.lit("student"), dwell_ms=pl.lit(9_999_999, dtype=pl.Int64))
    )
    assert found_in(pl.concat([dwells, strays]), units_of(dwells)) == found_in(dwells)


def test_row_order_changes_nothing() -> None:
    dwells = draw_dwells(4, censored=0.2)
    shuffled = dwells.sample(fraction=1, shuffle=True, seed=1)
    assert found_in(shuffled) == found_in(dwells)


def test_censored_dwells_count_in_the_restricted_mean_alone() -> None:
    dwells = draw_dwells(5)
    more = draw_dwells(6).with_columns(
        unit_id="c" + pl.col("unit_id"), censored=pl.lit(True), dwell_ms=pl.lit(60_000)
    )
    both = pl.concat([dwells, more.cast({"dwell_ms": pl.Int64})])
    alone, together = found_in(dwells), found_in(both)
    for name in ("median", "p90", "mann_whitney"):
        assert together[name] == alone[name]
    before, after = alone["restricted_mean"], together["restricted_mean"]
    assert before.control_value is not None
    assert after.control_value is not None
    assert after.control_value > before.control_value


def test_an_arm_whose_dwells_are_longer_is_found_by_all_four() -> None:
    for name, one in found_in(draw_dwells(7, censored=0.1, longer=1.6)).items():
        assert one.p_value is not None
        assert one.p_value < 0.001
        assert one.difference is not None
        assert one.difference > (0.5 if name == "mann_whitney" else 0)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_without_dwells_is_a_reason_for_all_four(arm: str) -> None:
    dwells = draw_dwells(8)
    for one in found_in(dwells.filter(pl.col("arm") != arm), units_of(dwells)).values():
        assert one.unavailable_reason
        assert (one.control_value, one.difference, one.interval, one.p_value) == (None,) * 4


def test_dwells_that_are_all_alike_are_a_reason_for_all_four() -> None:
    dwells = draw_dwells(9).with_columns(dwell_ms=pl.lit(5_000, dtype=pl.Int64))
    assert all(one.unavailable_reason for one in found_in(dwells).values())
