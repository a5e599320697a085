"""The calibration error worked by hand and against scikit-learn."""

import numpy as np
import pytest

from ranklift.rankers.calibration import reliability


def test_two_bins_by_hand() -> None:
    said = np.array([0.9, 0.1, 0.7, 0.3])
    was = np.array([1.0, 0.0, 0.0, 0.0])
    found = reliability(said, was, bins=2)
    low, high = found.bins
    assert (low.low, low.high, low.count, low.relevant) == (0.1, 0.3, 2, 0)
    assert low.probability == pytest.approx(0.2)
    assert (high.low, high.high, high.count, high.relevant) == (0.7, 0.9, 2, 0.5)
    assert found.ece == pytest.approx((0.2 + 0.3) / 2)
    assert found.brier == pytest.approx((0.01 + 0.01 + 0.49 + 0.09) / 4)


def test_bins_are_scikit_learns() -> None:
    calibration = pytest.importorskip("sklearn.calibration", reason="scikit-learn is not there")
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    said = rng.beta(1, 5, size=1_000)
    was = (rng.uniform(size=1_000) < said**1.5).astype(np.float64)
    found = reliability(said, was)
    relevant, probability = calibration.calibration_curve(was, said, n_bins=10, strategy="quantile")
    assert [each.count for each in found.bins] == [100] * 10
    assert [each.relevant for each in found.bins] == pytest.approx(relevant.tolist())
    assert [each.probability for each in found.bins] == pytest.approx(probability.tolist())
    assert found.ece == pytest.approx(np.abs(relevant - probability).mean())
    assert found.brier == pytest.approx(metrics.brier_score_loss(was, said))


def test_equal_probabilities_share_a_bin_whatever_their_order() -> None:
    said = np.array([0.2] * 70 + [0.8] * 30)
    was = np.array([1.0] * 14 + [0.0] * 56 + [1.0] * 24 + [0.0] * 6)
    order = np.random.default_rng(2).permutation(100)
    for found in (reliability(said, was), reliability(said[order], was[order])):
        assert [each.count for each in found.bins] == [70, 30]
        assert found.ece == pytest.approx(0)


def test_honest_probabilities_have_a_small_error_and_bold_ones_a_large() -> None:
    rng = np.random.default_rng(3)
    said = rng.uniform(0.2, 0.8, size=20_000)
    was = (rng.uniform(size=20_000) < said).astype(np.float64)
    assert reliability(said, was).ece < 0.02
    assert reliability((said > 0.5).astype(np.float64), was).ece > 0.3


def test_fewer_documents_than_bins() -> None:
    found = reliability(np.array([0.3, 0.6]), np.array([0.0, 1.0]))
    assert [each.count for each in found.bins] == [1, 1]
