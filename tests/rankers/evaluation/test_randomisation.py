"""The randomisation test against SciPy's, and its level where nothing differs."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ranklift.rankers.evaluation import randomisation
from ranklift.rankers.evaluation.randomisation import randomisation_test
from ranklift.rankers.evaluation.ratios import Ratio, mean_of
from ranklift.v1.errors import InvalidRequest

Floats = NDArray[np.float64]


def scipys(a: Floats, b: Floats, statistic: Callable[..., float]) -> float:
    found = stats.permutation_test(
        (a, b), statistic, permutation_type="samples", n_resamples=100_000, vectorized=False
    )
    return float(found.pvalue)


@pytest.mark.parametrize("seed", range(8))
def test_few_queries_are_tested_exactly_as_scipy_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=9), rng.normal(0.4, 1, size=9)
    found = randomisation_test(mean_of(a), mean_of(b))
    assert (found.exact, found.assignments) == (True, 2**9)
    assert found.p_value == pytest.approx(scipys(a, b, lambda x, y: float(y.mean() - x.mean())))


@pytest.mark.parametrize("seed", range(8))
def test_pooled_figures_too(seed: int) -> None:
    # A query's right pairs and all its pairs as one number, so that SciPy swaps both.
    rng = np.random.default_rng(seed)
    pairs = rng.integers(1, 30, size=(2, 8)).astype(np.float64)  # without ties, which differ
    right = np.floor(pairs * rng.uniform(size=(2, 8)))

    def log_pnr(coded: Floats) -> float:
        all_right, all_pairs = (coded // 100).sum(), (coded % 100).sum()
        return math.log((all_right + 0.5) / (all_pairs - all_right + 0.5))

    a, b = 100 * right + pairs
    found = randomisation_test(*(Ratio(right[i], pairs[i], 0.5, "log_odds") for i in (0, 1)))
    assert found.p_value == pytest.approx(scipys(a, b, lambda x, y: log_pnr(y) - log_pnr(x)))


def test_equal_differences_count_as_extreme_despite_rounding() -> None:
    # All assignments are equally far: |difference| is 0.1 + 0.2 or -(0.1 + 0.2) or 0.1.
    a, b = np.zeros(3), np.array([0.1, 0.2, 0.3])
    found = randomisation_test(mean_of(a), mean_of(b))
    assert found.p_value == 2 / 8


def alike_means(rng: np.random.Generator) -> tuple[Ratio, Ratio]:
    # Skewed, and hard queries are hard for both.
    hard = rng.exponential(size=25)
    return mean_of(hard * rng.exponential(size=25)), mean_of(hard * rng.exponential(size=25))


def alike_pnrs(rng: np.random.Generator) -> tuple[Ratio, Ratio]:
    # A few queries have most of the pairs.
    pairs = np.ceil(rng.pareto(1.5, size=25) * 10)
    right = rng.binomial(pairs.astype(int), rng.beta(8, 2, size=25), size=(2, 25))
    return Ratio(right[0], pairs, 0.5, "log_odds"), Ratio(right[1], pairs, 0.5, "log_odds")


@pytest.mark.parametrize("alike", [alike_means, alike_pnrs])
def test_rankers_that_are_alike_are_told_apart_as_often_as_the_level_says(
    alike: Callable[[np.random.Generator], tuple[Ratio, Ratio]],
) -> None:
    rng = np.random.default_rng(11)
    found = [randomisation_test(*alike(rng), seed=n, assignments=499).p_value for n in range(600)]
    # 99.9 % of honest tests: within 3.3 standard errors.
    for level in (0.05, 0.2):
        error = math.sqrt(level * (1 - level) / 600)
        assert abs(np.mean(np.array(found) <= level) - level) < 3.3 * error
    # At no level more often; less often near 1, where counts of pairs are exactly equal.
    assert stats.kstest(found, "uniform", alternative="greater").pvalue > 0.001


def test_a_better_ranker_is_found() -> None:
    rng = np.random.default_rng(12)
    a = rng.normal(size=60)
    found = randomisation_test(mean_of(a), mean_of(a + rng.normal(0.5, 0.5, size=60)))
    assert found.p_value == 1 / 10_001  # none of those drawn is as far out; the observed one is
    assert not found.exact


def test_drawn_assignments_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(13)
    a, b = rng.normal(size=12), rng.normal(0.3, 1, size=12)
    exact = randomisation_test(mean_of(a), mean_of(b))
    drawn = randomisation_test(mean_of(a), mean_of(b), assignments=4_000, seed=14)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.03)


def test_a_ranker_does_not_differ_from_itself() -> None:
    one = mean_of(np.arange(30.0))
    assert randomisation_test(one, one).p_value == 1


def test_figures_without_a_value_have_no_p_value() -> None:
    nothing = mean_of(np.full(5, np.nan))
    with pytest.raises(InvalidRequest, match="no difference to test"):
        randomisation_test(nothing, nothing)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(15)
    a, b = mean_of(rng.normal(size=40)), mean_of(rng.normal(size=40))
    whole = randomisation_test(a, b, assignments=500)
    monkeypatch.setattr(randomisation, "_BLOCK", 400)
    assert randomisation_test(a, b, assignments=500) == whole
