"""Numbers as text: no more digits than the interval supports, and no lost sign."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.platform.lift.reports import measured

from ranklift.lift.render.rounding import (
    decimals,
    estimate_text,
    interval_text,
    lift_text,
    number_text,
    p_phrase,
    p_text,
    share_text,
    value_texts,
)
from ranklift.lift.values import Interval

FINITE = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("half_width", "expected"),
    [(0.0234, 3), (0.234, 2), (2.34, 1), (23.4, 0), (2340.0, 0), (0.0, 0), (math.inf, 0)],
)
def test_a_half_width_shows_two_significant_digits(half_width: float, expected: int) -> None:
    assert decimals(half_width) == expected


def test_numbers_have_the_digits_that_the_interval_supports() -> None:
    assert lift_text(0.0300591, Interval(0.0081234, 0.0521234)) == "+3.0 % (+0.8 to +5.2)"
    found = replace(
        measured(0.400312, 0.03, 0.022, 0.007), difference_interval=Interval(0.0032, 0.0208)
    )
    assert value_texts(found) == ("0.4003", "0.4123")
    assert number_text(0.50612, Interval(0.5004, 0.5118)) == "0.5061"


def test_an_end_at_infinity_is_unbounded_and_the_other_end_sets_the_digits() -> None:
    assert lift_text(0.154, Interval(-0.42, math.inf)) == "+15 % (-42 to unbounded)"
    assert estimate_text(0.1, Interval(-math.inf, math.inf)) == "+0.1 (unbounded)"
    assert interval_text(Interval(-math.inf, math.inf)) == "unbounded"
    assert interval_text(Interval(-0.1, math.inf)) == "-10 to unbounded %"


def test_an_end_next_to_zero_keeps_its_sign() -> None:
    assert interval_text(Interval(-0.00001, 0.04)) == "-0.0 to +4.0 %"
    assert interval_text(Interval(0.00001, 0.04)) == "+0.0 to +4.0 %"


@given(low=FINITE, width=st.floats(1e-6, 1e6))
def test_the_side_of_zero_is_never_lost(low: float, width: float) -> None:
    shown = interval_text(Interval(low, low + width)).removesuffix(" %").split(" to ")
    assert [text[0] for text in shown] == ["-" if end < 0 else "+" for end in (low, low + width)]


def test_values_without_an_interval_have_three_digits_at_most() -> None:
    texts = [number_text(value, None) for value in (0.7, 162.04, 1234.56, 0.0, -0.00123456, None)]
    assert texts == ["0.7", "162", "1,235", "0", "-0.00123", ""]


def test_what_is_missing_of_an_estimate_is_left_out() -> None:
    assert estimate_text(None, Interval(0.5004, 0.5118), signed=False) == "(0.5004 to 0.5118)"
    assert estimate_text(-0.7, None) == "-0.7"
    assert estimate_text(None, None) == ""


@pytest.mark.parametrize(
    ("p_value", "expected"),
    [
        (0.0, "< 0.0001"),
        (0.00034, "0.0003"),
        (0.0347, "0.035"),
        (0.5, "0.50"),
        (1.0, "1.0"),
        (None, ""),
    ],
)
def test_p_values(p_value: float | None, expected: str) -> None:
    assert p_text(p_value) == expected


def test_sentences_relate_a_p_value() -> None:
    assert (p_phrase(0.25), p_phrase(1e-9)) == ("p = 0.25", "p < 0.0001")


def test_shares() -> None:
    assert [share_text(share) for share in (0.95, 0.999, 0.125, 1.0)] == [
        *("95 %", "99.9 %", "12.5 %", "100 %")
    ]
