"""Rates and uniformity against scipy."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from ranklift.simulator.calibration.rates import Rate, band, uniformity


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (7, 7), (1, 7), (53, 1_000), (950, 1_000)])
def test_the_interval_of_a_rate_is_clopper_and_pearsons(hits: int, count: int) -> None:
    exact = binomtest(hits, count).proportion_ci(0.95, "exact")
    assert Rate(hits, count).interval == pytest.approx((exact.low, exact.high), abs=1e-12)


@pytest.mark.parametrize("rate", [0.05, 0.95])
def test_an_honest_rate_leaves_the_band_once_in_a_thousand_batteries(rate: float) -> None:
    expected = [binom.ppf(tail, 1_000, rate) / 1_000 for tail in (0.0005, 0.9995)]
    assert list(band(1_000, rate)) == expected


def test_even_p_values_are_uniform_and_crowded_ones_are_not() -> None:
    even = (np.arange(300) + 0.5) / 300
    assert uniformity(even.tolist()) == pytest.approx(1)
    assert uniformity((even**1.5).tolist()) < 0.001
    # One value at u: D = max(u, 1 - u), and P(D >= d) = 2 (1 - d).
    assert uniformity([0.8]) == pytest.approx(0.4)
