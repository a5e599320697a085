"""Moments: numpy's covariances, and the laws of merging."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ranklift.lift.moments import Floats, Moments

COLUMNS = ("a", "b", "c")
shards = st.integers(0, 8).flatmap(
    lambda units: arrays.arrays(np.float64, (units, 3), elements=st.integers(-(10**6), 10**6))
)


def assert_same(one: Moments, other: Moments) -> None:
    assert (one.columns, one.count) == (other.columns, other.count)
    scale = 1e-9 * (1 + np.abs(np.diag(one.m2)).max())
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-8)
    np.testing.assert_allclose(one.m2, other.m2, rtol=1e-9, atol=scale)


def test_equal_numpy() -> None:
    values = np.random.default_rng(1).lognormal(8, 2, (500, 3))
    moments = Moments.of(COLUMNS, values)
    np.testing.assert_allclose(moments.mean, np.mean(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.m2 / 499, np.cov(values.T), rtol=1e-12)
    assert moments.covariance("a", "c") == pytest.approx(np.cov(values.T)[0, 2], rel=1e-12)
    assert moments.mean_of("b") == pytest.approx(values[:, 1].mean(), rel=1e-12)


def test_large_means_do_not_cancel() -> None:
    # The raw form E[x^2] - E[x]^2 returns 0 or worse here.
    values = 1e9 + np.array([[0.0], [1.0], [2.0], [3.0]])
    assert Moments.of(["a"], values).covariance("a", "a") == pytest.approx(5 / 3, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(shards, shards, shards)
def test_shards_merge_in_any_grouping_and_order(x: Floats, y: Floats, z: Floats) -> None:
    a, b, c = (Moments.of(COLUMNS, values) for values in (x, y, z))
    whole = Moments.of(COLUMNS, np.concatenate([x, y, z]))
    assert_same(whole, (a + b) + c)
    assert_same(whole, a + (b + c))
    assert_same(whole, c + a + b)


def test_from_frame_takes_the_named_columns_in_their_order() -> None:
    frame = pl.DataFrame({"unit": ["x", "y"], "b": [3, 5], "a": [1, 1]})
    moments = Moments.from_frame(frame, ("a", "b"))
    assert (moments.count, list(moments.mean)) == (2, [1, 4])
    assert moments.covariance("b", "b") == 2


def test_moments_of_other_columns_do_not_merge() -> None:
    with pytest.raises(ValueError, match="must be the same"):
        Moments.of(["a"], np.ones((2, 1))) + Moments.of(["b"], np.ones((2, 1)))
