"""What may be acted on at each look, by horizon."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.sequential.bounds import two_sided_bounds
from ranklift.lift.sequential.confidence_sequence import always_valid_bound
from ranklift.lift.sequential.monitor import Monitored, Observed, monitor
from ranklift.lift.sequential.spending import pocock
from ranklift.lift.values import Interval
from ranklift.store.analysis import Horizon
from ranklift.v1.errors import InvalidRequest

FIXED = float(stats.norm.isf(0.025))


def look(units: int, lift: float = 0.0, error: float | None = None) -> Observed:
    """Return a look whose variance halves when the units double, 0.1 at 100 units."""
    return Observed(units, lift, 1 / math.sqrt(units) if error is None else error)


def bounds(looks: Sequence[Observed], said: Sequence[Monitored]) -> list[float]:
    """Return the bound of |z| that each look's interval was made with."""
    found = []
    for observed, monitored in zip(looks, said, strict=True):
        assert monitored.interval is not None
        half = math.log1p(monitored.interval.upper) - math.log1p(observed.relative_lift)
        found.append(half / observed.log_error)
    return found


def test_the_interval_is_the_estimate_with_the_bound_on_the_log_scale() -> None:
    looks = [look(units, 0.03) for units in (250, 500, 750, 1_000)]
    said = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000)
    assert bounds(looks, said) == pytest.approx(two_sided_bounds((0.25, 0.5, 0.75, 1)), abs=1e-8)
    assert [monitored.information for monitored in said] == [0.25, 0.5, 0.75, 1.0]
    last = said[-1].interval
    assert last is not None
    assert math.log1p(last.lower) + math.log1p(last.upper) == pytest.approx(2 * math.log(1.03))


def test_a_single_look_at_the_end_is_the_fixed_interval_whatever_the_horizon() -> None:
    rng = np.random.default_rng(5)
    control, arm = (
        Moments.of(("n", "d"), np.column_stack([rng.binomial(9, p, 4_000), np.full(4_000, 9)]))
        for p in (0.4, 0.42)
    )
    found = compare(control, arm, "n", "d")
    assert isinstance(found, Comparison)
    half = (math.log1p(found.relative_lift_upper) - math.log1p(found.relative_lift_lower)) / 2
    only = Observed(8_000, found.relative_lift, half / FIXED)
    fixed = pytest.approx((found.relative_lift_lower, found.relative_lift_upper), rel=1e-9)
    for horizon in (Horizon.FIXED, Horizon.GROUP_SEQUENTIAL):
        (said,) = monitor([only], horizon=horizon, planned_units=8_000)
        assert said.interval is not None
        assert (said.interval.lower, said.interval.upper) == fixed


def test_returning_users_make_looks_less_alike_than_their_number_says() -> None:
    # Hardly any new units at the second look, yet half the variance.
    looks = [look(950, error=0.02), look(1_000, error=0.02 / math.sqrt(2))]
    said = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000)
    assert bounds(looks, said) == pytest.approx(
        two_sided_bounds((1.0, 2.0), clock=(0.95, 1.0)), abs=1e-8
    )


def test_a_variance_put_right_upwards_takes_no_information_away() -> None:
    looks = [look(400), look(800, error=0.2), look(1_000, error=0.15)]
    said = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000)
    assert bounds(looks, said) == pytest.approx(two_sided_bounds((0.4, 0.8, 1.0)), abs=1e-8)


def test_units_that_shrink_are_counted_as_they_were_and_it_says_so() -> None:
    looks = [look(400), look(380), look(1_000)]
    said = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000)
    first, second, last = bounds(looks, said)
    assert second == pytest.approx(first)
    assert (first, last) == pytest.approx(two_sided_bounds((0.4, 1.0)), abs=1e-8)
    assert [monitored.information for monitored in said] == [0.4, 0.4, 1.0]
    assert "shrank from 40.0% to 38.0%" in said[1].note
    assert said[0].note == said[2].note == ""


def test_the_planned_end_decides_and_later_looks_repeat_it() -> None:
    looks = [look(500), look(1_100, 0.2), look(2_000, -0.5)]
    for horizon in (Horizon.FIXED, Horizon.GROUP_SEQUENTIAL):
        said = monitor(looks, horizon=horizon, planned_units=1_000)
        assert said[1].sign == 1
        assert said[2].interval == said[1].interval
        assert said[2].relative_lift == 0.2
        assert "Decided at look 2" in said[2].note
        assert [monitored.information for monitored in said] == [0.5, 1.0, 1.0]


def test_an_end_that_comes_early_spends_what_is_left() -> None:
    looks = [look(300), look(800)]
    open_, ended = (
        monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000, finished=finished)
        for finished in (False, True)
    )
    assert ended[0] == open_[0]
    assert bounds(looks, ended) == pytest.approx(
        two_sided_bounds((0.3, 0.8), clock=(0.3, 1.0)), abs=1e-8
    )
    assert bounds(looks, ended)[1] < bounds(looks, open_)[1]
    assert ended[1].information == 0.8


