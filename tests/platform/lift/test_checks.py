"""The data checks: what each finds, what it lets pass, and when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import special, stats

from ranklift.lift.checks import data_checks, enough_units, usable_units, without_bots
from ranklift.lift.checks.assignment import (
    RECOMPUTED_UNITS,
    known_arms,
    one_arm_per_unit,
    recomputed_arms,
)
from ranklift.lift.checks.bots import CONCENTRATIONS as BOT_CONCENTRATIONS
from ranklift.lift.checks.bots import bot_units
from ranklift.lift.checks.clocks import page_times, silent_days
from ranklift.lift.checks.logged import clicks_without_dwell, equal_shares, fallback_share
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.sample_ratio import ALPHA, p_values_at_every_look
from ranklift.lift.values import Check

ARMS = ["control", "student"]
HALVES = {"control": 0.5, "student": 0.5}
T0 = datetime(2025, 3, 1, tzinfo=UTC)


def rows(*seen: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit_id": [unit for unit, _ in seen],
            "arm": [arm for _, arm in seen],
            "pages": [1] * len(seen),
            "fallback_pages": [0] * len(seen),
        }
    )


def arms_of(control: Sequence[object], student: Sequence[object], name: str) -> pl.DataFrame:
    """Return units of both arms with these values of one column."""
    return pl.DataFrame(
        {
            "unit_id": [f"u{i}" for i in range(len(control) + len(student))],
            "arm": ["control"] * len(control) + ["student"] * len(student),
            name: [*control, *student],
        }
    )


def test_a_unit_in_two_arms_fails_its_check_and_is_dropped() -> None:
    units = rows(("a", "control"), ("b", "student"), ("a", "student"))
    check = one_arm_per_unit(units)
    assert not check.passed
    assert "1 of 2 units (50.00%) saw more than one arm" in check.detail
    assert usable_units(units, ARMS)["unit_id"].to_list() == ["b"]
    assert one_arm_per_unit(rows(("a", "control"), ("b", "student"))).passed


def test_an_arm_that_the_experiment_does_not_have_fails_its_check_and_is_dropped() -> None:
    units = rows(("a", "control"), ("b", "teacher"))
    check = known_arms(units, ARMS)
    assert not check.passed
    assert '1 units were logged in "teacher"' in check.detail
    assert usable_units(units, ARMS)["unit_id"].to_list() == ["a"]


def by_parity(units: Sequence[str]) -> list[str | None]:
    return ["student" if int(unit[1:]) % 2 else "control" for unit in units]


def parity_log(units: int) -> pl.DataFrame:
    names = [f"u{i}" for i in range(units)]
    return pl.DataFrame({"unit_id": names, "arm": by_parity(names)})


def test_units_where_the_splitter_sends_them_pass() -> None:
    check = recomputed_arms(parity_log(500), by_parity)
    assert check.passed
    assert check.detail == "All of 500 units are in their arm."


def test_one_unit_in_the_wrong_arm_fails_and_is_named() -> None:
    units = parity_log(500).with_columns(
        arm=pl.when(pl.col("unit_id") == "u7").then(pl.lit("control")).otherwise("arm")
    )
    check = recomputed_arms(units, by_parity)
    assert not check.passed
    assert check.detail == (
        "1 of 500 units are not where the splitter sends them: "
        'unit "u7" was logged in "control" but belongs in "student".'
    )


def test_a_unit_that_takes_no_part_fails_the_recomputation() -> None:
    check = recomputed_arms(parity_log(3), lambda units: [None] * len(units))
    assert not check.passed
    assert check.detail.startswith("3 of 3 units")
    assert check.detail.endswith("but takes no part.")


def test_the_units_recomputed_do_not_depend_on_the_order_of_the_rows() -> None:
    asked: list[list[str]] = []

    def listen(units: Sequence[str]) -> list[str | None]:
        asked.append(list(units))
        return by_parity(units)

    units = parity_log(2 * RECOMPUTED_UNITS)
    recomputed_arms(units, listen)
    recomputed_arms(units.sample(fraction=1, shuffle=True, seed=3), listen)
    assert asked[0] == asked[1]
    assert len(asked[0]) == RECOMPUTED_UNITS


def lossy(
    rng: np.random.Generator, units: int, share: float, burst: float = 0.0
) -> tuple[list[int], list[int]]:
    """Return served and fallback pages of units; `burst` is the share of units hit all at once."""
    pages = 1 + rng.poisson(9, units)
    lost = rng.binomial(pages, share)
    lost = np.where(rng.random(units) < burst, pages, lost)
    return (pages - lost).tolist(), lost.tolist()


def fallback(control: tuple[list[int], list[int]], student: tuple[list[int], list[int]]) -> Check:
    frame = arms_of(control[0], student[0], "pages").with_columns(
        fallback_pages=pl.Series(control[1] + student[1])
    )
    return fallback_share(frame, ARMS)


def test_fallback_pages_in_one_arm_only_fail_the_check() -> None:
    rng = np.random.default_rng(1)
    check = fallback(lossy(rng, 500, 0.0), lossy(rng, 500, 0.08))
    assert not check.passed
    assert "control 0.00%, student 7.75%." in check.detail


def test_fallback_pages_in_bursts_pass_though_a_test_on_pages_would_fail() -> None:
    # One unit in twenty loses all its pages, alike in both arms: ten pages at a time.
    rng = np.random.default_rng(4)
    alarms = pages_alarms = 0
    for _ in range(150):
        arms = [lossy(rng, 300, 0.0, burst=0.05) for _ in ARMS]
        alarms += not fallback(arms[0], arms[1]).passed
        table = np.array([[sum(served), sum(lost)] for served, lost in arms])
        pages_alarms += int(stats.chi2_contingency(table).pvalue < 0.001)
    assert alarms <= 1
    assert pages_alarms >= 20


def test_the_share_test_with_two_arms_is_a_z_test_of_the_residuals() -> None:
    rng = np.random.default_rng(2)
    arms = {arm: lossy(rng, 200, share) for arm, share in zip(ARMS, (0.02, 0.06), strict=True)}
    data = {arm: (np.array(lost), np.add(served, lost)) for arm, (served, lost) in arms.items()}
    r = sum(lost.sum() for lost, _ in data.values()) / sum(w.sum() for _, w in data.values())
    difference = np.subtract(*[lost.sum() / whole.sum() for lost, whole in data.values()])
    variance = sum(
        (lost - r * whole).var(ddof=1) / 200 / whole.mean() ** 2 for lost, whole in data.values()
    )
    expected = 2 * stats.norm.sf(abs(difference) / np.sqrt(variance))
    check = fallback(arms["control"], arms["student"])
    assert check.p_value == pytest.approx(expected, rel=1e-9)


def test_a_difference_too_small_to_matter_passes() -> None:
    rng = np.random.default_rng(3)
    check = fallback(lossy(rng, 50_000, 0.0), lossy(rng, 50_000, 0.005))
    assert check.passed
    assert check.p_value is not None
    assert check.p_value < 1e-10


def test_few_units_cannot_be_compared() -> None:
    check = fallback(([4] * 10, [0] * 10), ([2] * 10, [2] * 10))
    assert (check.passed, check.p_value) == (True, None)
    assert "Not enough units to compare: 10 in an arm, 30 are needed." in check.detail


def test_where_all_units_are_alike_only_the_size_of_the_difference_is_left() -> None:
    def alike(part: int) -> Moments:
        return Moments.of(("part", "whole"), np.full((50, 2), (part, 4.0)))

    uneven = equal_shares("x", "Lost", {"control": alike(0), "student": alike(2)})
    assert (uneven.passed, uneven.p_value) == (False, None)
    assert equal_shares("x", "Lost", {"control": alike(2), "student": alike(2)}).passed


def test_one_arm_alone_cannot_be_compared() -> None:
    check = fallback(([4] * 50, [1] * 50), ([], []))
    assert (check.passed, check.p_value) == (True, None)


def dwells(lost_in_student: float) -> pl.DataFrame:
    rng = np.random.default_rng(6)
    clicks = rng.poisson(4, 4_000)
    lost = rng.binomial(clicks, np.where(np.arange(4_000) < 2_000, 0.05, lost_in_student))
    return arms_of(clicks[:2_000].tolist(), clicks[2_000:].tolist(), "clicks").with_columns(
        clicks_with_dwell=pl.Series(clicks - lost)
    )


def test_an_arm_that_loses_dwell_events_fails_its_check() -> None:
    assert clicks_without_dwell(dwells(0.05), ARMS).passed
    check = clicks_without_dwell(dwells(0.08), ARMS)
    assert not check.passed
    assert check.detail.startswith("Share of clicks without any dwell event: control 5.")


def test_more_clicks_in_one_arm_are_no_lost_dwells() -> None:
    # Twice the clicks, the same share lost: more units lost a dwell, but not more of the dwells.
    rng = np.random.default_rng(8)
    clicks = np.concatenate([rng.poisson(4, 5_000), rng.poisson(8, 5_000)])
    units = arms_of(clicks[:5_000].tolist(), clicks[5_000:].tolist(), "clicks").with_columns(
        clicks_with_dwell=pl.Series(clicks - rng.binomial(clicks, 0.05))
    )
    assert clicks_without_dwell(units, ARMS).passed


def test_a_log_that_cannot_tell_is_not_checked() -> None:
    units = rows(("a", "control"), ("b", "student"))
    for check in (
        fallback_share(units.drop("fallback_pages"), ARMS),
        clicks_without_dwell(units, ARMS),
        silent_days(units, HALVES),
        page_times(units, not_before=T0, now=None),
        bot_units(units, HALVES, 10),
    ):
        assert (check.passed, check.p_value) == (True, None)
        assert "not checked" in check.detail or "cannot be told" in check.detail


def visits(control: list[tuple[int, int]], student: list[tuple[int, int]]) -> pl.DataFrame:
    """Return units by the day of their first and of their last page."""
    frame = arms_of(control, student, "days")
    at = [
        [T0 + timedelta(days=pair[end], hours=9) for pair in (*control, *student)] for end in (0, 1)
    ]
    return frame.drop("days").with_columns(
        first_page_time=pl.Series(at[0]), last_page_time=pl.Series(at[1]), pages=pl.lit(4)
    )


def test_an_arm_that_is_silent_for_a_day_fails_its_check() -> None:
    daily = [(day, day) for day in range(4)] * 10
    gap = [pair for pair in daily if pair[0] != 2]
    assert silent_days(visits(daily, daily), HALVES).passed
    check = silent_days(visits(daily * 2, gap * 2), HALVES)
    assert not check.passed
    assert check.detail == (
        "Nothing was logged in student on 2025-03-03 (of 20 units that came or left)."
    )


def test_a_unit_that_leaves_on_a_day_shows_that_its_arm_was_served() -> None:
    daily = [(day, day) for day in range(4)] * 20
    gap = [pair for pair in daily if pair[0] != 2]
    assert silent_days(visits(daily, [*gap, (0, 2)]), HALVES).passed


def test_a_day_with_few_units_may_miss_an_arm_by_chance() -> None:
    many = [(0, 0)] * 50
    assert silent_days(visits([*many, (1, 1)], many), HALVES).passed
    assert silent_days(visits([*many, *[(1, 1)] * 8], many), {"control": 0.99, "student": 0.01})


def test_pages_before_the_start_or_after_now_fail_their_check() -> None:
    units = visits([(0, 1), (1, 2)], [(0, 3), (1, 1)])
    fine = page_times(units, not_before=T0, now=T0 + timedelta(days=4))
    assert fine.passed
    early = page_times(units, not_before=T0 + timedelta(days=1), now=None)
    assert not early.passed
    assert early.detail == (
        "2 units have pages before the start, 2025-03-02T00:00:00+00:00, the first at "
        "2025-03-01T09:00:00+00:00; check the clocks of whoever logged them."
    )
    late = page_times(units, not_before=None, now=T0 + timedelta(days=3))
    assert not late.passed
    assert "1 units have pages after now" in late.detail


def test_pages_that_all_lie_before_the_start_are_a_replay() -> None:
    units = visits([(0, 1)], [(0, 3)])
    check = page_times(units, not_before=T0 + timedelta(days=9), now=T0 + timedelta(days=10))
    assert check.passed
    assert "a replay" in check.detail


def test_clocks_that_differ_by_seconds_pass() -> None:
    units = visits([(0, 0)], [(0, 0)])
    assert page_times(units, not_before=T0 + timedelta(hours=9, seconds=20), now=None).passed


def test_units_with_more_pages_on_their_busiest_day_than_allowed_are_dropped() -> None:
    units = arms_of([10, 501, 500], [900, 501, None], "busiest_day_pages")
    kept, dropped = without_bots(units, 500)
    assert kept["unit_id"].to_list() == ["u0", "u2", "u5"]
    assert dropped == {"control": 1, "student": 2}
    assert without_bots(units, 0)[0].equals(units)


def test_without_a_busiest_day_the_mean_day_decides() -> None:
    units = visits([(0, 0), (0, 3)], [(0, 1), (2, 2)]).with_columns(
        pages=pl.Series([11, 41, 20, 10]), fallback_pages=pl.Series([0, 0, 0, 1])
    )
    kept, dropped = without_bots(units, 10)
    assert kept["unit_id"].to_list() == ["u2"]
    assert dropped == {"control": 2, "student": 1}


def test_bots_that_one_arm_makes_or_hides_fail_their_check() -> None:
    units = arms_of([99] * 20 + [1] * 980, [99] * 90 + [1] * 910, "busiest_day_pages")
    check = bot_units(units, HALVES, 50)
    assert not check.passed
    assert "control 20 of 1,000, student 90 of 1,000" in check.detail
    # A few, all on one side: 2^-32 twice over would be the chance.
    few = arms_of([1] * 1_000, [99] * 32 + [1] * 968, "busiest_day_pages")
    assert not bot_units(few, HALVES, 50).passed
    fair = arms_of([99] * 40 + [1] * 960, [99] * 60 + [1] * 940, "busiest_day_pages")
    assert bot_units(fair, HALVES, 50).passed
    assert bot_units(fair, HALVES, 99).p_value is None


def test_bots_that_fall_as_they_may_raise_no_alarm_however_often_one_looks() -> None:
    """2,000 streams of a hundred bots that are tossed, looked at after every one."""
    tosses = np.random.default_rng(8).random((2_000, 100)) < 0.5
    control = tosses.cumsum(axis=1)
    counts = np.stack([control, np.arange(1, 101) - control], axis=-1)
    p = p_values_at_every_look(counts, [0.5, 0.5], concentrations=BOT_CONCENTRATIONS)
    assert (p.min(axis=1) < ALPHA).mean() <= ALPHA + 3 * np.sqrt(ALPHA / 2_000)


def test_all_checks_of_sound_units_pass_and_only_what_is_given_is_checked() -> None:
    units = visits([(0, 1)] * 200, [(0, 1)] * 200).with_columns(browser=pl.lit("firefox"))
    plain = data_checks(units, arms=ARMS, shares=HALVES)
    assert all(check.passed for check in plain)
    assert [check.name for check in plain] == [
        "sample_ratio",
        "sample_ratio_by_day",
        "known_arms",
        "one_arm_per_unit",
        "fallback_share",
        "clicks_without_dwell",
        "silent_days",
    ]
    given = data_checks(
        units,
        arms=ARMS,
        shares=HALVES,
        recompute=lambda names: ["control"] * len(names),
        segments=["browser"],
        bot_pages_per_day=500,
        not_before=T0,
        now=T0 + timedelta(days=1),
    )
    assert {check.name: check.passed for check in given if check not in plain} == {
        "sample_ratio_by_segment": True,
        "recomputed_arms": False,
        "page_times": False,
        "bot_units": True,
    }


def test_units_that_met_fallback_pages_only_count_as_assigned() -> None:
    # 100 in each arm, half of the student's only met the champion: the split itself is right.
    seen = [(f"u{i}", "control" if i % 2 else "student") for i in range(200)]
    only = [i % 4 == 0 for i in range(200)]
    frame = rows(*seen).with_columns(
        pages=pl.Series([0 if lost else 1 for lost in only]),
        fallback_pages=pl.Series([1 if lost else 0 for lost in only]),
    )
    passed = {c.name: c.passed for c in data_checks(frame, arms=ARMS, shares=HALVES)}
    assert passed["sample_ratio"]
    assert not passed["fallback_share"]


def test_under_thirty_units_are_too_few_for_any_metric() -> None:
    check = enough_units(
        "page_ctr", {"control": (np.ones(40), None), "student": (np.ones(29), None)}
    )
    assert not check.passed
    assert check.detail.startswith("29 exposed units in the smallest arm, 30 are needed")
    assert not enough_units("page_ctr", {}).passed


def test_a_metric_that_does_not_vary_leaves_its_own_line_to_the_metric() -> None:
    constant = {"control": (np.ones(40), None), "student": (np.ones(40), None)}
    assert enough_units("user_ctr", constant).passed


def test_rare_clicks_need_four_in_the_smallest_arm() -> None:
    # The squared skewness of a rare 0/1 is about 1 / share, so 4 of it are about 4 clicks.
    def arms(clicks: int) -> dict[str, tuple[Floats, Floats | None]]:
        hit = np.zeros(1_000)
        hit[:clicks] = 1
        return {"control": (hit, None), "student": (hit, None)}

    assert not enough_units("user_ctr", arms(3)).passed
    assert enough_units("user_ctr", arms(5)).passed


Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Floats, Floats]]


def page_ctr(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    pages = 1 + rng.poisson(9 * rng.exponential(1, shape))
    return rng.binomial(pages, rng.beta(4, 6, shape)).astype(float), pages.astype(float)


def log_normal(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    return rng.lognormal(0, 1.5, shape), np.ones(shape)


def rare(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    return (rng.random(shape) < 0.02).astype(float), np.ones(shape)


@pytest.mark.parametrize("draw", [page_ctr, log_normal, rare])
@pytest.mark.parametrize("units", [(30, 30), (300, 300), (900, 100), (1_800, 200)])
def test_where_the_check_passes_95_percent_intervals_hold_92_percent(
    draw: Draw, units: tuple[int, int]
) -> None:
    rng = np.random.default_rng(12)
    arms = [draw(rng, (600, count)) for count in units]
    passed = np.array(
        [
            enough_units("m", {str(i): (n[k], d[k]) for i, (n, d) in enumerate(arms)}).passed
            for k in range(600)
        ]
    )
    # The interval of the lift as `ratio.compare` makes it, of 600 logs at once.
    ratios = [n.mean(1) / d.mean(1) for n, d in arms]
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = [
            (n - r[:, None] * d).var(1, ddof=1) / (n.shape[1] * d.mean(1) ** 2 * r**2)
            for (n, d), r in zip(arms, ratios, strict=True)
        ]
        freedom = sum(variances) ** 2 / sum(
            v**2 / (count - 1) for v, count in zip(variances, units, strict=True)
        )
        t = np.abs(np.log(ratios[1] / ratios[0])) / np.sqrt(sum(variances))
    shown = passed & np.isfinite(t)
    missed = int((t[shown] > special.stdtrit(freedom[shown], 0.975)).sum())
    assert missed <= stats.binom.ppf(0.999, int(shown.sum()), 0.08)
    if draw is page_ctr:
        assert passed.mean() >= 0.98
    if draw is log_normal and units == (30, 30):
        # Here 9 % of all intervals miss.
        assert passed.mean() <= 0.6
