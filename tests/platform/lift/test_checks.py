"""The data checks: what each finds, what it lets pass, and when it cannot tell."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ranklift.lift.checks import (
    ArmCounts,
    Check,
    data_checks,
    fallback_share,
    known_arms,
    one_arm_per_unit,
    sample_ratio,
)
from ranklift.store.values import RegisteredExperiment

HALVES = {"control": 0.5, "student": 0.5}


def sums(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit_id": [unit for unit, _ in rows],
            "arm": [arm for _, arm in rows],
            "pages": [1] * len(rows),
            "fallback_pages": [0] * len(rows),
        }
    )


def test_sample_ratio_is_pearsons_chi_square_by_hand() -> None:
    # (5100 - 5000)^2 / 5000 twice is 4; the tail of chi-square(1) beyond 4 is 0.0455.
    check = sample_ratio({"control": 5_100, "student": 4_900}, HALVES)
    assert check.p_value == pytest.approx(0.04550026389635857, rel=1e-12)
    assert check.passed
    assert "control 51.00% of 10,000 units (planned 50.00%)" in check.detail


def test_sample_ratio_finds_a_planted_mismatch() -> None:
    # One point off at 100,000 units: z = 6.3.
    assert not sample_ratio({"control": 51_000, "student": 49_000}, HALVES).passed


def test_sample_ratio_follows_unequal_shares_and_several_arms() -> None:
    shares = {"control": 0.8, "a": 0.1, "b": 0.1}
    fair = sample_ratio({"control": 8_010, "a": 985, "b": 1_005}, shares)
    assert fair.p_value == pytest.approx(
        stats.chi2.sf(100 / 8000 + 225 / 1000 + 25 / 1000, 2), rel=1e-12
    )
    assert fair.passed
    assert not sample_ratio({"control": 8_010, "a": 850, "b": 1_140}, shares).passed


@pytest.mark.parametrize("units", [(0, 0), (9, 0), (1, 3)])
def test_sample_ratio_says_when_there_are_too_few_units(units: tuple[int, int]) -> None:
    check = sample_ratio(dict(zip(HALVES, units, strict=True)), HALVES)
    assert (check.passed, check.p_value) == (True, None)
    assert check.detail.startswith("Not enough units yet")


def test_sample_ratio_alarms_at_its_rate_under_no_mismatch() -> None:
    drawn = np.random.default_rng(3).binomial(10_000, 0.5, 3_000)
    alarms = sum(
        not sample_ratio({"control": int(n), "student": 10_000 - int(n)}, HALVES).passed
        for n in drawn
    )
    assert alarms <= stats.binom.ppf(0.9995, 3_000, 0.001)


def test_a_unit_in_two_arms_fails_its_check() -> None:
    check = one_arm_per_unit(sums(("a", "control"), ("b", "student"), ("a", "student")))
    assert not check.passed
    assert "1 of 2 units (50.00%) saw more than one arm" in check.detail
    assert one_arm_per_unit(sums(("a", "control"), ("b", "student"))).passed


def test_an_arm_that_the_experiment_does_not_have_fails_its_check() -> None:
    check = known_arms(sums(("a", "control"), ("b", "teacher")), ["control", "student"])
    assert not check.passed
    assert '1 units were logged in "teacher"' in check.detail


def arm(name: str, hit: int, units: int, fallback_pages: int, pages: int) -> ArmCounts:
    return ArmCounts(name, units, hit, pages, fallback_pages)


def fallback(*arms: ArmCounts) -> Check:
    return fallback_share(arms)


def test_fallback_pages_in_one_arm_only_fail_the_check() -> None:
    check = fallback(arm("control", 0, 500, 0, 5_000), arm("student", 200, 500, 400, 5_000))
    assert not check.passed
    assert "control 0.00%, student 8.00%" in check.detail


def test_fallback_pages_alike_in_all_arms_pass() -> None:
    # By hand: Pearson's chi-square of [[60, 440], [50, 450]] is 0.9 / 0.89.
    check = fallback(arm("control", 60, 500, 90, 5_000), arm("student", 50, 500, 80, 5_000))
    assert check.passed
    statistic = 1_000 * (60 * 450 - 440 * 50) ** 2 / (110 * 890 * 500 * 500)
    assert check.p_value == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-9)


def test_a_difference_too_small_to_matter_passes() -> None:
    check = fallback(
        arm("control", 0, 50_000, 0, 500_000), arm("student", 900, 50_000, 900, 500_000)
    )
    assert check.passed
    assert check.p_value is not None
    assert check.p_value < 1e-10


def test_chance_in_few_units_passes() -> None:
    assert fallback(arm("control", 0, 10, 0, 40), arm("student", 2, 10, 4, 40)).passed


def test_when_every_unit_met_a_fallback_page_the_pages_decide() -> None:
    uneven = fallback(arm("control", 9, 9, 9, 90), arm("student", 9, 9, 90, 90))
    assert (uneven.passed, uneven.p_value) == (False, None)
    assert fallback(arm("control", 9, 9, 50, 90), arm("student", 9, 9, 50, 90)).passed


def test_one_arm_alone_cannot_be_compared() -> None:
    check = fallback(arm("control", 5, 9, 9, 90), arm("student", 0, 0, 0, 0))
    assert (check.passed, check.p_value) == (True, None)


def test_units_seen_in_fallback_pages_only_count_as_assigned(
    experiment: RegisteredExperiment,
) -> None:
    # 100 in each arm, half of the student's only met the champion: the split itself is right.
    rows = [(f"u{i}", "control" if i % 2 else "student") for i in range(200)]
    frame = sums(*rows).with_columns(
        pages=pl.Series([0 if i % 4 == 0 else 1 for i in range(200)]),
        fallback_pages=pl.Series([1 if i % 4 == 0 else 0 for i in range(200)]),
    )
    passed = {check.name: check.passed for check in data_checks(frame, experiment.experiment)}
    assert passed == {
        "sample_ratio": True,
        "known_arms": True,
        "one_arm_per_unit": True,
        "fallback_share": False,
    }
