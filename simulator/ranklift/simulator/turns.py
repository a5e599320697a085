"""A world's pages one at a time: each user's first one, and what follows once it was answered.

Without an answer a user has seen nothing. Whose pages are planned asks for the next one as planned.
Who reacts goes on as after a page without a click, at once: to ask again, to try other words, or to
leave and come back, as the same draws decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ranklift.simulator.behaviour import Actions
from ranklift.simulator.users import Pages
from ranklift.simulator.world import World


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A page that a user asks for next."""

    page: Pages  # of one row
    user: int
    time_us: int
    row: int = -1  # in the plan, where there is one


class Turns(Protocol):
    """Whose turn it is."""

    known: int  # pages known so far; of planned ones, all

    def first(self) -> list[Turn]:
        """Return the first page of every user that ever comes."""

    def after(self, turn: Turn, actions: Actions | None) -> Turn | None:
        """Return the user's next page, None if there is none; `actions` is None where no page
        came back."""


def turns_of(world: World) -> Turns:
    """Return the turns of a world, to be played once."""
    return _Planned(world) if world.sessions is None else _Reacting(world)


class _Planned:
    def __init__(self, world: World) -> None:
        self._plan = world.pages()
        self._users: list[int] = self._plan.user.tolist()
        self._times: list[int] = self._plan.time_us.tolist()
        self.known = len(self._plan)

    def first(self) -> list[Turn]:
        rows = np.flatnonzero(np.diff(self._plan.user, prepend=-1))
        return [self._turn(row) for row in rows.tolist()]

    def after(self, turn: Turn, actions: Actions | None) -> Turn | None:
        row = turn.row + 1
        here = row < len(self._users) and self._users[row] == turn.user
        return self._turn(row) if here else None

    def _turn(self, row: int) -> Turn:
        return Turn(self._plan[row : row + 1], self._users[row], self._times[row], row)


class _Reacting:
    def __init__(self, world: World) -> None:
        self._world = world
        self._nothing = _no_actions(world.behaviour.page_size)
        self.known = 0

    def first(self) -> list[Turn]:
        pages = self._world.first_pages()
        return [self._turn(pages[row : row + 1]) for row in range(len(pages))]

    def after(self, turn: Turn, actions: Actions | None) -> Turn | None:
        pages = self._world.next_pages(turn.page, self._nothing if actions is None else actions)
        return self._turn(pages) if len(pages) else None

    def _turn(self, page: Pages) -> Turn:
        self.known += 1
        return Turn(page, int(page.user[0]), int(page.time_us[0]))


def _no_actions(page_size: int) -> Actions:
    none = np.zeros((1, page_size), dtype=bool)
    empty = np.zeros(0, dtype=np.int64)
    return Actions(none, none, none, empty, empty, empty.astype(bool), empty)
