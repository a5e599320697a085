"""Interval plots: what lies left on paper is smaller, zero is in sight, outliers are cut off."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.lift.render.grid import Mark
from ranklift.lift.render.plot import STRIP_WIDTH, Moment, Strip, over_time, strips
from ranklift.lift.values import Interval

UP = Mark(0.03, Interval(0.01, 0.05))
DOWN = Mark(-0.02, Interval(-0.03, -0.01))


def drawn(*marks: Mark) -> list[Strip]:
    return [one for one in strips(marks).strips if one is not None]


def test_strips_share_an_axis_that_keeps_the_order_of_numbers_and_shows_zero() -> None:
    plot = strips((UP, None, DOWN))
    up, nothing, down = plot.strips
    assert up is not None
    assert down is not None
    assert nothing is None
    assert up.point is not None
    assert down.point is not None
    places = [down.bar.low, down.point, down.bar.high, plot.zero, up.bar.low, up.point, up.bar.high]
    assert places == sorted(set(places))
    assert 0 < places[0] < places[-1] < STRIP_WIDTH
    assert [tick.label for tick in plot.ticks] == ["-2 %", "0", "+2 %", "+4 %"]
    assert [tick.at for tick in plot.ticks if tick.label == "0"] == [plot.zero]


def test_an_infinite_end_is_cut_off_and_marked() -> None:
    one, two = drawn(UP, Mark(0.02, Interval(-math.inf, math.inf)))
    assert (one.bar.low_cut, one.bar.high_cut) == (False, False)
    assert (two.bar.low_cut, two.bar.high_cut) == (True, True)
    assert two.bar.low < one.bar.low < one.bar.high < two.bar.high
    (alone,) = drawn(Mark(0.0, Interval(-math.inf, math.inf)))
    assert alone.bar.low < alone.bar.high


def test_one_uncertain_row_does_not_squeeze_the_others() -> None:
    wild = Mark(2.0, Interval(-3.0, 7.0))
    *good, cut = drawn(UP, DOWN, UP, wild)
    assert good[0].bar.high - good[0].bar.low > 0.1 * STRIP_WIDTH
    assert cut.bar.low_cut
    assert cut.bar.high_cut
    assert cut.point is None, "a point outside is not drawn at the edge"


def test_a_margin_and_an_outer_interval_lie_where_they_should() -> None:
    mark = replace(UP, outer=Interval(-0.01, 0.07), limit=-0.02)
    (one,) = drawn(mark)
    assert one.outer is not None
    assert one.limit is not None
    assert one.limit < one.outer.low < one.bar.low < one.bar.high < one.outer.high


def course(*marks: Mark) -> list[Moment]:
    return [Moment(day, f"day {day}", mark, decided=day > 1) for day, mark in enumerate(marks)]


def test_over_time_later_is_right_and_larger_is_higher() -> None:
    moments = course(DOWN, UP, UP)
    plot = over_time(moments, [DOWN, UP, UP])
    first, second, third = plot.stems
    assert first.x < second.x < third.x
    assert first.point is not None
    assert second.point is not None
    assert first.point > plot.zero > second.point, "pixels count downwards"
    assert [stem.decided for stem in plot.stems] == [False, False, True]
    assert [tick.label for tick in plot.dates] == ["day 0", "day 1", "day 2"]


def test_plots_that_are_to_compare_get_the_same_axis() -> None:
    marks = [UP, DOWN, Mark(0.2, Interval(0.1, 0.3))]
    one, two = over_time(course(UP), marks), over_time(course(DOWN), marks)
    assert (one.ticks, one.zero) == (two.ticks, two.zero)


def test_a_band_has_a_piece_for_each_run_of_outer_intervals() -> None:
    outer = replace(UP, outer=Interval(-math.inf, 0.06))
    plot = over_time(course(outer, outer, UP, outer), [UP, outer])
    assert len(plot.bands) == 2
    assert [band.count(",") for band in plot.bands] == [4, 2]
    assert over_time(course(UP), [UP]).bands == ()


def test_many_days_get_few_labels_and_the_last_one_is_among_them() -> None:
    plot = over_time(course(*[UP] * 95), [UP])
    assert len(plot.dates) == 10
    assert plot.dates[-1].label == "day 94"


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e4])
def test_any_scale_has_a_handful_of_ticks(scale: float) -> None:
    mark = Mark(scale, Interval(0.2 * scale, 1.8 * scale))
    assert 2 <= len(strips([mark]).ticks) <= 7


NUMBERS = st.floats(allow_nan=False, min_value=-1e9, max_value=1e9)
ENDS = st.floats(allow_nan=False)


@given(st.lists(st.builds(Mark, NUMBERS, st.builds(Interval, ENDS, ENDS)), min_size=1, max_size=6))
def test_whatever_the_numbers_nothing_is_drawn_outside(marks: list[Mark]) -> None:
    for one in drawn(*marks):
        for place in (one.bar.low, one.bar.high, 0.0 if one.point is None else one.point):
            assert 0 <= place <= STRIP_WIDTH
