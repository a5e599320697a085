"""Sample-ratio mismatch: what is found, how often sound splits alarm, and what it says."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranklift.lift.sample_ratio import (
    ALPHA,
    CONCENTRATIONS,
    log_evidence,
    sample_ratio,
    sample_ratio_by_day,
    sample_ratio_by_segment,
)

HALVES = {"control": 0.5, "student": 0.5}
T0 = datetime(2025, 3, 1, tzinfo=UTC)


def split(control: int, student: int, **columns: object) -> pl.DataFrame:
    """Return usable units, with the same values of `columns` for all."""
    return pl.DataFrame({"arm": ["control"] * control + ["student"] * student}).with_columns(
        pl.lit(value).alias(name) for name, value in columns.items()
    )


# The log Bayes factors that ssrm-test 0.1.5 (Optimizely) gives with concentrations 100 and 10,000.
SSRM_TEST = [
    ([510, 490], [0.5, 0.5], (-1.0192267045767947, -0.029473881420017212)),
    ([5_300, 4_900], [0.5, 0.5], (5.449858286396193, 3.609289628928309)),
    ([870, 131, 99], [0.8, 0.1, 0.1], (-0.2163356498121516, 0.14952040825545504)),
    ([5, 0], [0.9, 0.1], (0.010771204124035984, 0.00011107596517498093)),
]


@pytest.mark.parametrize(("counts", "shares", "logs"), SSRM_TEST)
def test_evidence_is_the_mean_of_the_bayes_factors_of_ssrm_test(
    counts: list[int], shares: list[float], logs: tuple[float, float]
) -> None:
    assert CONCENTRATIONS == (100, 10_000)
    mean = math.log((math.exp(logs[0]) + math.exp(logs[1])) / 2)
    assert float(log_evidence(counts, shares)) == pytest.approx(mean, rel=1e-6, abs=1e-8)


@given(arms=st.lists(st.integers(0, 2), max_size=30))
def test_evidence_is_the_product_of_polyas_urn_draws(arms: list[int]) -> None:
    # Each concentration is an urn: the next unit meets arm i with (a_i + n_i) / (A + n).
    shares = np.array([0.5, 0.3, 0.2])
    products = []
    for size in CONCENTRATIONS:
        urn, product = size * shares, 1.0
        for arm in arms:
            product *= urn[arm] / urn.sum() / shares[arm]
            urn[arm] += 1
        products.append(product)
    evidence = math.exp(log_evidence(np.bincount(arms, minlength=3), shares))
    assert evidence == pytest.approx(np.mean(products), rel=1e-8)


def test_a_sound_split_that_is_looked_at_2000_times_hardly_ever_alarms() -> None:
    # 3,000 experiments of 100,000 units, a look every 50 units. The chi-square of every look,
    # on the same data, alarms far more often than its 0.1 %.
    rng = np.random.default_rng(7)
    always_valid = chi_square = 0
    for _ in range(30):
        control = rng.binomial(50, 0.5, (100, 2_000)).cumsum(axis=1)
        units = 50 * np.arange(1, 2_001)
        counts = np.stack([control, units - control], axis=-1)
        always_valid += int((log_evidence(counts, [0.5, 0.5]) >= -math.log(ALPHA)).any(1).sum())
        z = (2 * control - units) / np.sqrt(units)
        chi_square += int((np.abs(z) >= stats.norm.isf(ALPHA / 2)).any(1).sum())
    assert always_valid <= stats.binom.ppf(0.9995, 3_000, ALPHA)
    assert chi_square >= 0.01 * 3_000


def test_a_point_too_many_among_100_000_units_is_found() -> None:
    # 51 : 49. At one look at the end, and with one look every 1,000 units.
    rng = np.random.default_rng(11)
    control = rng.binomial(1_000, 0.51, (4_000, 100)).cumsum(axis=1)
    units = 1_000 * np.arange(1, 101)
    counts = np.stack([control, units - control], axis=-1)
    alarms = log_evidence(counts, [0.5, 0.5]) >= -math.log(ALPHA)
    assert alarms[:, -1].mean() >= 0.97
    assert alarms.any(axis=1).mean() >= 0.98


@pytest.mark.parametrize(
    ("units", "control"), [(1_000, 0.58), (10_000, 0.526), (1_000_000, 0.5026)]
)
def test_departures_of_five_standard_errors_are_found_from_1000_units_to_a_million(
    units: int, control: float
) -> None:
    in_control = round(units * control)
    check = sample_ratio({"control": in_control, "student": units - in_control}, HALVES)
    assert not check.passed


def test_the_detail_has_the_chi_square_of_this_look() -> None:
    # (5100 - 5000)^2 / 5000 twice is 4; the tail of chi-square(1) beyond 4 is 0.0455.
    check = sample_ratio({"control": 5_100, "student": 4_900}, HALVES)
    assert "control 51.00% of 10,000 units (planned 50.00%)" in check.detail
    assert "A chi-square of this look alone: p = 0.0455." in check.detail
    assert check.passed
    assert check.p_value == pytest.approx(1 / math.exp(log_evidence([5_100, 4_900], [0.5, 0.5])))


def test_unequal_shares_and_several_arms_are_followed() -> None:
    shares = {"control": 0.8, "a": 0.1, "b": 0.1}
    fair = sample_ratio({"control": 8_010, "a": 985, "b": 1_005}, shares)
    assert fair.passed
    statistic = 100 / 8000 + 225 / 1000 + 25 / 1000
    assert f"p = {stats.chi2.sf(statistic, 2):.4g}." in fair.detail
    assert not sample_ratio({"control": 8_010, "a": 830, "b": 1_160}, shares).passed


def test_few_units_cannot_alarm_and_claim_no_chi_square() -> None:
    check = sample_ratio({"control": 9, "student": 0}, HALVES)
    assert check.passed
    assert "chi-square" not in check.detail
    assert sample_ratio({"control": 0, "student": 0}, HALVES).p_value is None


def test_swapped_arms_are_found_long_before_a_chi_square_may_be_used() -> None:
    # 1 % was planned for the arm that everybody meets: its expected count is 1.
    check = sample_ratio({"control": 0, "student": 100}, {"control": 0.99, "student": 0.01})
    assert not check.passed


def test_an_arm_planned_without_units_is_no_part_of_the_test() -> None:
    shares = {"control": 0.5, "student": 0.5, "retired": 0.0}
    units = {"control": 5_100, "student": 4_900}
    without = sample_ratio(units, HALVES)
    assert sample_ratio({**units, "retired": 0}, shares) == without


def test_units_in_an_arm_planned_without_units_fail_the_check() -> None:
    shares = {"control": 0.5, "student": 0.5, "retired": 0.0}
    check = sample_ratio({"control": 500, "student": 500, "retired": 3}, shares)
    assert not check.passed
    assert check.detail == 'Units in an arm with a planned share of 0: 3 in "retired".'


def test_a_single_arm_has_no_ratio() -> None:
    check = sample_ratio({"control": 10}, {"control": 1.0})
    assert (check.passed, check.p_value) == (True, None)


def by_day(*days: tuple[int, int]) -> pl.DataFrame:
    return pl.concat(
        split(control, student, first_page_time=T0 + timedelta(days=number, hours=7))
        for number, (control, student) in enumerate(days)
    )


def test_a_mismatch_of_one_day_is_found_though_the_total_looks_sound() -> None:
    units = by_day((2_000, 2_000), (1_750, 2_250), (2_250, 1_750), (30, 20))
    assert sample_ratio({"control": 6_030, "student": 6_020}, HALVES).passed
    check = sample_ratio_by_day(units, HALVES)
    assert not check.passed
    assert check.detail == (
        "2 of 3 days do not split as planned: "
        "2025-03-02: control 43.75% of 4,000 units (planned 50.00%), "
        "student 56.25% of 4,000 units (planned 50.00%); "
        "2025-03-03: control 56.25% of 4,000 units (planned 50.00%), "
        "student 43.75% of 4,000 units (planned 50.00%). "
        "Fewer than 100 units, not tested: 2025-03-04."
    )


def test_days_spend_alpha_that_adds_up_over_any_number_of_them() -> None:
    # p of the k-th day is multiplied by k (k + 1), and the sum of 1 / (k (k + 1)) is 1.
    quiet = [(500, 500)] * 9
    odd = math.exp(-log_evidence([575, 425], [0.5, 0.5]))
    first = sample_ratio_by_day(by_day((575, 425), *quiet), HALVES)
    assert first.p_value == pytest.approx(2 * odd, rel=1e-9, abs=0)
    last = sample_ratio_by_day(by_day(*quiet, (575, 425)), HALVES)
    assert last.p_value == pytest.approx(110 * odd, rel=1e-9, abs=0)
    assert not first.passed
    assert last.passed


def test_a_log_without_times_is_not_checked_by_day() -> None:
    check = sample_ratio_by_day(split(900, 100), HALVES)
    assert (check.passed, check.p_value) == (True, None)
    assert check.detail == "The log has no times: not checked."


def test_a_mismatch_in_one_browser_is_found_and_named() -> None:
    units = pl.concat(
        [
            split(5_000, 5_000, browser="firefox", country="de"),
            split(1_200, 800, browser="safari", country="de"),
            split(40, 10, browser="links", country=None),
            split(4_900, 5_100, browser="chrome", country=None),
        ],
        how="vertical_relaxed",
    )
    check = sample_ratio_by_segment(units, HALVES, ["browser", "country"])
    assert not check.passed
    assert check.detail.startswith(
        "1 of 5 segments do not split as planned: browser=safari: control 60.00% of 2,000 units"
    )
    assert check.detail.endswith("Fewer than 100 units, not tested: browser=links.")
    # Bonferroni over the five tested values.
    alone = math.exp(-log_evidence([1_200, 800], [0.5, 0.5]))
    assert check.p_value == pytest.approx(5 * alone, rel=1e-9, abs=0)


def test_two_hundred_sound_segments_pass_and_small_ones_are_not_all_named() -> None:
    rng = np.random.default_rng(5)
    units = pl.DataFrame(
        {
            "arm": rng.choice(["control", "student"], 60_000),
            "city": [f"c{i:03}" for i in np.minimum(rng.geometric(0.01, 60_000), 200)],
        }
    )
    check = sample_ratio_by_segment(units, HALVES, ["city"])
    assert check.passed
    assert check.p_value == 1.0


def test_small_segments_are_counted_when_there_are_many() -> None:
    units = pl.concat(split(5, 5, city=f"c{i:02}") for i in range(12))
    check = sample_ratio_by_segment(units, HALVES, ["city"])
    assert (check.passed, check.p_value) == (True, None)
    assert check.detail == (
        "No segments to test. Fewer than 100 units, not tested: "
        "city=c00; city=c01; city=c02; city=c03; city=c04 and 7 more."
    )
