"""Post-stratification: against saturated regression, and what weighing must and must not do."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, LiftInterval, compare
from ranklift.lift.strata import compare_stratified
from ranklift.lift.values import Unavailable

COLUMNS = ("c", "n")


def draw(seed: int, units: int) -> tuple[Floats, Floats, Floats]:
    """Return (c, n) per unit, its stratum in 0-2 and its arm; strata differ in level and effect."""
    rng = np.random.default_rng(seed)
    stratum = rng.choice(3, units, p=[0.5, 0.3, 0.2])
    arm = rng.integers(0, 2, units)
    n = 1 + rng.poisson(4 + 3 * stratum)
    c = rng.poisson(n * (0.4 + 0.5 * stratum) * (1 + 0.05 * arm * stratum))
    return np.column_stack([c, n]).astype(float), stratum.astype(float), arm.astype(float)


def by_stratum(values: Floats, stratum: Floats) -> dict[str, Moments]:
    return {f"s{s:.0f}": Moments.of(COLUMNS, values[stratum == s]) for s in np.unique(stratum)}


def split(seed: int, units: int) -> tuple[dict[str, Moments], dict[str, Moments]]:
    values, stratum, arm = draw(seed, units)
    control, treated = (by_stratum(values[arm == a], stratum[arm == a]) for a in (0, 1))
    return control, treated


def stratified(
    control: dict[str, Moments], arm: dict[str, Moments], denominator: str | None
) -> Comparison:
    found = compare_stratified(control, arm, "c", denominator)
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_a_mean_is_saturated_regression_with_hc2_errors(seed: int) -> None:
    # Lin 2013: the arm's coefficient with centred, interacted strata is the post-stratified
    # difference; HC2 divides each cell's squares by its units less one.
    values, stratum, arm = draw(seed, 600)
    dummies = np.column_stack([stratum == s for s in (1, 2)]).astype(float)
    centred = dummies - dummies.mean(axis=0)
    design = np.column_stack([np.ones(600), arm, centred, centred * arm[:, None]])
    regression = sm.OLS(values[:, 0], design).fit(cov_type="HC2")
    found = stratified(*split(seed, 600), None)
    assert found.difference == pytest.approx(regression.params[1], rel=1e-9)
    assert found.standard_error == pytest.approx(regression.bse[1], rel=1e-9)


def test_a_ratio_is_the_same_regression_of_its_linearised_residuals() -> None:
    values, stratum, arm = draw(3, 900)
    shares = np.array([np.mean(stratum == s) for s in (0, 1, 2)])
    weights = np.zeros(900)  # what a unit weighs in its arm's post-stratified mean
    for a in (0, 1):
        for s in (0, 1, 2):
            cell = (arm == a) & (stratum == s)
            weights[cell] = shares[s] / cell.sum()
    residuals = np.zeros(900)
    ratios = []
    for a in (0, 1):
        c, n = weights[arm == a] @ values[arm == a]
        ratios.append(c / n)
        residuals[arm == a] = (values[arm == a] @ [1, -c / n]) / n
    dummies = np.column_stack([stratum == s for s in (1, 2)]).astype(float)
    centred = dummies - dummies.mean(axis=0)
    design = np.column_stack([np.ones(900), arm, centred, centred * arm[:, None]])
    regression = sm.OLS(residuals, design).fit(cov_type="HC2")
    found = stratified(*split(3, 900), "n")
    assert (found.control_value, found.arm_value) == pytest.approx(tuple(ratios), rel=1e-12)
    assert found.standard_error == pytest.approx(regression.bse[1], rel=1e-9)


@pytest.mark.parametrize("denominator", [None, "n"])
def test_one_stratum_is_the_plain_comparison(denominator: str | None) -> None:
    values, _, arm = draw(4, 300)
    control, treated = (Moments.of(COLUMNS, values[arm == a]) for a in (0, 1))
    found = compare_stratified({"all": control}, {"all": treated}, "c", denominator)
    expected = compare(control, treated, "c", denominator)
    assert isinstance(found, Comparison)
    assert isinstance(expected, Comparison)
    for name in Comparison.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_strata_that_differ_take_their_variance_and_their_imbalance_away() -> None:
    rng = np.random.default_rng(5)
    stratum = np.repeat([0.0, 1.0], 1_000)
    values = np.column_stack([10 + 50 * stratum + rng.normal(0, 1, 2_000), np.ones(2_000)])
    # Of the heavy users 600 are in the arm, of the light ones 400: no difference within either.
    arm = np.concatenate([np.arange(1_000) < 400, np.arange(1_000) < 600])
    control, treated = (by_stratum(values[arm == a], stratum[arm == a]) for a in (False, True))
    found = stratified(control, treated, None)
    naive = compare(sum_of(control), sum_of(treated), "c")
    assert isinstance(naive, Comparison)
    assert abs(found.difference) < 0.15
    assert naive.difference > 9
    assert found.standard_error < naive.standard_error / 10


def sum_of(strata: dict[str, Moments]) -> Moments:
    first, *rest = strata.values()
    for moments in rest:
        first += moments
    return first


def test_the_order_and_names_of_strata_do_not_matter() -> None:
    control, arm = split(6, 400)
    expected = stratified(control, arm, "n")
    names = {"s0": "z", "s1": "a", "s2": "m"}
    renamed = stratified(
        {names[name]: m for name, m in reversed(control.items())},
        {names[name]: m for name, m in arm.items()},
        "n",
    )
    assert renamed.difference == pytest.approx(expected.difference, rel=1e-12)
    assert renamed.p_value == pytest.approx(expected.p_value, rel=1e-12)


def test_the_lifts_interval_is_the_one_asked_for() -> None:
    found = compare_stratified(*split(7, 400), "c", "n", lift_interval=LiftInterval.DELTA)
    assert isinstance(found, Comparison)
    assert found.relative_lift_upper - found.relative_lift == pytest.approx(
        found.relative_lift - found.relative_lift_lower, rel=1e-9
    )


def moments(units: int, c: float = 1.0, n: float = 1.0) -> Moments:
    return Moments.of(COLUMNS, np.tile([c, n], (units, 1)))


INFINITE = Moments(COLUMNS, 20, np.array([np.inf, 1]), np.full((2, 2), np.nan))


@pytest.mark.parametrize(
    ("control", "arm", "expected"),
    [
        pytest.param({}, {}, "no strata", id="no-strata"),
        pytest.param(
            {"de": moments(50), "fr": moments(9)},
            {"de": moments(50), "fr": moments(50)},
            '9 units of control in stratum "fr", at least 10',
            id="small",
        ),
        pytest.param(
            {"de": moments(50), "fr": moments(50)},
            {"de": moments(50)},
            '0 units of the arm in stratum "fr"',
            id="absent",
        ),
        pytest.param({"x": moments(20)}, {"x": moments(20)}, "no variance", id="constant"),
        pytest.param({"x": moments(20, n=0)}, {"x": moments(20)}, "n is 0", id="denominator-0"),
        pytest.param({"x": moments(20)}, {"x": INFINITE}, "not finite", id="infinite"),
    ],
)
def test_what_cannot_be_computed_is_a_reason(
    control: dict[str, Moments], arm: dict[str, Moments], expected: str
) -> None:
    found = compare_stratified(control, arm, "c", "n")
    assert isinstance(found, Unavailable)
    assert expected in found.reason
