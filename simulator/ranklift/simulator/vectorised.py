"""A whole world played at once, from rankings that were computed beforehand.

The events are the very ones that `replay` would send through real services;
only what a service adds (latency, scores) is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.simulator.behaviour import click_time_us
from ranklift.simulator.censoring import last_clicks
from ranklift.simulator.effects import Effect
from ranklift.simulator.frames import (
    ASSIGNMENTS,
    ClickRows,
    EventFrames,
    PageColumns,
    click_frames,
    document_frame,
    page_frame,
)
from ranklift.simulator.users import Pages
from ranklift.simulator.waves import BATCH, Played, concatenated, play
from ranklift.simulator.world import Rankings, World, shown_by_query, side_by_side
from ranklift.v1.errors import InvalidRequest


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
    """What a model version shows for each query, computed beforehand, and what else it does."""

    rankings: Rankings
    model: str
    version: str
    digest: str = ""
    effect: Effect | None = None


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
    queries, size = len(world.query_ids), world.behaviour.page_size
    tables = side_by_side([shown_by_query(world, ranker.rankings) for ranker in rankers])
    pages, page, rank, dwell_ms = _in_order(
        play(
            world,
            tables,
            lambda rows: arm[rows.user] * queries + rows.query,
            np.arange(len(arm)),
            batch=batch,
            effects=[ranker.effect for ranker in rankers],
        )
    )
    censored = np.zeros(len(page), dtype=bool)
    if world.behaviour.censoring:
        last = last_clicks(pages.user, pages.visit, pages.step, page)
        dwell_ms, censored = world.behaviour.censoring.seen(pages.key[page], dwell_ms, last)
    page_arm = arm[pages.user]
    table_row = page_arm * queries + pages.query
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
    padded = [document for row in lists for document in row + [""] * (size - len(row))]
    clicks, dwells = click_frames(
        pages_shown["impression_id"],
        ClickRows(
            page=page,
            position=rank + 1,
            click_time_us=click_time_us(pages.time_us[page], rank + 1),
            dwell_ms=dwell_ms,
            censored=censored,
            document_id=pl.Series(padded).gather(table_row[page] * size + rank),
        ),
    )
    candidates = dict.fromkeys(d for ids in world.candidates.values() for d in ids)
    documents = document_frame(world.collection.documents[d] for d in candidates)
    return EventFrames(pages_shown, clicks, dwells, documents)


def _in_order(
    played: Iterable[Played],
) -> tuple[Pages, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return all pages by user and time, and row, 0-based rank and dwell of the clicks on them,
    by page and rank."""
    found, clicks, start = [], [], 0
    for part in played:
        found.append(part.pages)
        actions = part.actions
        clicks.append((actions.page + start, actions.rank, actions.dwell_ms))
        start += len(part.pages)
    pages = concatenated(found)
    page, rank, dwell_ms = (np.concatenate(column) for column in zip(*clicks, strict=True))
    order = np.argsort(pages.user, kind="stable")
    row = np.empty_like(order)  # of each page, in order
    row[order] = np.arange(len(order))
    page = row[page]
    by_page = np.argsort(page, kind="stable")
    return pages[order], page[by_page], rank[by_page], dwell_ms[by_page]
