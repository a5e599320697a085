"""Spreads of scores and their distances, where one knows them."""

import numpy as np
import pytest
from scipy import stats

from ranklift.rankers.evaluation.distributions import distances, histogram_of, spread_of


def test_a_student_on_another_scale_is_far_off_until_standardised() -> None:
    rng = np.random.default_rng(1)
    teacher = [rng.normal(size=20) for _ in range(30)]
    found = distances(teacher, [3 * each + 100 for each in teacher])
    assert found.ks == 1
    assert found.histogram.overlap == 0
    assert found.standardised_ks == pytest.approx(0, abs=0.01)  # of rounding
    assert found.standardised is not None
    assert found.standardised.overlap == pytest.approx(1, abs=0.01)
    assert found.agreement.kendall_tau == found.agreement.top_1 == 1


def test_scores_are_no_distance_from_themselves() -> None:
    scores = [np.array([1.0, 2, 3]), np.array([4.0])]
    found = distances(scores, scores)
    assert found.ks == 0
    assert found.histogram.overlap == pytest.approx(1)


def test_the_distance_of_two_normals_is_known() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=100_000), rng.normal(1, 1, size=100_000)
    apart = 2 * stats.norm.cdf(0.5) - 1
    found = distances([a], [b])
    assert found.ks == pytest.approx(apart, abs=0.01)
    assert found.histogram.overlap == pytest.approx(1 - apart, abs=0.01)


def test_constant_scores_have_no_standardised_distance() -> None:
    found = distances([np.zeros(4)], [np.array([1.0, 2, 3, 4])])
    assert found.standardised is None
    assert found.standardised_ks is None
    assert found.ks == 1


def test_spreads_and_histograms_by_hand() -> None:
    spread = spread_of(np.arange(101.0))
    assert (spread.count, spread.mean, spread.median) == (101, 50, 50)
    assert (spread.low, spread.high) == (5, 95)
    histogram = histogram_of(np.array([0.0, 0, 1]), np.array([2.0, 4]), bins=4)
    assert histogram.edges.tolist() == [0, 1, 2, 3, 4]
    assert histogram.first.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert histogram.second.tolist() == [0, 0, 0.5, 0.5]  # the last bin holds its upper edge