def test_the_plan_is_done_when_both_size_and_time_are() -> None:
    looks = [Observed(900, 0.0, 0.03, 0.4), Observed(1_200, 0.0, 0.02, 0.8)]
    sized = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000)
    assert [monitored.information for monitored in sized] == [0.4, 0.8]
    timed = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL)
    assert timed == sized
    short = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=2_000)
    assert [monitored.information for monitored in short] == [0.4, 0.6]


def test_a_fixed_horizon_says_nothing_before_its_end() -> None:
    looks = [look(500, 3.0), look(900, 3.0), look(1_000, 3.0)]
    said = monitor(looks, horizon=Horizon.FIXED, planned_units=1_000)
    assert [monitored.interval is None for monitored in said] == [True, True, False]
    assert [monitored.sign for monitored in said] == [0, 0, 1]
    assert bounds(looks[-1:], said[-1:]) == pytest.approx([FIXED])
    assert monitor(looks, horizon=Horizon.FIXED)[-1].interval is None
    assert monitor(looks, horizon=Horizon.FIXED, finished=True)[-1].crossed


def test_always_valid_goes_on_for_ever() -> None:
    looks = [look(units) for units in (500, 1_000, 20_000)]
    said = monitor(looks, horizon=Horizon.ALWAYS_VALID, planned_units=1_000)
    assert bounds(looks, said) == pytest.approx(
        [always_valid_bound(observed.units, 1_000) for observed in looks], rel=1e-9
    )
    assert [monitored.information for monitored in said] == [0.5, 1.0, 1.0]


def test_without_a_plan_always_valid_is_tuned_to_ten_first_looks() -> None:
    looks = [look(units) for units in (50, 500, 5_000)]
    said = monitor(looks, horizon=Horizon.ALWAYS_VALID)
    ratios = [bound / FIXED for bound in bounds(looks, said)]
    assert ratios == pytest.approx([1.97, 1.55, 1.65], abs=0.01)
    assert all(monitored.information is None for monitored in said)


def test_which_way_an_interval_crosses() -> None:
    for lower, upper, sign in ((0.01, 0.2, 1), (-0.2, -0.01, -1), (-0.1, 0.1, 0), (0.0, 0.1, 0)):
        said = Monitored(0.0, Interval(lower, upper), None)
        assert (said.sign, said.crossed) == (sign, sign != 0)
    assert not Monitored(0.5, None, None).crossed


def test_an_early_look_may_have_no_upper_end() -> None:
    (said,) = monitor([look(1, 0.0, 100.0)], horizon=Horizon.ALWAYS_VALID)
    assert said.interval == Interval(-1.0, math.inf)  # exp(27 x 100)
    assert not said.crossed


def test_swapping_the_arms_mirrors_every_look() -> None:
    looks = [look(units, lift) for units, lift in ((300, 0.4), (700, 0.1), (1_000, 0.12))]
    swapped = [look(o.units, 1 / (1 + o.relative_lift) - 1) for o in looks]
    for horizon in (Horizon.GROUP_SEQUENTIAL, Horizon.ALWAYS_VALID):
        there, back = (
            monitor(seen, horizon=horizon, planned_units=1_000) for seen in (looks, swapped)
        )
        for a, b in zip(there, back, strict=True):
            assert a.interval is not None
            assert b.interval is not None
            assert math.log1p(a.interval.lower) == pytest.approx(-math.log1p(b.interval.upper))
            assert a.sign == -b.sign


def test_the_spending_can_be_chosen() -> None:
    looks = [look(500), look(1_000)]
    said = monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, planned_units=1_000, spending=pocock)
    expected = two_sided_bounds((0.5, 1.0), 0.05, pocock)
    assert bounds(looks, said) == pytest.approx(expected, abs=1e-8)


def test_no_looks_say_nothing() -> None:
    assert monitor([], horizon=Horizon.GROUP_SEQUENTIAL, planned_units=10) == ()


@pytest.mark.parametrize(
    ("looks", "arguments", "message"),
    [
        ([look(5)], {}, r"planned_units: group-sequential looks .* there is none"),
        ([look(5)], {"planned_units": -1}, "planned_units: -1 is negative"),
        ([look(5)], {"planned_units": 9, "alpha": 1.0}, r"alpha: 1\.0 is not between"),
        ([look(5), look(0, error=1.0)], {"planned_units": 9}, r"looks\[1\]\.units: 0"),
        ([look(5, -1.0)], {"planned_units": 9}, r"looks\[0\]\.relative_lift: -1\.0"),
        ([look(5, math.nan)], {"planned_units": 9}, r"looks\[0\]\.relative_lift: nan"),
        ([look(5, 0.1, 0.0)], {"planned_units": 9}, r"looks\[0\]\.log_error: 0\.0"),
        ([look(5, 0.1, math.nan)], {"planned_units": 9}, r"looks\[0\]\.log_error: nan"),
        ([Observed(5, 0.1, 0.1, 0.0)], {}, r"looks\[0\]\.planned_time: 0\.0"),
    ],
)
def test_what_is_no_look_is_refused(
    looks: list[Observed], arguments: dict[str, float], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        monitor(looks, horizon=Horizon.GROUP_SEQUENTIAL, **arguments)  # type: ignore[arg-type]
