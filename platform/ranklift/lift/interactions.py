"""Whether another experiment on the same units changes a lift.

With the two arms a, b of this experiment and the arms of the other one, the interaction is the
difference of the differences, (a - b | other arm) - (a - b | other control). Units of two
independent layers fall into the four cells independently, so the variances add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from scipy.special import ndtr, ndtri

from ranklift.lift.checks.enough import MIN_UNITS
from ranklift.lift.comparing import Method, by_arm, measure, moments_of
from ranklift.lift.multiplicity import holm
from ranklift.lift.values import Interaction, Interval, Measured
from ranklift.store.analysis import Metric

# A unit column that names the arm which the unit met in another experiment: "in_<experiment>".
IN = "in_"


def interactions(
    units: pl.DataFrame,
    arms: Sequence[str],
    others: Sequence[str],
    metric: Metric,
    method: Method,
) -> tuple[Interaction, ...]:
    """Return the interaction of every arm with each of the `others`, experiments on the same units.

    Arms of the other experiment in which the lift has fewer than `MIN_UNITS` units on a side, or
    cannot be computed, are left out; of the rest the first by name is the one that the others are
    held against. p-values are corrected for their number (Holm).
    """
    found: list[Interaction] = []
    for experiment in others:
        met = pl.col(IN + experiment)
        names = units.select(met.drop_nulls().unique().sort()).to_series().to_list()
        cells = {
            other: {
                arm: moments_of(rows, metric, method)
                for arm, rows in by_arm(units.filter(met == other), arms).items()
            }
            for other in names
        }
        for arm in arms[1:]:
            lifts = [
                (other, measure(cells[other][arms[0]], cells[other][arm], metric, method))
                for other in names
            ]
            # The p-value is a normal one, which a handful of units would make too small.
            measured = [
                (other, lift)
                for other, lift in lifts
                if isinstance(lift, Measured)
                and min(lift.control_units, lift.arm_units) >= MIN_UNITS
            ]
            found += [
                _interaction(experiment, other, metric, arm, measured[0][1], lift, method)
                for other, lift in measured[1:]
            ]
    adjusted = holm([interaction.p_value for interaction in found])
    return tuple(
        replace(interaction, adjusted_p_value=p_value)
        for interaction, p_value in zip(found, adjusted, strict=True)
    )


def _interaction(
    experiment: str,
    other: str,
    metric: Metric,
    arm: str,
    base: Measured,
    lift: Measured,
    method: Method,
) -> Interaction:
    difference = lift.difference - base.difference
    error = math.hypot(lift.standard_error, base.standard_error)
    half = float(ndtri((1 + method.confidence_level) / 2)) * error
    return Interaction(
        other_experiment=experiment,
        other_arm=other,
        metric=metric.name,
        arm=arm,
        difference=difference,
        interval=Interval(difference - half, difference + half),
        p_value=2 * float(ndtr(-abs(difference) / error)),
        adjusted_p_value=None,
    )
