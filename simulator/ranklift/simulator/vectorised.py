"""A whole world played at once, from rankings that were computed beforehand.

The events are the very ones that `replay` would send through real services;
only what a service adds (latency, scores) is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.simulator.behaviour import behave, click_time_us
from ranklift.simulator.frames import (
    ASSIGNMENTS,
    ClickRows,
    EventFrames,
    PageColumns,
    click_frames,
    document_frame,
    page_frame,
)
from ranklift.simulator.shown import Shown
from ranklift.simulator.users import Pages
from ranklift.simulator.world import Rankings, World, shown_by_query
from ranklift.v1.errors import InvalidRequest

BATCH = 50_000  # pages; larger ones leave the processor's caches


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm that an experiment assigns a user to; `bucket` in [0, 10000)."""

    experiment: str
    revision: int
    layer: str
    arm: str
    unit_id: str
    bucket: int


@dataclass(frozen=True, slots=True)
class SimulatedRanker:
    """What a model version shows for each query, computed beforehand."""

    rankings: Rankings
    model: str
    version: str
    digest: str = ""


def simulate(world: World, ranker: SimulatedRanker) -> EventFrames:
    """Return the log of the world with everybody served by `ranker` and no experiment.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    arm = np.zeros(world.population.users, dtype=np.int64)
    no_assignment = pl.Series([[]], dtype=ASSIGNMENTS).gather(arm)
    return _play(world, [ranker], arm, no_assignment, BATCH)


def simulate_experiment(
    world: World,
    rankers: Mapping[str, SimulatedRanker],
    assign: Callable[[str], Assignment],
    *,
    batch: int = BATCH,
) -> EventFrames:
    """Return the log of the world with each user served by the ranker of the assigned arm.

    `rankers` go by arm name; `assign` takes a user id. The log does not depend
    on `batch`, the number of pages played at a time.

    Raises:
        InvalidRequest: a query has no ranking, or an arm no ranker.
    """
    names = list(rankers)
    assignments = [assign(world.user_id(user)) for user in range(world.population.users)]
    for assignment in assignments:
        if assignment.arm not in rankers:
            raise InvalidRequest.of(
                "rankers", f'has no arm "{assignment.arm}"; give every arm a ranker'
            )
    arm = np.array([names.index(assignment.arm) for assignment in assignments], dtype=np.int64)
    column = pl.Series(
        [
            [
                {
                    "experiment": a.experiment,
                    "revision": a.revision,
                    "layer": a.layer,
                    "arm": a.arm,
                    "unit_id": a.unit_id,
                    "bucket": a.bucket,
                }
            ]
            for a in assignments
        ],
        dtype=ASSIGNMENTS,
    )
    return _play(world, list(rankers.values()), arm, column, batch)


def _play(
    world: World,
    rankers: list[SimulatedRanker],
    arm: NDArray[np.int64],  # (users,), index into the rankers
    assignments: pl.Series,  # (users,)
    batch: int,
) -> EventFrames:
    pages = world.pages()
    by_ranker = [shown_by_query(world, ranker.rankings) for ranker in rankers]
    tables = Shown(  # (page_size, rankers * queries)
        np.concatenate([shown.document for shown in by_ranker], axis=1),
        np.concatenate([shown.log_odds for shown in by_ranker], axis=1),
        np.concatenate([shown.satisfaction for shown in by_ranker], axis=1),
    )
    page_arm = arm[pages.user]
    table_row = page_arm * len(world.query_ids) + pages.query
    size = world.behaviour.page_size
    lists = [
        list(ranker.rankings[query_id][:size]) for ranker in rankers for query_id in world.query_ids
    ]
    pages_shown = page_frame(
        world,
        pages,
        PageColumns(
            documents=pl.Series(lists, dtype=pl.List(pl.String)).gather(table_row),
            # A ranking says no more than an order: minus the number of better documents.
            scores=pl.Series(
                [[-float(rank) for rank in range(len(row))] for row in lists],
                dtype=pl.List(pl.Float64),
            ).gather(table_row),
            model=pl.Series([ranker.model for ranker in rankers]).gather(page_arm),
            version=pl.Series([ranker.version for ranker in rankers]).gather(page_arm),
            digest=pl.Series([ranker.digest for ranker in rankers]).gather(page_arm),
            assignments=assignments.gather(pages.user),
        ),
    )
    page, rank, dwell_ms = _clicks(world, pages, tables, table_row, batch)
    padded = [document for row in lists for document in row + [""] * (size - len(row))]
    clicks, dwells = click_frames(
        pages_shown["impression_id"],
        ClickRows(
            page=page,
            position=rank + 1,
            click_time_us=click_time_us(pages.time_us[page], rank + 1),
            dwell_ms=dwell_ms,
            document_id=pl.Series(padded).gather(table_row[page] * size + rank),
        ),
    )
    candidates = dict.fromkeys(d for ids in world.candidates.values() for d in ids)
    documents = document_frame(world.collection.documents[d] for d in candidates)
    return EventFrames(pages_shown, clicks, dwells, documents)


def _clicks(
    world: World, pages: Pages, tables: Shown, table_row: NDArray[np.int64], batch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return page, 0-based rank and dwell of each click, by page and rank."""
    found = []
    for start in range(0, len(pages), batch):
        rows = pages[start : start + batch]
        actions = behave(
            world.behaviour,
            rows.key,
            world.users_at(rows),
            tables,
            table_row[start : start + batch],
        )
        found.append((actions.page + start, actions.rank, actions.dwell_ms))
    page, rank, dwell_ms = (np.concatenate(column) for column in zip(*found, strict=True))
    return page, rank, dwell_ms
