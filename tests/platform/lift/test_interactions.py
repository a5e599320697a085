"""Does another experiment on the same units change the lift?"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtr
from tests.platform.lift.unit_tables import ARMS, declared, plain

from ranklift.lift.checks.enough import MIN_UNITS
from ranklift.lift.interactions import IN, interactions
from ranklift.lift.multiplicity import holm
from ranklift.lift.values import Interaction
from ranklift.store.analysis import Form

MEAN = declared(Form.MEAN)


def cells(units: int, **means: tuple[float, float]) -> pl.DataFrame:
    """Return units of control and student by the other experiment's arm, with these means.

    Half the units of a cell have 1 more than the mean, half 1 less.
    """
    return pl.concat(
        pl.DataFrame(
            {
                "unit_id": [f"{arm}-{other}-{i}" for i in range(units)],
                "arm": arm,
                "in_layout": other,
                "pages": 1,
                "clicks": [mean + (-1) ** i for i in range(units)],
            }
        )
        for other, pair in means.items()
        for arm, mean in zip(ARMS, pair, strict=True)
    )


def found_in(units: pl.DataFrame) -> tuple[Interaction, ...]:
    return interactions(units, ARMS, ["layout"], MEAN, plain(units))


def test_two_by_two_cells_by_hand() -> None:
    # Among those with the new layout the student gains 3, among the others 1.
    n = 40
    (one,) = found_in(cells(n, new=(10.0, 13.0), old=(10.0, 11.0)))
    assert (one.other_experiment, one.other_arm, one.metric, one.arm) == (
        "layout",
        "old",
        MEAN.name,
        "student",
    )
    error = math.sqrt(4 * (n / (n - 1)) / n)  # four cells with n of sample variance n / (n - 1)
    assert one.difference == pytest.approx(1 - 3)
    assert one.p_value == pytest.approx(2 * ndtr(-2 / error))
    assert (one.interval.lower, one.interval.upper) == pytest.approx(
        (-2 - 1.959964 * error, -2 + 1.959964 * error)
    )
    assert one.adjusted_p_value == one.p_value


def test_lifts_that_are_alike_do_not_interact() -> None:
    (one,) = found_in(cells(40, new=(20.0, 21.0), old=(10.0, 11.0)))
    assert one.difference == pytest.approx(0)
    assert one.p_value == pytest.approx(1)


def test_a_cell_with_a_handful_of_units_is_left_out() -> None:
    enough = cells(MIN_UNITS, a=(10.0, 11.0), b=(10.0, 11.0), c=(10.0, 12.0))
    assert [one.other_arm for one in found_in(enough)] == ["b", "c"]
    few = enough.filter((pl.col("in_layout") != "a") | ~pl.col("unit_id").str.ends_with("-0"))
    assert [one.other_arm for one in found_in(few)] == ["c"]


def test_units_that_the_other_experiment_did_not_meet_are_left_out() -> None:
    units = cells(40, new=(10.0, 13.0), old=(10.0, 11.0))
    strangers = units.with_columns(
        in_layout=pl.lit(None, pl.String), unit_id="x" + pl.col("unit_id"), clicks=99.0
    )
    assert found_in(pl.concat([units, strangers])) == found_in(units)


def test_p_values_are_corrected_over_experiments_and_arms() -> None:
    units = cells(40, a=(10.0, 11.0), b=(10.0, 11.5), c=(10.0, 12.0))
    units = units.with_columns(pl.col("in_layout").alias(f"{IN}colour"))
    found = interactions(units, ARMS, ["layout", "colour"], MEAN, plain(units))
    assert len(found) == 4
    assert [one.adjusted_p_value for one in found] == list(holm([one.p_value for one in found]))


def drawn(rng: np.random.Generator, units: int, interaction: float) -> pl.DataFrame:
    arm, other = rng.integers(2, size=units), rng.integers(2, size=units)
    return pl.DataFrame(
        {
            "unit_id": np.arange(units),
            "arm": np.array(ARMS)[arm],
            "in_layout": np.array(["a", "b"])[other],
            "pages": 1,
            # Both experiments have an effect of their own.
            "clicks": 5
            + 0.3 * arm
            + 0.4 * other
            + interaction * arm * other
            + rng.exponential(1, units),
        }
    )


def test_a_planted_interaction_is_found_and_none_is_found_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    there = [found_in(drawn(rng, 600, 0.6))[0].p_value for _ in range(60)]
    none = np.array([found_in(drawn(rng, 600, 0.0))[0].p_value for _ in range(200)])
    assert np.mean(np.array(there) < 0.05) > 0.85
    assert np.mean(none < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_without_another_experiment_there_is_nothing_to_say() -> None:
    assert interactions(cells(40, a=(1.0, 2.0)), ARMS, [], MEAN, plain(cells(2, a=(1, 2)))) == ()
    assert found_in(cells(40, a=(10.0, 11.0))) == ()
