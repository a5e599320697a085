"""The bootstrap against SciPy's and against the truth."""

import numpy as np
import pytest
from scipy import stats

from ranklift.rankers.evaluation import ratios
from ranklift.rankers.evaluation.ratios import Ratio, estimates, mean_of, resampled_shares


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(1).exponential(size=50)
    (own,) = estimates([mean_of(values)], seed=0, resamples=20_000)
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert own.value == pytest.approx(values.mean())
    # Monte-Carlo error of either: about 0.006.
    assert (own.lower, own.upper) == pytest.approx((peer.low, peer.high), abs=0.02)


@pytest.mark.parametrize("seen", ["share", "odds"])
def test_intervals_cover_the_truth_as_often_as_they_say(seen: str) -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(400):
        # Queries differ: in how many pairs they have, and in how many of them are right.
        pairs = rng.integers(5, 40, size=80).astype(np.float64)
        right = rng.binomial(pairs.astype(int), rng.beta(8, 2, size=80)).astype(np.float64)
        truth = 0.8 if seen == "share" else 4.0
        ratio = Ratio(right, pairs, 0.5, seen)  # type: ignore[arg-type]
        (found,) = estimates([ratio], seed=seed, resamples=500)
        covered += found.lower <= truth <= found.upper
    # 99.9 % of honest ones: 0.914 to 0.986. (0.951 of 1,500 with 1,000 resamples.)
    assert 0.914 <= covered / 400 <= 0.986


def test_all_ratios_are_of_the_same_draws() -> None:
    values = np.random.default_rng(5).normal(size=30)
    same, turned = resampled_shares([mean_of(values), mean_of(-values)], seed=6, resamples=50)
    assert same.tolist() == pytest.approx((-turned).tolist())


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    each = mean_of(np.random.default_rng(7).normal(size=30))
    whole = resampled_shares([each], seed=8, resamples=50)
    monkeypatch.setattr(ratios, "_BLOCK", 100)
    assert resampled_shares([each], seed=8, resamples=50).tolist() == whole.tolist()


def test_queries_without_a_value_are_no_zeros() -> None:
    (found,) = estimates([mean_of(np.array([1.0, np.nan, 1.0]))], seed=0, resamples=200)
    assert (found.value, found.lower, found.upper) == (1, 1, 1)
