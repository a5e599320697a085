"""The bootstrap by unit: against the delta method, and free of order and chance in its weights."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ranklift.lift import bootstrap
from ranklift.lift.bootstrap import Bootstrapped, bootstrap_ratio
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest


def draw(seed: int, units: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    pages = 1 + rng.poisson(9, units)
    likely = rng.beta(4, 6, units)
    return pl.DataFrame(
        {
            "unit_id": [f"u{i}" for i in range(units)],
            "arm": np.where(np.arange(units) % 2, "t", "c"),
            "pages": pages,
            "clicked": rng.binomial(pages, likely),
        }
    )


def resampled(
    frame: pl.DataFrame, denominator: str | None = "pages", *, replicates: int = 1000, seed: int = 0
) -> Bootstrapped:
    found = bootstrap_ratio(
        frame, "c", "t", "clicked", denominator, replicates=replicates, seed=seed
    )
    assert isinstance(found, Bootstrapped)
    return found


def delta_method(frame: pl.DataFrame, denominator: str | None) -> Comparison:
    control, arm = (
        Moments.from_frame(frame.filter(pl.col("arm") == name), ("clicked", "pages"))
        for name in ("c", "t")
    )
    found = compare(control, arm, "clicked", denominator)
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize("denominator", ["pages", None])
@pytest.mark.parametrize("seed", [42, 1])
def test_the_standard_error_and_interval_are_the_delta_methods(
    seed: int, denominator: str | None
) -> None:
    data = draw(seed, 2_000)
    delta, found = delta_method(data, denominator), resampled(data, denominator, replicates=4_000)
    assert found.difference == pytest.approx(delta.difference, rel=1e-9)
    assert found.relative_lift == pytest.approx(delta.relative_lift, rel=1e-9)
    # 4,000 replicates give a standard error to 1.1 %, and an end to 0.04 of it; three times that.
    assert found.standard_error == pytest.approx(delta.standard_error, rel=0.035)
    relative_error = delta.standard_error / delta.control_value
    for end in ("difference_lower", "difference_upper"):
        assert getattr(found, end) == pytest.approx(
            getattr(delta, end), abs=0.13 * delta.standard_error
        )
    for end in ("relative_lift_lower", "relative_lift_upper"):
        assert getattr(found, end) == pytest.approx(getattr(delta, end), abs=0.13 * relative_error)


def test_the_oracle_experiment() -> None:
    # A bootstrap with 2,000 multinomial resamples gave 0.00992, the delta method 0.00972.
    assert resampled(draw(42, 2_000), replicates=4_000).standard_error == pytest.approx(
        0.0098, abs=0.0003
    )


def test_the_order_of_rows_does_not_change_a_bit() -> None:
    data = draw(2, 500).with_columns(pl.col("clicked") / 3)  # whose sums depend on their order
    assert resampled(data.sample(fraction=1, shuffle=True, seed=3)) == resampled(data)


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw(2, 500)
    expected = resampled(data)
    monkeypatch.setattr(bootstrap, "UNITS_AT_ONCE", 64)
    assert resampled(data) == expected


def test_a_units_weights_depend_on_no_other_unit() -> None:
    sums = np.ones((3, 1))
    three = bootstrap._resampled(pl.Series(["a", "b", "c"]), sums, 100, 5)
    two = bootstrap._resampled(pl.Series(["c", "a"]), sums[:2], 100, 5)
    one = bootstrap._resampled(pl.Series(["b"]), sums[:1], 100, 5)
    np.testing.assert_array_equal(three, one + two)


def test_weights_are_independent_poisson_draws() -> None:
    keys = np.random.default_rng(4).integers(0, 2**63, 20_000).astype(np.uint64)
    weights = np.concatenate([bootstrap._weights(keys, block) for block in range(5)])  # (20, units)
    counts = np.bincount(weights.astype(int).ravel(), minlength=7)
    observed = np.append(counts[:6], counts[6:].sum())
    expected = np.append(stats.poisson.pmf(range(6), 1), stats.poisson.sf(5, 1)) * weights.size
    assert stats.chisquare(observed, expected).pvalue > 0.001
    correlations = np.corrcoef(weights)[np.triu_indices(20, 1)]
    # 190 of them, of standard deviation 1 / sqrt(20,000).
    assert np.abs(correlations).max() < 4 / np.sqrt(20_000)


def test_seeds_differ_and_repeat() -> None:
    data = draw(5, 200)
    assert resampled(data, seed=1) == resampled(data, seed=1)
    assert resampled(data, seed=1).standard_error != resampled(data, seed=2).standard_error


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"replicates": 99}, "replicates"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"confidence_level": 1.0}, "confidence_level"),
    ],
)
def test_arguments_out_of_range_are_refused(given: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{field}: is"):
        bootstrap_ratio(draw(6, 10), "c", "t", "clicked", "pages", **given)


ROWS = [("c", 1.0, 2.0), ("c", 2.0, 4.0), ("c", 2.0, 3.0), ("t", 1.0, 2.0), ("t", 2.0, 5.0)] * 9
CONTROL = [row for row in ROWS if row[0] == "c"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(CONTROL, "arm: 0 exposed units", id="no-arm"),
        pytest.param([*CONTROL, ("t", 1.0, 2.0)], "arm: 1 exposed units", id="one-unit"),
        pytest.param([*ROWS, ("t", None, 1.0)], "arm: clicked or pages is missing", id="null"),
        pytest.param([*ROWS, ("c", 1.0, np.inf)], "control: clicked or pages", id="infinite"),
        pytest.param([(a, 0.0 if a == "c" else c, n) for a, c, n in ROWS], "no lift", id="zero"),
        pytest.param([(a, n / 2, n) for a, _, n in ROWS], "no variance", id="constant"),
        pytest.param(
            [*CONTROL, ("t", 1.0, 1.0), ("t", 0.0, 0.0)], "nothing to divide by", id="sparse"
        ),
    ],
)
def test_what_cannot_be_computed_is_a_reason(
    rows: list[tuple[str, float | None, float]], expected: str
) -> None:
    frame = pl.DataFrame(rows, schema=["arm", "clicked", "pages"], orient="row").with_columns(
        unit_id=pl.int_range(pl.len())
    )
    found = bootstrap_ratio(frame, "c", "t", "clicked", "pages")
    assert isinstance(found, Unavailable)
    assert expected in found.reason
