"""Corrected p-values, against two peers and by hand."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from tea_tasting.experiment import ExperimentResult
from tea_tasting.multiplicity import MultipleComparisonsResults, adjust_fdr, adjust_fwer

from ranklift.lift.multiplicity import benjamini_hochberg, holm
from ranklift.v1.errors import InvalidRequest

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_by_hand() -> None:
    p_values = (0.04, 0.01, 0.03, 0.9)
    # Sorted: 0.01 x 4, 0.03 x 3, 0.04 x 2 (but not below the one before), 0.9 x 1.
    assert holm(p_values) == pytest.approx((0.09, 0.04, 0.09, 0.9))
    # Sorted: 0.01 x 4/1, 0.03 x 4/2 (but not above the one after), 0.04 x 4/3, 0.9 x 4/4.
    assert benjamini_hochberg(p_values) == pytest.approx((0.16 / 3, 0.04, 0.16 / 3, 0.9))


def test_of_none_there_are_none() -> None:
    assert holm([]) == benjamini_hochberg([]) == ()


@given(P_VALUES)
@settings(max_examples=20, deadline=None)  # statsmodels' Holm takes its time
def test_equals_statsmodels(p_values: list[float]) -> None:
    for ours, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        theirs = multipletests(p_values, method=method)[1]
        assert ours(p_values) == pytest.approx(theirs, rel=1e-12, abs=1e-300)


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=8))
def test_equals_tea_tasting(p_values: list[float]) -> None:
    result = ExperimentResult({f"m{i}": {"pvalue": p} for i, p in enumerate(p_values)})

    def theirs(adjusted: MultipleComparisonsResults) -> list[float]:
        return [row["pvalue_adj"] for row in adjusted.to_dicts()]

    assert holm(p_values) == pytest.approx(
        theirs(adjust_fwer(result, arbitrary_dependence=True, method="bonferroni")), rel=1e-12
    )
    assert benjamini_hochberg(p_values) == pytest.approx(theirs(adjust_fdr(result)), rel=1e-12)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_each_p_value_keeps_its_own_whatever_the_order(
    p_values: list[float], random: Random
) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)
    for adjust in (holm, benjamini_hochberg):
        there = adjust(p_values)
        assert adjust([p_values[i] for i in order]) == tuple(there[i] for i in order)
        assert all(p <= q * (1 + 1e-12) for p, q in zip(p_values, there, strict=True))


@pytest.mark.parametrize("p_value", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(p_value: float) -> None:
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(InvalidRequest, match=r"p_values\[1\]: .* is not in \[0, 1\]"):
            adjust([0.5, p_value])
