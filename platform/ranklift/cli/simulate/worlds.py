"""The worlds that experiments are repeated in, and what their arms show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ranklift.simulator.world import Rankings, World

# Every third query is ranked ideally by the better ranker, the others as control ranks them.
IDEAL_QUERIES = 3
NAME = "calibration"

CollectionOption = Annotated[
    Path | None,
    typer.Option(help="A judged collection in BEIR layout; a made-up world when not given."),
]
DepthOption = Annotated[int, typer.Option(min=1, help="Candidates per query of a collection.")]
ExperimentsOption = Annotated[int, typer.Option(min=1, help="How many experiments.")]
PagesOption = Annotated[int, typer.Option(min=1, help="Pages of each experiment, on average.")]
PagesPerUserOption = Annotated[float, typer.Option(min=1, help="Mean pages a user.")]
AlphaOption = Annotated[float, typer.Option(help="Two-sided level of the tests.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Same seed, same world, users and splits.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes; as many as there are cores by default.")
]
PageOption = Annotated[
    Path | None, typer.Option("--output", help="An HTML page to write, with plots.")
]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A world, with what its ranker and a better one show."""

    world: World
    control: Rankings
    better: Rankings


def ranked_world(
    collection: Path | None, *, depth: int, pages_per_user: float, seed: int
) -> Ranked:
    """Return a world whose control is BM25.

    Raises:
        NotFound, InvalidRequest: the collection is not as it must be.
    """
    from ranklift.cli.collections import judged_ground, ranking_of, synthetic_ground, text_of
    from ranklift.cli.demo.traffic import behaviour_of
    from ranklift.rankers.base import score_texts
    from ranklift.rankers.bm25 import BM25, collect
    from ranklift.simulator.synthetic import QUICK
    from ranklift.simulator.users import Population

    ground = judged_ground(collection, depth) if collection else synthetic_ground(QUICK, seed)
    bm25 = BM25(collect(ground.texts()))
    control, better = {}, {}
    for number, (query_id, documents) in enumerate(ground.candidates.items()):
        texts = [text_of(ground.collection, document) for document in documents]
        scores = score_texts(bm25, ground.collection.queries[query_id], texts).values.tolist()
        control[query_id] = ranking_of(documents, scores)
        grades = [float(ground.collection.grade(query_id, d)) for d in documents]
        ideal = number % IDEAL_QUERIES == 0
        better[query_id] = ranking_of(documents, grades) if ideal else control[query_id]
    world = World(
        NAME,
        seed,
        ground.collection,
        ground.candidates,
        Population(pages_per_user=pages_per_user),
        behaviour_of(ground),
    )
    return Ranked(world, control, better)


def users_for(pages: int, pages_per_user: float) -> int:
    """Return how many users see so many pages on average."""
    return max(1, round(pages / pages_per_user))


def check_alpha(alpha: float) -> None:
    """Check the level of tests.

    Raises:
        InvalidRequest: it is no level.
    """
    from ranklift.v1.errors import InvalidRequest

    if not 0 < alpha < 1:
        raise InvalidRequest.of("alpha", f"{alpha} is not between 0 and 1; usual is 0.05")


def cores(workers: int | None) -> int:
    """Return how many processes to use."""
    import os

    return workers or len(os.sched_getaffinity(0))


def about(collection: Path | None, users: int, pages_per_user: float, seed: int) -> str:
    """Return what the experiments were, in a sentence."""
    return (
        f"{users:,} users with {pages_per_user:g} pages each on average, "
        f"{about_world(collection, seed)}"
    )


def about_world(collection: Path | None, seed: int) -> str:
    """Return the end of a sentence that says where experiments took place."""
    where = f'on the collection "{collection.name}"' if collection else "in the made-up world"
    return f"other users in every experiment, {where}, seed {seed}; control is BM25."


def numbers(field: str, listed: str) -> list[float]:
    """Return the different numbers of "0.01,0.02", in their order.

    Raises:
        InvalidRequest: a part is no number, or there is none.
    """
    from ranklift.v1.errors import InvalidRequest

    found = []
    for part in listed.split(","):
        try:
            found.append(float(part))
        except ValueError as error:
            raise InvalidRequest.of(field, f'"{part}" is no number, e.g. 0.01,0.02') from error
    return list(dict.fromkeys(found))
