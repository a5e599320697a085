"""Clustered regression and the delta method: two ways to one standard error."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from ranklift.lift.clustered import cluster_robust
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Comparison, Difference, compare, estimate
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest


def draw(seed: int, units: int) -> pl.DataFrame:
    """Return units with pages and clicked pages, every other one in the arm "t"."""
    rng = np.random.default_rng(seed)
    pages = 1 + rng.poisson(9, units)
    likely = rng.beta(4, 6, units)
    clicked = rng.binomial(pages, likely)
    return pl.DataFrame(
        {
            "unit_id": [f"u{i}" for i in range(units)],
            "arm": np.where(np.arange(units) % 2, "t", "c"),
            "pages": pages,
            "clicked": clicked,
        }
    )


def pages_of(units: pl.DataFrame) -> pl.DataFrame:
    """Return one row a page, of which the unit's first ones are clicked."""
    return (
        units.select("unit_id", "arm", "clicked", page=pl.int_ranges("pages"))
        .explode("page")
        .with_columns(click=pl.col("page") < pl.col("clicked"))
    )


def moments(units: pl.DataFrame) -> tuple[Moments, Moments]:
    control, arm = (
        Moments.from_frame(units.filter(pl.col("arm") == name), ("clicked", "pages"))
        for name in ("c", "t")
    )
    return control, arm


def regressed(units: pl.DataFrame, level: float = 0.95) -> Difference:
    found = cluster_robust(
        pages_of(units), "click", "arm", "unit_id", control="c", confidence_level=level
    )
    assert isinstance(found, Difference)
    return found


@pytest.mark.parametrize(("seed", "units"), [(42, 2_000), (1, 1_000), (2, 5_000)])
def test_the_delta_method_is_clustered_regression(seed: int, units: int) -> None:
    data = draw(seed, units)
    delta = compare(*moments(data), "clicked", "pages")
    assert isinstance(delta, Comparison)
    found = regressed(data)
    assert found.control_value == pytest.approx(delta.control_value, rel=1e-9)
    assert found.arm_value == pytest.approx(delta.arm_value, rel=1e-9)
    assert found.difference == pytest.approx(delta.difference, rel=1e-9)
    assert found.standard_error == pytest.approx(delta.standard_error, rel=1e-3)
    assert found.difference_lower == pytest.approx(delta.difference_lower, rel=2e-3)
    assert found.p_value == pytest.approx(delta.p_value, rel=5e-3)


def test_the_oracle_experiment() -> None:
    found = regressed(draw(42, 2_000))
    assert found.difference == pytest.approx(-0.0026627780581514587, rel=1e-9)
    assert found.standard_error == pytest.approx(0.00972080, abs=5e-9)
    assert found.degrees_of_freedom == 1_999


@pytest.mark.parametrize("seed", [42, 3])
def test_without_their_small_sample_factors_the_two_are_identical(seed: int) -> None:
    data = draw(seed, 400)
    variance = 0.0
    for side in moments(data):
        found = estimate(side, "clicked", "pages")
        assert not isinstance(found, Unavailable)
        variance += found.variance * (found.count - 1) / found.count
    units, pages = data.height, int(data["pages"].sum())
    factor = units / (units - 1) * (pages - 1) / (pages - 2)
    assert regressed(data).standard_error == pytest.approx(math.sqrt(variance * factor), rel=1e-9)


def test_the_interval_has_the_level_asked_for() -> None:
    data = draw(4, 300)
    wide, narrow = regressed(data, 0.99), regressed(data, 0.8)
    assert wide.difference_upper > narrow.difference_upper > wide.difference
    assert wide.p_value == narrow.p_value


@pytest.mark.parametrize("names", [["c"], ["c", "t", "u"], ["t", "u"]])
def test_it_takes_two_arms_of_which_one_is_control(names: list[str]) -> None:
    pages = pl.DataFrame({"click": 1.0, "arm": names, "unit_id": names})
    with pytest.raises(InvalidRequest, match='must hold "c" and one other arm'):
        cluster_robust(pages, "click", "arm", "unit_id", control="c")


@pytest.mark.parametrize(
    ("clicks", "units", "expected"),
    [
        pytest.param([1.0, None, 0, 1], ["a", "b", "x", "y"], "missing", id="null"),
        pytest.param([1, math.inf, 0, 1], ["a", "b", "x", "y"], "infinite", id="infinite"),
        pytest.param([1, 0, 0, 1], ["a", "a", "x", "y"], "control: 1 exposed", id="one-unit"),
        pytest.param([1, 0, 0, 1], ["a", "b", "x", "x"], "arm: 1 exposed", id="one-unit-arm"),
        pytest.param([1, 1, 1, 1], ["a", "b", "x", "y"], "no variance", id="constant"),
    ],
)
def test_what_cannot_be_computed_is_a_reason(
    clicks: list[float | None], units: list[str], expected: str
) -> None:
    pages = pl.DataFrame(
        {"click": clicks, "arm": ["c", "c", "t", "t"], "unit_id": units}, strict=False
    )
    found = cluster_robust(pages, "click", "arm", "unit_id", control="c")
    assert isinstance(found, Unavailable)
    assert expected in found.reason
