"""Playing many users at once: all planned pages, or the first pages, then the second ones, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.simulator.behaviour import Actions, behave
from ranklift.simulator.effects import Effect, affected
from ranklift.simulator.shown import Shown
from ranklift.simulator.users import Pages
from ranklift.simulator.world import World

BATCH = 50_000  # pages; larger ones leave the processor's caches


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """Some pages, what they showed and what users did there."""

    pages: Pages
    column: NDArray[np.int64]  # (pages,), of what is shown
    actions: Actions


def play(
    world: World,
    shown: Shown,
    column_of: Callable[[Pages], NDArray[np.int64]],
    who: NDArray[np.int64],
    *,
    batch: int = BATCH,
    effects: Sequence[Effect | None] = (),
) -> Iterator[Played]:
    """Yield everything that the users `who`, ascending, do, at most `batch` pages at a time.

    `column_of` says which column of `shown` each page shows. `effects` are those of the arms, each
    of which has as many columns as there are queries. Planned pages come by user and time;
    pages that follow from others come in waves, a wave by user, so that a stable sort by user puts
    them in the order of the planned ones. What is played depends neither on `batch` nor on who
    else is among `who`. One batch at least is yielded, without pages if nobody comes.
    """
    if world.sessions is None:
        yield from _batches(world, shown, column_of, world.pages(who), batch, effects)
        return
    wave = world.first_pages(who)
    while True:
        following = []
        for played in _batches(world, shown, column_of, wave, batch, effects):
            yield played
            following.append(world.next_pages(played.pages, played.actions))
        wave = concatenated(following)
        if not len(wave):
            break


def _batches(
    world: World,
    shown: Shown,
    column_of: Callable[[Pages], NDArray[np.int64]],
    pages: Pages,
    batch: int,
    effects: Sequence[Effect | None],
) -> Iterator[Played]:
    queries = len(world.query_ids)
    for start in range(0, max(len(pages), 1), batch):
        rows = pages[start : start + batch]
        column = column_of(rows)
        users = world.users_at(rows)
        if any(effects):
            users = affected(world, users, rows, effects, column // queries)
        actions = behave(world.behaviour, rows.key, users, shown, column)
        yield Played(rows, column, actions)


def concatenated(parts: list[Pages]) -> Pages:
    """Return the rows of at least one part, in their order."""
    if len(parts) == 1:
        return parts[0]
    return Pages(
        user=np.concatenate([part.user for part in parts]),
        visit=np.concatenate([part.visit for part in parts]),
        step=np.concatenate([part.step for part in parts]),
        query=np.concatenate([part.query for part in parts]),
        time_us=np.concatenate([part.time_us for part in parts]),
        key=np.concatenate([part.key for part in parts]),
    )
