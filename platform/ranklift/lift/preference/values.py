"""What the clicks on interleaved pages say, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ranklift.lift.values import Check, Interval


class Page(Protocol):
    """An interleaved page, along its interleaved order: the team of each document, -1 for none, and
    its 1-based rank in each of the rankings."""

    @property
    def teams(self) -> Sequence[int]: ...
    @property
    def ranks(self) -> Sequence[Sequence[int]]: ...


# What the clicks on a page say between two of its rankings, in [-1, 1]; positive for the first of
# them, and 0 on average for users who click at random. Each method of interleaving has its own.
Vote = Callable[[Page, Sequence[bool], int, int], float]


@dataclass(frozen=True, slots=True)
class Preference:
    """How one ranking ("model@version") does against another on the same pages.

    A page is won by the ranking that its clicks vote for; a page without clicks is a tie.
    `preference`, in [-1, 1], is the mean vote of all pages, positive for `model_a`: +1 and -1 for
    pages won where the method counts clicks, parts of it where it weighs them; None without pages.
    Its `interval` and the two-sided `p_value` of no preference are by units; None for fewer than
    two units, or where every unit has the same preference.
    `overlap` is the part of the first ten documents that both rankings have among theirs, mean
    over pages.
    """

    model_a: str
    model_b: str
    wins_a: int
    wins_b: int
    ties: int
    preference: float | None
    interval: Interval | None
    p_value: float | None
    overlap: float


@dataclass(frozen=True, slots=True)
class ArmPreferences:
    """The preferences of an arm that interleaves: every pair of its rankings.

    `pages` and `units` count. `degraded_pages` do not: not all of the rankings were there. `check`
    tells whether all of them were missing as often.
    """

    arm: str
    method: str
    preferences: tuple[Preference, ...]
    pages: int
    degraded_pages: int
    units: int
    confidence_level: float
    check: Check
