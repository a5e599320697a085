"""Always-valid intervals: their closed forms, where they are narrowest, and that they hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranklift.lift.sequential.confidence_sequence import (
    always_valid_bound,
    always_valid_p_value,
    one_sided_bound,
)
from ranklift.v1.errors import InvalidRequest

FIXED = float(stats.norm.isf(0.025))


def rho_squared(tuned: float, alpha: float) -> float:
    """As the paper writes it."""
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned


@pytest.mark.parametrize("units", [10, 1_000, 50_000, 2_000_000])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_half_width_is_the_papers(units: int, alpha: float) -> None:
    # Theorem 2.2: sigma sqrt(2 (n rho^2 + 1) / (n^2 rho^2) log(sqrt(n rho^2 + 1) / alpha)), and the
    # standard error is sigma / sqrt(n).
    sigma, r = 3.0, rho_squared(10_000, alpha)
    n = units
    width = sigma * math.sqrt(2 * (n * r + 1) / (n**2 * r) * math.log(math.sqrt(n * r + 1) / alpha))
    found = always_valid_bound(n, 10_000, alpha) * sigma / math.sqrt(n)
    assert found == pytest.approx(width, rel=1e-12)


@pytest.mark.parametrize("units", [10, 10_000, 2_000_000])
def test_the_one_sided_half_width_is_the_papers(units: int) -> None:
    # Proposition B.1, with rho tuned for 2 alpha.
    alpha, n, r = 0.05, units, rho_squared(10_000, 0.1)
    bound = math.sqrt(2 * (n * r + 1) / (n * r) * math.log(1 + math.sqrt(n * r + 1) / (2 * alpha)))
    assert one_sided_bound(n, 10_000, alpha) == pytest.approx(bound, rel=1e-12)


def test_one_direction_is_shown_sooner_than_either() -> None:
    assert one_sided_bound(10_000, 10_000) < 0.95 * always_valid_bound(10_000, 10_000)


@pytest.mark.parametrize(
    ("part", "ratio"),
    [(0.1, 1.97), (0.25, 1.67), (0.5, 1.57), (1, 1.55), (4, 1.60), (20, 1.70), (200, 1.87)],
)
def test_how_much_wider_than_the_fixed_interval_it_is(part: float, ratio: float) -> None:
    tuned = 100_000
    found = always_valid_bound(round(part * tuned), tuned) / FIXED
    assert found == pytest.approx(ratio, abs=0.006)


def test_it_is_narrowest_about_where_it_is_tuned_to() -> None:
    parts = np.geomspace(0.01, 100, 2_001)
    widths = [always_valid_bound(1_000, 1_000 / part) for part in parts]
    assert 0.9 < parts[int(np.argmin(widths))] < 1.1


@given(
    z=st.floats(-12, 12),
    units=st.integers(1, 10**7),
    tuned=st.integers(1, 10**7),
    alpha=st.floats(0.001, 0.3),
)
def test_the_p_value_is_below_alpha_exactly_beyond_the_bound(
    z: float, units: int, tuned: int, alpha: float
) -> None:
    bound = always_valid_bound(units, tuned, alpha)
    p_value = always_valid_p_value(z, units, tuned, alpha)
    assert 0 <= p_value <= 1
    assert p_value == always_valid_p_value(-z, units, tuned, alpha)
    if abs(abs(z) - bound) > 1e-9:
        assert (p_value < alpha) == (abs(z) > bound)


def test_at_the_same_z_the_tuning_decides_what_can_be_said() -> None:
    # A million units, z of a fixed p-value of 0.0087: lost when tuned to 5,000, and p = 0.14 when
    # tuned to what was planned.
    z = stats.norm.isf(0.0087 / 2)
    assert always_valid_p_value(z, 1_000_000, 5_000) == 1.0
    assert always_valid_p_value(z, 1_000_000, 1_000_000) == pytest.approx(0.14, abs=0.01)


def test_it_holds_at_all_looks_together() -> None:
    # 4,000 paths of 2,000 looks, up to 20 times the size tuned to.
    rng = np.random.default_rng(11)
    units = np.arange(1, 2_001) * 100
    z = np.cumsum(rng.standard_normal((4_000, 2_000)), axis=1) / np.sqrt(units / 100)
    two = np.array([always_valid_bound(int(n), 10_000) for n in units])
    one = np.array([one_sided_bound(int(n), 10_000) for n in units])
    assert 0.01 < (np.abs(z) > two).any(axis=1).mean() < 0.05
    assert 0.01 < (z > one).any(axis=1).mean() < 0.05
    # The fixed bound is crossed by most.
    assert (np.abs(z) > FIXED).any(axis=1).mean() > 0.4


@pytest.mark.parametrize(
    ("units", "tuned", "alpha", "field"),
    [
        (0, 10, 0.05, "units"),
        (10, 0, 0.05, "tuned_units"),
        (10, math.nan, 0.05, "tuned_units"),
        (10, math.inf, 0.05, "tuned_units"),
        (10, 10, 1.0, "alpha"),
        (10, 10, 0.0, "alpha"),
    ],
)
def test_what_makes_no_sequence_is_refused(
    units: int, tuned: float, alpha: float, field: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{field}: .* must be"):
        always_valid_bound(units, tuned, alpha)


def test_one_sided_alpha_is_below_a_half() -> None:
    with pytest.raises(InvalidRequest, match=r"one-sided: 0\.5"):
        one_sided_bound(10, 10, 0.5)
