"""Bounds for looking often, against published tables, a peer, and integration by other means."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranklift.lift.sequential.bounds import MAX_Z, crossing_probabilities, two_sided_bounds
from ranklift.lift.sequential.information import accumulated_information, information_fractions
from ranklift.lift.sequential.spending import Spending, obrien_fleming, pocock, power_family
from ranklift.v1.errors import InvalidRequest


def equal(looks: int) -> list[float]:
    return [look / looks for look in range(1, looks + 1)]


def error(information: Sequence[float], bounds: Sequence[float]) -> float:
    return sum(map(sum, crossing_probabilities(information, bounds)))


def power(information: Sequence[float], bounds: Sequence[float], drift: float) -> float:
    return sum(above for above, _ in crossing_probabilities(information, bounds, drift))


# Jennison and Turnbull 2000, tables 2.1 and 2.3: two-sided alpha 0.05.
LOOKS = (1, 2, 3, 4, 5, 8, 10, 15, 20)
POCOCK = (1.960, 2.178, 2.289, 2.361, 2.413, 2.512, 2.555, 2.626, 2.672)
OBRIEN_FLEMING = (1.960, 1.977, 2.004, 2.024, 2.040, 2.072, 2.087, 2.110, 2.126)


@pytest.mark.parametrize(("looks", "constant"), list(zip(LOOKS, POCOCK, strict=True)))
def test_pococks_constants_have_error_alpha(looks: int, constant: float) -> None:
    # Half a unit of the table's last digit moves the error by at most 0.0001.
    assert error(equal(looks), [constant] * looks) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("looks", "constant"), list(zip(LOOKS, OBRIEN_FLEMING, strict=True)))
def test_obrien_flemings_constants_have_error_alpha(looks: int, constant: float) -> None:
    bounds = [constant / math.sqrt(t) for t in equal(looks)]
    assert error(equal(looks), bounds) == pytest.approx(0.05, abs=1e-4)


def test_obrien_fleming_like_spending_gives_the_published_bounds_of_five_looks() -> None:
    # As ldbounds and gsDesign print them; O'Brien and Fleming's own are 2.0401 / sqrt(t).
    published = (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)
    assert two_sided_bounds(equal(5)) == pytest.approx(published, abs=1e-4)


# spotify-confidence 4.1.0, from tests/benchmarks/lift_peers_spotify.py: (alpha, phi, information,
# bounds) for spending alpha t^phi.
SPOTIFY = (
    (0.05, 1.0, (0.2, 0.4, 0.6, 0.8, 1.0), (2.57583, 2.49193, 2.41077, 2.33908, 2.27545)),
    (0.05, 2.0, (0.2, 0.4, 0.6, 0.8, 1.0), (3.09023, 2.71408, 2.47274, 2.27981, 2.11397)),
    (
        0.05,
        2.0,
        (
            0.071429,
            0.142857,
            0.214286,
            0.285714,
            0.357143,
            0.428571,
            0.5,
            0.571429,
            0.642857,
            0.714286,
            0.785714,
            0.857143,
            0.928571,
            1.0,
        ),
        (
            3.65708,
            3.34656,
            3.1594,
            3.0145,
            2.89327,
            2.78763,
            2.6932,
            2.60728,
            2.52806,
            2.45427,
            2.38496,
            2.31942,
            2.2571,
            2.19756,
        ),
    ),
    (
        0.05,
        1.0,
        (0.11, 0.19, 0.42, 0.55, 0.9, 1.0),
        (2.77619, 2.78127, 2.47092, 2.4827, 2.23743, 2.30523),
    ),
    (
        0.05,
        2.0,
        (0.11, 0.19, 0.42, 0.55, 0.9, 1.0),
        (3.42936, 3.20148, 2.67338, 2.56539, 2.14191, 2.14134),
    ),
)


@pytest.mark.parametrize(("alpha", "phi", "information", "bounds"), SPOTIFY)
def test_equals_spotify_confidence(
    alpha: float, phi: float, information: tuple[float, ...], bounds: tuple[float, ...]
) -> None:
    assert two_sided_bounds(information, alpha, power_family(phi)) == pytest.approx(
        bounds, abs=1e-4
    )


@pytest.mark.parametrize(
    ("information", "alpha", "spending"),
    [
        pytest.param((0.3, 0.31, 0.35), 0.05, power_family(1), id="bunched"),
        pytest.param((0.11, 0.19, 0.42, 0.9), 0.1, power_family(0.7), id="crosses-to-and-fro"),
        pytest.param((0.3, 0.5, 1.0), 0.05, obrien_fleming, id="obrien-fleming"),
        pytest.param((0.1, 0.9, 1.0), 0.2, pocock, id="pocock"),
    ],
)
def test_the_normal_integral_over_all_looks_is_what_was_spent(
    information: tuple[float, ...], alpha: float, spending: Spending
) -> None:
    # Genz's integration of the joint normal distribution of z at all looks. spotify-confidence is
    # off by 1e-3 in z in the first two: its grid is too coarse for bunched looks, and it does not
    # see paths that cross on one side after the other.
    bounds = two_sided_bounds(information, alpha, spending)
    t = np.array(information)
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    inside = stats.multivariate_normal.cdf(
        np.array(bounds),
        np.zeros(len(t)),
        correlation,
        lower_limit=-np.array(bounds),
        maxpts=400_000,
        abseps=1e-8,
        releps=1e-8,
        rng=np.random.default_rng(1),
    )
    assert 1 - inside == pytest.approx(spending(information[-1], alpha), abs=2e-6)


@pytest.mark.parametrize("later", [0.6, 0.502, 0.50006])
def test_much_may_be_spent_at_a_look_hardly_later_than_the_one_before(later: float) -> None:
    # The step between the looks is as small as a 90th of the density's width.
    first, second = two_sided_bounds((0.5, later), clock=(0.2, 1.0), spending=power_family(1))
    edges = np.array([first, second])
    correlation = math.sqrt(0.5 / later)
    inside = stats.multivariate_normal.cdf(
        edges, np.zeros(2), [[1, correlation], [correlation, 1]], lower_limit=-edges
    )
    assert 1 - inside == pytest.approx(0.05, abs=1e-8)


def test_one_look_is_the_fixed_test() -> None:
    assert two_sided_bounds([1.0]) == pytest.approx((stats.norm.isf(0.025),), abs=1e-9)
    assert two_sided_bounds([0.5, 1.7], clock=[0.0, 1.0])[1] == pytest.approx(
        stats.norm.isf(0.025), abs=1e-9
    )


@given(
    steps=st.lists(st.floats(0.02, 1.0), min_size=1, max_size=8),
    alpha=st.floats(0.001, 0.3),
    spending=st.sampled_from([obrien_fleming, pocock, power_family(2)]),
)
@settings(deadline=None, max_examples=60)
def test_any_spacing_of_looks_spends_alpha_in_all(
    steps: list[float], alpha: float, spending: Spending
) -> None:
    information = [float(t) for t in np.cumsum(steps) / sum(steps)]
    bounds = two_sided_bounds(information, alpha, spending)
    assert all(0 < bound <= MAX_Z for bound in bounds)
    assert error(information, bounds) == pytest.approx(alpha, abs=1e-8)
    # What was spent by each look, too.
    for k, (t, (above, below)) in enumerate(
        zip(information, crossing_probabilities(information, bounds), strict=True)
    ):
        assert above == pytest.approx(below, abs=1e-12)
        assert error(information[: k + 1], bounds[: k + 1]) == pytest.approx(
            spending(t, alpha), abs=1e-8
        )


def test_later_looks_do_not_move_earlier_bounds() -> None:
    there = two_sided_bounds([0.1, 0.25, 0.4, 0.7])
    assert two_sided_bounds([0.1, 0.25]) == pytest.approx(there[:2], abs=1e-9)


def test_the_unit_of_information_is_free_where_the_clock_is_given() -> None:
    information = equal(4)
    scaled = [31_000 * t for t in information]
    assert two_sided_bounds(scaled, clock=information) == pytest.approx(
        two_sided_bounds(information), abs=1e-9
    )


def test_overrunning_spends_what_is_left_on_the_information_that_there_is() -> None:
    # The last look knows 1.3 times what was planned: it is less like the look before than planned.
    information = (0.5, 0.9, 1.3)
    bounds = two_sided_bounds(information)
    assert error(information, bounds) == pytest.approx(0.05, abs=1e-9)
    assert bounds[:2] == two_sided_bounds((0.5, 0.9, 1.0))[:2]
    assert bounds[2] > two_sided_bounds((0.5, 0.9, 1.0))[2]


def test_a_look_without_new_information_keeps_the_bound_and_spends_nothing() -> None:
    first, again, last = two_sided_bounds((0.5, 0.5, 1.0))
    assert (first, last) == two_sided_bounds((0.5, 1.0))
    assert again == first
    # Spending that could not be used at the second look is used at the third.
    assert two_sided_bounds((1.0, 1.0, 2.0), clock=(0.3, 0.6, 1.0))[2] == pytest.approx(
        two_sided_bounds((1.0, 2.0), clock=(0.3, 1.0))[1], abs=1e-9
    )


def test_looks_too_close_to_be_two_hardly_raise_the_error() -> None:
    # The worst case: each of five looks is followed by one that just does not count as new.
    information = [t * factor for t in equal(5) for factor in (1, 1.0001)]
    bounds = two_sided_bounds(information, clock=[min(t, 1.0) for t in information])
    assert bounds[::2] == bounds[1::2]
    counted = [t * factor for t in equal(5) for factor in (1, 1.000101)]
    assert 0.05 < error(counted, bounds) < 0.0505


def test_fourteen_equal_looks_cost_little_power() -> None:
    drift = stats.norm.isf(0.025) + stats.norm.isf(0.2)  # 80 % for the one look at the end
    assert power([1.0], [stats.norm.isf(0.025)], drift) == pytest.approx(0.8, abs=1e-9)
    assert power(equal(14), two_sided_bounds(equal(14)), drift) == pytest.approx(0.7834, abs=1e-4)
    # O'Brien and Fleming's own bounds, and Pocock's.
    own = [2.1065 / math.sqrt(t) for t in equal(14)]
    assert power(equal(14), own, drift) == pytest.approx(0.7827, abs=1e-4)
    assert power(equal(14), [2.6146] * 14, drift) == pytest.approx(0.6668, abs=1e-3)


def test_peeking_without_bounds_finds_something_in_a_fifth_of_all_tests_of_nothing() -> None:
    assert error(equal(14), [stats.norm.isf(0.025)] * 14) == pytest.approx(0.22, abs=0.005)


def test_an_infinite_bound_never_stops() -> None:
    bounds = [math.inf, math.inf, 1.96]
    (first, second, third) = crossing_probabilities(equal(3), bounds, 2.8)
    assert first == second == (0.0, 0.0)
    assert third == pytest.approx((stats.norm.sf(-0.84), stats.norm.cdf(-4.76)), abs=1e-9)


def test_sixty_looks_take_less_than_a_fifth_of_a_second() -> None:
    two_sided_bounds(equal(3))
    best = min(_seconds(equal(60)) for _ in range(3))
    assert best < 0.2


def _seconds(information: Sequence[float]) -> float:
    start = time.perf_counter()
    two_sided_bounds(information)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("information", "clock", "alpha", "message"),
    [
        ((0.5, 0.4), None, 0.05, r"information\[1\]: 0.4 after 0.5: .* must not shrink"),
        ((0.0, 0.4), None, 0.05, r"information\[0\]: 0 after .*: must be positive"),
        ((0.1, math.nan), None, 0.05, r"information\[1\]"),
        ((0.1, math.inf), None, 0.05, r"information\[1\]"),
        ((0.1, 0.2), (0.2, 0.1), 0.05, r"clock\[1\]: 0.1 after 0.2"),
        ((0.1, 0.2), None, 0.0, "alpha: 0.0 is not between 0 and 1"),
    ],
)
def test_what_cannot_be_a_sequence_of_looks_is_refused(
    information: tuple[float, ...],
    clock: tuple[float, ...] | None,
    alpha: float,
    message: str,
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        two_sided_bounds(information, alpha, clock=clock)


def test_crossing_needs_looks_that_differ() -> None:
    with pytest.raises(InvalidRequest, match="leave one of them out"):
        crossing_probabilities((0.5, 0.5), (2.0, 2.0))


def test_a_fraction_that_shrinks_is_carried_on_and_says_so() -> None:
    found = information_fractions([300, 410, 380, 900, 1_200], 1_000)
    assert [fraction.value for fraction in found] == [0.3, 0.41, 0.41, 0.9, 1.0]
    assert [bool(fraction.note) for fraction in found] == [False, False, True, False, False]
    assert found[2].note == (
        "The part of the plan that is done shrank from 41.0% to 38.0%, as late corrections make "
        "it; it counts as 41.0%."
    )


def test_information_is_what_the_variance_says_but_grows_with_the_units() -> None:
    # Twice the units halve the variance; returning users can do better, a heavy user worse.
    assert accumulated_information([100, 200], [0.1, 0.1 / math.sqrt(2)]) == pytest.approx(
        (100, 200)
    )
    assert accumulated_information([100, 200], [0.1, 0.05]) == pytest.approx((100, 400))
    assert accumulated_information([100, 200, 150], [0.1, 0.2, 0.2]) == pytest.approx(
        (100, 200, 200)
    )
