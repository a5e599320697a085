"""How much a look knows, and what part of the plan is done.

Two clocks run, as Lan and DeMets 1989, "Group sequential procedures: calendar versus information
time", tell them apart. How alike two looks are is a matter of their variances. How much alpha may
be spent is read off the plan (units or days), since what is planned is known before any number
is: a report of tomorrow then leaves yesterday's bounds where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Fraction:
    """The part of the plan that is done, in (0, 1], and what had to be put right in one line."""

    value: float
    note: str = ""


def information_fractions(amounts: Sequence[float], planned: float) -> tuple[Fraction, ...]:
    """Return the part of `planned` that each look's amount (units, days, 1 / variance) is.

    A fraction never falls, for what is spent is spent: late corrections that shrink the amount
    leave it at the highest before. It never exceeds 1.
    """
    highest = accumulate(amounts, max)
    return tuple(
        Fraction(min(high / planned, 1.0), _shrunk(amount / planned, high / planned))
        for amount, high in zip(amounts, highest, strict=True)
    )


def accumulated_information(units: Sequence[int], errors: Sequence[float]) -> tuple[float, ...]:
    """Return 1 / error^2 at each look, yet never less than the units' growth brings.

    `errors` are standard errors. The growth of units holds where the variance was put right
    upwards, as one heavy user does to a dwell. Taking two looks for less alike than they are can
    only make the bounds wider.
    """
    information: list[float] = []
    most_units = 0
    for count, error in zip(units, errors, strict=True):
        grown = information[-1] * max(count / most_units, 1.0) if information else 0.0
        information.append(max(error**-2, grown))
        most_units = max(most_units, count)
    return tuple(information)


def _shrunk(fraction: float, highest: float) -> str:
    if fraction >= highest:
        return ""
    return (
        f"The part of the plan that is done shrank from {highest:.1%} to {fraction:.1%}, as late "
        f"corrections make it; it counts as {min(highest, 1.0):.1%}."
    )
