"""A/A experiments on one's own units, held against the same splits done one by one."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ranklift.lift.adjust import Adjusted, Covariate, compare_adjusted
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.rerandomise import (
    Rerandomised,
    false_positive_band,
    honesty_check,
    rerandomise,
    split_moments,
    uniformity,
)
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

COLUMNS = ("clicked_pages", "pages", "dwell", "pre_clicked_pages", "pre_pages")
RATIO = ("clicked_pages", "pages")
PRE_RATIO = Covariate("pre_clicked_pages", "pre_pages")


def draw_units(seed: int, units: int) -> pl.DataFrame:
    """Draw users that differ, with their time before the experiment."""
    rng = np.random.default_rng(seed)
    likely = rng.beta(4, 6, units)
    pages, pre_pages = (1 + rng.poisson(9, units) for _ in range(2))
    clicked = rng.binomial(pages, likely)
    # Far from zero and not whole, where sums of squares cancel.
    dwell = 1e4 + clicked * rng.lognormal(0, 1, units)
    pre_clicked = rng.binomial(pre_pages, likely)
    return pl.DataFrame(
        dict(zip(COLUMNS, (clicked, pages, dwell, pre_clicked, pre_pages), strict=True))
    )


def arms_of_units(units: int, replicates: int, seed: int, share: float = 0.5) -> Floats:
    """Return which units the splits put in the arm, (replicates, units): a column marks each."""
    names = [str(unit) for unit in range(units)]
    marks = split_moments(
        names,
        np.eye(units),
        [[name] for name in names],
        replicates=replicates,
        share=share,
        seed=seed,
    )
    return np.array([[round(arm.mean[0] * arm.count) for _, arm in mark] for mark in marks]).T


def found(result: Rerandomised | Unavailable) -> Rerandomised:
    assert isinstance(result, Rerandomised)
    return result


@pytest.mark.parametrize(("share", "block_units", "block_replicates"), [(0.5, 32, 5), (0.2, 7, 3)])
def test_the_moments_are_those_of_the_units_of_each_arm(
    monkeypatch: pytest.MonkeyPatch, share: float, block_units: int, block_replicates: int
) -> None:
    module = importlib.import_module("ranklift.lift.rerandomise")
    monkeypatch.setattr(module, "BLOCK_UNITS", block_units)
    monkeypatch.setattr(module, "BLOCK_REPLICATES", block_replicates)
    values = draw_units(1, 150).select(pl.col(COLUMNS).cast(pl.Float64)).to_numpy()
    groups = [("dwell",), ("pages", "clicked_pages", "pre_pages")]
    splits = split_moments(COLUMNS, values, groups, replicates=17, share=share, seed=9)
    chosen = arms_of_units(150, 17, 9, share) > 0
    for group, pairs in zip(groups, splits, strict=True):
        own = values[:, [COLUMNS.index(name) for name in group]]
        for treated, pair in zip(chosen, pairs, strict=True):
            for ours, mask in zip(pair, (~treated, treated), strict=True):
                expected = Moments.of(group, own[mask])
                assert (ours.columns, ours.count) == (expected.columns, expected.count)
                np.testing.assert_allclose(ours.mean, expected.mean, rtol=1e-13)
                np.testing.assert_allclose(ours.m2, expected.m2, rtol=1e-9)


def test_every_replicate_is_the_comparison_of_its_two_arms() -> None:
    units = draw_units(2, 400)
    results = rerandomise(
        units,
        [RATIO, ("dwell", None), RATIO, ("dwell", None)],
        replicates=20,
        seed=3,
        covariates=[(), (), (PRE_RATIO,), (Covariate("pre_pages"), PRE_RATIO)],
    )
    for number, treated in enumerate(arms_of_units(400, 20, 3) > 0):
        control, arm = (
            Moments.from_frame(units.filter(mask), COLUMNS) for mask in (~treated, treated)
        )
        expected: list[Comparison] = []
        for numerator, denominator in (RATIO, ("dwell", None)):
            plain = compare(control, arm, numerator, denominator)
            assert isinstance(plain, Comparison)
            expected.append(plain)
        for (numerator, denominator), covariates in (
            (RATIO, [PRE_RATIO]),
            (("dwell", None), [Covariate("pre_pages"), PRE_RATIO]),
        ):
            adjusted = compare_adjusted(control, arm, numerator, denominator, covariates)
            assert isinstance(adjusted, Adjusted)
            expected.append(adjusted.comparison)
        for result, one in zip(results, expected, strict=True):
            ours = found(result)
            assert (
                ours.p_values[number],
                ours.relative_lifts[number],
                ours.standard_errors[number],
                ours.z[number],
            ) == pytest.approx(
                (
                    one.p_value,
                    one.relative_lift,
                    one.standard_error,
                    one.difference / one.standard_error,
                ),
                rel=1e-9,
            )


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_every_unit_is_in_the_arm_with_its_share_and_on_its_own(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    module = importlib.import_module("ranklift.lift.rerandomise")
    monkeypatch.setattr(module, "BLOCK_UNITS", 16)
    chosen = arms_of_units(40, 2_000, 5, share)
    error = np.sqrt(share * (1 - share) / 2_000)
    assert np.abs(chosen.mean(axis=0) - share).max() < 4.5 * error
    assert chosen.mean() == pytest.approx(share, abs=4 * error / np.sqrt(40))
    together = np.asarray(np.corrcoef(chosen.T))[np.triu_indices(40, 1)]
    assert np.abs(together).max() < 5 / np.sqrt(2_000)
    repeated = np.asarray(np.corrcoef(arms_of_units(600, 12, 5, share)))[np.triu_indices(12, 1)]
    assert np.abs(repeated).max() < 5 / np.sqrt(600)


def test_the_same_seed_gives_the_same_numbers_and_more_replicates_begin_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = importlib.import_module("ranklift.lift.rerandomise")
    monkeypatch.setattr(module, "BLOCK_REPLICATES", 50)
    units = draw_units(4, 300)
    few, many, other = (
        found(rerandomise(units, [RATIO], replicates=replicates, seed=seed)[0])
        for replicates, seed in ((60, 1), (130, 1), (60, 2))
    )
    again = found(rerandomise(units, [RATIO], replicates=60, seed=1)[0])
    np.testing.assert_array_equal(few.p_values, again.p_values)
    np.testing.assert_allclose(few.p_values, many.p_values[:60], rtol=1e-12)
    assert not np.isin(few.p_values, other.p_values).any()


def test_a_metric_that_a_split_cannot_test_says_so_and_spares_the_others() -> None:
    units = draw_units(5, 200).with_columns(
        never=pl.lit(0),
        holed=pl.when(pl.col("pages") > 9).then(pl.col("dwell")),
        endless=pl.when(pl.col("pages") > 9).then(pl.col("dwell")).otherwise(float("inf")),
    )
    never, holed, endless, fine = rerandomise(
        units,
        [("never", "pages"), ("holed", None), ("pages", "endless"), RATIO],
        replicates=10,
        seed=0,
    )
    assert never == Unavailable(
        "re-randomisation 0: the value in control is 0: no lift relative to it"
    )
    assert holed == Unavailable("holed: missing or infinite for some units")
    assert endless == Unavailable("endless: missing or infinite for some units")
    assert isinstance(fine, Rerandomised)


def test_a_share_that_is_one_unit_is_never_a_number() -> None:
    units = pl.DataFrame({"clicked": [1, *[0] * 99]})
    (result,) = rerandomise(units, [("clicked", None)], replicates=20, seed=0)
    assert isinstance(result, Unavailable)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("share", {"share": 0.0}),
        ("share", {"share": 1.0}),
        ("replicates", {"replicates": 0}),
        ("seed", {"seed": -1}),
        ("metrics", {"metrics": [("name", None)]}),
        ("covariates", {"covariates": [(), ()]}),
        ("metrics", {"metrics": [("likes", None)]}),
    ],
)
def test_what_cannot_be_asked_names_the_field(field: str, wrong: dict[str, object]) -> None:
    asked: dict[str, object] = {"metrics": [RATIO], "replicates": 5, "seed": 0} | wrong
    with pytest.raises(InvalidRequest) as raised:
        rerandomise(draw_units(6, 50).with_columns(name=pl.lit("u")), **asked)  # type: ignore[arg-type]
    assert [violation.field for violation in raised.value.violations] == [field]


def test_the_band_is_binomial() -> None:
    binomial = stats.binom(2_000, 0.05)
    low, high = false_positive_band(2_000, 0.05)
    assert (low, high) == (binomial.ppf(0.0005) / 2_000, binomial.ppf(0.9995) / 2_000)


@pytest.mark.parametrize("n", [300, 2_000])
def test_uniformity_is_kolmogorovs_and_smirnovs(n: int) -> None:
    p = np.random.default_rng(8).random(n)
    for values in (p, p**1.1):
        expected = stats.kstest(values, "uniform", method="exact").pvalue
        assert uniformity(values) == pytest.approx(expected, rel=0.03)


def test_a_test_of_independent_pages_is_found_dishonest_and_that_of_units_honest() -> None:
    units = draw_units(7, 2_000)
    honest = found(rerandomise(units, [RATIO], replicates=1_000, seed=11)[0])
    by_unit = honesty_check("page_ctr", honest)
    assert by_unit.passed
    assert by_unit.detail.startswith("page_ctr: ")

    # Independent pages have the error sqrt(R (1 - R) / pages) in each arm.
    clicked, pages = (int(units[name].sum()) for name in RATIO)
    rate = clicked / pages
    naive = honest.z * honest.standard_errors / np.sqrt(rate * (1 - rate) * 4 / pages)
    p_values = 2 * stats.norm.sf(np.abs(naive))
    dishonest = dataclasses.replace(honest, p_values=p_values)
    assert dishonest.false_positive_rate() > 0.1
    assert not honesty_check("page_ctr", dishonest).passed
