"""Quantiles with clustered intervals: closed forms, a bootstrap, and coverage of planted lifts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from ranklift.lift.moments import Floats
from ranklift.lift.quantiles import Rows, compare_quantile
from ranklift.lift.ratio import Difference
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

BETWEEN, WITHIN = 0.7, 0.8  # standard deviations of log dwell, of users and of their clicks


def draw(rng: np.random.Generator, units: int, log_lift: float = 0.0) -> Rows:
    """Draw log-normal dwells of users that differ, about eight each, some users without any."""
    codes = np.repeat(np.arange(units), rng.poisson(8, units))
    stay = rng.normal(3 + log_lift, BETWEEN, units)[codes]
    return Rows(np.exp(stay + rng.normal(0, WITHIN, len(codes))), codes)


def compared(control: Rows, arm: Rows, q: float, level: float = 0.95) -> Difference:
    found = compare_quantile(control, arm, q, confidence_level=level)
    assert isinstance(found, Difference)
    return found


def test_the_values_are_the_quantiles() -> None:
    control, arm = draw(np.random.default_rng(1), 300), draw(np.random.default_rng(2), 300)
    found = compared(control, arm, 0.5)
    assert found.control_value == pytest.approx(float(np.median(control.values)))
    assert found.arm_value == pytest.approx(float(np.median(arm.values)))
    assert found.difference == pytest.approx(found.arm_value - found.control_value)


@pytest.mark.parametrize("q", [0.25, 0.5, 0.9])
def test_one_value_a_unit_has_the_textbook_error(q: float) -> None:
    # Of n independent values: sqrt(q (1 - q) / n) / f(x).
    rng = np.random.default_rng(3)
    n = 200_000
    control, arm = (Rows(rng.normal(10, 1, n), np.arange(n)) for _ in range(2))
    density = stats.norm.pdf(stats.norm.ppf(q))
    expected = np.sqrt(2 * q * (1 - q) / n) / density
    assert compared(control, arm, q).standard_error == pytest.approx(expected, rel=0.03)


def test_values_repeated_within_a_unit_are_one_value() -> None:
    rng = np.random.default_rng(4)
    control, arm = (Rows(rng.lognormal(3, 1, 400), np.arange(400)) for _ in range(2))
    once = compared(control, arm, 0.5)
    control, arm = (Rows(values.repeat(10), units.repeat(10)) for values, units in (control, arm))
    tenfold = compared(control, arm, 0.5)
    assert tenfold.standard_error == pytest.approx(once.standard_error, rel=0.02)


def test_the_error_is_that_of_a_bootstrap_by_unit() -> None:
    rng = np.random.default_rng(5)
    control, arm = draw(rng, 400), draw(rng, 400)

    def replicate(rows: Rows) -> float:
        weights = rng.poisson(1, 400)[rows.units]
        return float(np.median(rows.values.repeat(weights)))

    differences = [replicate(arm) - replicate(control) for _ in range(1_500)]
    assert compared(control, arm, 0.5).standard_error == pytest.approx(np.std(differences), rel=0.1)


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_intervals_cover_a_planted_difference(q: float) -> None:
    rng = np.random.default_rng(6)
    spread = np.hypot(BETWEEN, WITHIN) * stats.norm.ppf(q)
    truth = np.exp(3.1 + spread) - np.exp(3 + spread)
    covered, significant, naive = 0, 0, 0
    for _ in range(1_200):
        control, arm, same = draw(rng, 150), draw(rng, 150, 0.1), draw(rng, 150)
        found = compared(control, arm, q)
        covered += found.difference_lower <= truth <= found.difference_upper
        significant += compared(control, same, q).p_value < 0.05
        alone = (Rows(values, np.arange(len(values))) for values, _ in (control, same))
        naive += compared(next(alone), next(alone), q).p_value < 0.05
    assert 0.93 < covered / 1_200 < 0.97  # 0.95 -+ 3.1 binomial standard errors
    assert 0.03 < significant / 1_200 < 0.07
    # Negative control: with dwells for units, the same battery must fail.
    assert naive / 1_200 > 0.1


def test_the_p_value_does_not_depend_on_the_level() -> None:
    rng = np.random.default_rng(7)
    control, arm = draw(rng, 300), draw(rng, 300, 0.2)
    wide, narrow = compared(control, arm, 0.5, 0.99), compared(control, arm, 0.5, 0.8)
    assert wide.p_value == narrow.p_value
    assert wide.difference_upper > narrow.difference_upper


def test_order_names_and_gaps_of_units_do_not_matter_and_seconds_scale() -> None:
    rng = np.random.default_rng(8)
    control, arm = draw(rng, 200), draw(rng, 200)
    expected = compared(control, arm, 0.5)
    order = rng.permutation(len(control.values))
    names = 3 * rng.permutation(200)
    shuffled = Rows(control.values[order], names[control.units[order]])
    assert dataclasses.astuple(compared(shuffled, arm, 0.5)) == pytest.approx(
        dataclasses.astuple(expected), rel=1e-9
    )
    control, arm = (Rows(1000 * values, units) for values, units in (control, arm))
    scaled = compared(control, arm, 0.5)
    assert scaled.standard_error == pytest.approx(1000 * expected.standard_error, rel=1e-9)
    assert scaled.p_value == pytest.approx(expected.p_value, rel=1e-9)


def rows(values: Floats, a_unit: int = 1) -> Rows:
    return Rows(values, np.arange(len(values)) // a_unit)


FINE = rows(np.random.default_rng(9).lognormal(3, 1, 500))


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        pytest.param(rows(np.empty(0)), "control: values of 0 units", id="empty"),
        pytest.param(rows(np.arange(50.0), 50), "control: values of 1 units", id="one-unit"),
        pytest.param(rows(np.arange(9.0)), "too few units (9)", id="few"),
        pytest.param(rows(np.full(500, 30.0)), "are 30: the 0.9 quantile", id="constant"),
        pytest.param(rows(np.minimum(np.arange(500.0), 300)), "are 300", id="capped"),
        pytest.param(rows(np.append(np.arange(500.0), np.inf)), "not finite", id="infinite"),
        pytest.param(rows(np.append(np.arange(500.0), np.nan)), "not finite", id="nan"),
    ],
)
def test_what_cannot_be_computed_is_a_reason(control: Rows, expected: str) -> None:
    found = compare_quantile(control, FINE, 0.9)
    assert isinstance(found, Unavailable)
    assert expected in found.reason
    back = compare_quantile(FINE, control, 0.9)
    assert isinstance(back, Unavailable)
    assert back.reason.startswith("arm: ")


@pytest.mark.parametrize("q", [0, 1, 50, np.nan])
def test_q_lies_between_0_and_1(q: float) -> None:
    with pytest.raises(InvalidRequest, match="q: is"):
        compare_quantile(FINE, FINE, q)
