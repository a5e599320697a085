"""How alpha is spent: nothing at the start, all at the end, at the pace that each is named for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranklift.lift.sequential.spending import Spending, obrien_fleming, pocock, power_family
from ranklift.v1.errors import InvalidRequest

ALL = {"obrien_fleming": obrien_fleming, "pocock": pocock, "power_2": power_family(2)}


@pytest.mark.parametrize("spending", ALL.values(), ids=ALL)
@given(a=st.floats(0, 1), b=st.floats(0, 1), alpha=st.floats(0.001, 0.5))
def test_it_rises_from_nothing_to_alpha(
    spending: Spending, a: float, b: float, alpha: float
) -> None:
    assert spending(0.0, alpha) == 0
    assert spending(1.0, alpha) == pytest.approx(alpha, rel=1e-12)
    assert spending(min(a, b), alpha) <= spending(max(a, b), alpha) * (1 + 1e-12)


def test_half_way_obrien_flemings_has_spent_little_and_pococks_more_than_half() -> None:
    # Either side spends 2 (1 - Phi(z_{0.9875} / sqrt(0.5))), by scipy's normal distribution.
    side = 2 * stats.norm.sf(stats.norm.isf(0.0125) / math.sqrt(0.5))
    assert obrien_fleming(0.5, 0.05) == pytest.approx(2 * side, rel=1e-12)
    assert obrien_fleming(0.5, 0.05) == pytest.approx(0.00305, abs=1e-5)
    assert pocock(0.5, 0.05) == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 2), rel=1e-12)
    assert power_family(3)(0.5, 0.05) == 0.05 / 8


@pytest.mark.parametrize("phi", [0.0, -1.0, math.inf, math.nan])
def test_a_power_that_is_not_positive_is_refused(phi: float) -> None:
    with pytest.raises(InvalidRequest, match=r"phi: .* is not a positive number"):
        power_family(phi)
