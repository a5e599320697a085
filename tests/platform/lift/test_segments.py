"""The lift in parts of the population: which parts, which numbers, and how they are corrected."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from tests.platform.lift.unit_tables import ARMS, declared, draw_units, moments_by_arm, plain

from ranklift.lift.comparing import measure, method_for
from ranklift.lift.segments import MAX_VALUES, UNKNOWN, segment_lifts
from ranklift.lift.values import Measured, SegmentLift
from ranklift.store.analysis import Form

RATIO, MEAN = declared(Form.RATIO), declared(Form.MEAN)


def with_devices(units: pl.DataFrame, *devices: str | None) -> pl.DataFrame:
    """Return units that take turns on the devices, six by six, alike in two and three arms."""
    turns = [devices[(i // 6) % len(devices)] for i in range(units.height)]
    return units.sort("unit_id").with_columns(device=pl.Series(turns, dtype=pl.String))


def p_values(lifts: tuple[SegmentLift, ...]) -> list[float]:
    return [lift.found.p_value for lift in lifts if isinstance(lift.found, Measured)]


def test_a_segments_lift_is_the_lift_of_its_units() -> None:
    units = with_devices(draw_units(1), "phone", "desk", "phone")
    found = segment_lifts(units, ARMS, [RATIO], ["device"], plain(units, RATIO))
    assert [lift.value for lift in found] == ["phone", "desk"]
    for lift in found:
        moments = moments_by_arm(units.filter(device=lift.value), RATIO, plain(units, RATIO))
        assert lift.found == measure(moments["control"], moments["student"], RATIO, plain(units))


def test_a_segment_is_adjusted_within_itself() -> None:
    units = with_devices(draw_units(2), "phone", "desk")
    method = method_for(units, [RATIO], confidence_level=0.95, covariates=True)
    for lift in segment_lifts(units, ARMS, [RATIO], ["device"], method):
        assert isinstance(lift.found, Measured)
        assert lift.found.variance_ratio < 1


def test_units_without_a_value_are_a_segment_of_their_own() -> None:
    units = with_devices(draw_units(3), "phone", None, "phone")
    found = segment_lifts(units, ARMS, [RATIO], ["device"], plain(units))
    assert [lift.value for lift in found] == ["phone", UNKNOWN]


def test_of_two_hundred_values_the_largest_are_kept_and_the_rest_is_one() -> None:
    units = draw_units(4, 2_000)
    number = pl.int_range(pl.len())
    # Values 0 to 59 have more units than the others.
    value = pl.when(number < 1_000).then(number // 2 % 60).otherwise(60 + number // 2 % 140)
    units = units.sort("unit_id").with_columns(city=pl.format("c{}", value))
    found = segment_lifts(units, ARMS, [RATIO], ["city"], plain(units))
    assert units["city"].n_unique() == 200
    assert len(found) == MAX_VALUES + 1
    assert found[-1].value == "(other) 150 values"
    assert isinstance(found[-1].found, Measured)
    large = set(units.group_by("city").len().top_k(60, by="len")["city"])
    assert {lift.value for lift in found[:-1]} < large
    kept = units.filter(~pl.col("city").is_in([lift.value for lift in found[:-1]]))
    assert found[-1].found.control_units + found[-1].found.arm_units == kept.height


def test_values_come_by_size_and_then_by_name() -> None:
    units = with_devices(draw_units(5, 96), "tv", "desk", "phone", "phone")
    found = segment_lifts(units, ARMS, [RATIO], ["device"], plain(units))
    assert [lift.value for lift in found] == ["phone", "desk", "tv"]


@pytest.mark.parametrize("name", ["count", "value", "units", "age", "day", "unit"])
def test_a_dimension_may_have_any_name(name: str) -> None:
    units = with_devices(draw_units(6, 96), "phone", "desk").rename({"device": name})
    found = segment_lifts(units, ARMS, [RATIO], [name], plain(units))
    assert [(lift.dimension, lift.value) for lift in found] == [(name, "desk"), (name, "phone")]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_p_values_are_corrected_as_statsmodels_does_for_each_metric(seed: int) -> None:
    arms = ("control", "other", "student")
    units = draw_units(seed, 300, arms=arms)
    units = with_devices(units, "phone", "desk", "tv").with_columns(
        language=pl.when(pl.col("unit_id").str.ends_with("7")).then(pl.lit("fi"))
    )
    found = segment_lifts(units, arms, [RATIO, MEAN], ["device", "language"], plain(units))
    assert len(found) == 2 * 2 * 5
    for metric in (RATIO, MEAN):
        own = tuple(lift for lift in found if lift.metric == metric.name)
        expected = multipletests(p_values(own), method="fdr_bh")[1]
        assert [lift.adjusted_p_value for lift in own] == pytest.approx(list(expected), rel=1e-9)


def test_a_segment_with_too_few_units_has_a_reason_and_takes_no_part_in_the_correction() -> None:
    units = draw_units(7, 100).sort("unit_id")
    lone = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("tv")).otherwise(pl.lit("desk"))
    units = units.with_columns(device=lone)
    desk, tv = segment_lifts(units, ARMS, [RATIO], ["device"], plain(units))
    assert not isinstance(tv.found, Measured)
    assert tv.adjusted_p_value is None
    assert isinstance(desk.found, Measured)
    assert desk.adjusted_p_value == desk.found.p_value
