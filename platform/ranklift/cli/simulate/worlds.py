"""The worlds that experiments are repeated in, and what their arms show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ranklift.simulator.world import Rankings, World

# Without an arm of one's own: it ranks every third query ideally, the others as control does.
IDEAL_QUERIES = 3
NAME = "calibration"

CollectionOption = Annotated[
    Path | None,
    typer.Option(
        help="A judged collection in BEIR layout, or a world of `ranklift simulator fit`; a "
        "made-up world when not given."
    ),
]
ControlOption = Annotated[
    str, typer.Option(help="What control shows: bm25, ideal, or a TREC run file.")
]
ArmOption = Annotated[
    str,
    typer.Option(
        help="What the arm shows, likewise; by default control's with every third query ideal."
    ),
]
ReactOption = Annotated[
    bool, typer.Option("--react", help="Users go on and come back as pages please them.")
]
DepthOption = Annotated[int, typer.Option(min=1, help="Candidates per query of a collection.")]
ExperimentsOption = Annotated[int, typer.Option(min=1, help="How many experiments.")]
PagesOption = Annotated[int, typer.Option(min=1, help="Pages of each experiment, on average.")]
PagesPerUserOption = Annotated[
    float, typer.Option(min=1, help="Mean pages a user; with --react what makes users of pages.")
]
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
    """A world with what its arms show; `place` and `told` say in words where and what."""

    world: World
    control: Rankings
    arm: Rankings
    place: str
    told: str


def ranked_world(
    collection: Path | None = None,
    control: str = "bm25",
    arm: str = "",
    *,
    depth: int = 20,
    pages_per_user: float = 4.0,
    seed: int = 0,
    react: bool = False,
) -> Ranked:
    """Return the world of a collection, or a made-up one.

    Raises:
        NotFound, InvalidRequest: the collection or a run is not as it must be.
    """
    from ranklift.cli.collections import judged_ground, synthetic_ground
    from ranklift.cli.demo.traffic import behaviour_of
    from ranklift.simulator.rankings import ideal_rankings
    from ranklift.simulator.synthetic import QUICK
    from ranklift.simulator.users import Population
    from ranklift.simulator.visits import Sessions
    from ranklift.simulator.world import World
    from ranklift.simulator.world_file import is_world, load_world

    if collection and is_world(collection):
        world = replace(load_world(collection), name=NAME, seed=seed)
    else:
        ground = judged_ground(collection, depth) if collection else synthetic_ground(QUICK, seed)
        world = World(
            NAME,
            seed,
            ground.collection,
            ground.candidates,
            Population(pages_per_user=pages_per_user),
            behaviour_of(ground),
            sessions=Sessions() if react else None,
        )
    shown = _rankings(control, world)
    if arm:
        other, told = _rankings(arm, world), f"The arm is {arm}."
    else:
        ideal = ideal_rankings(world)
        other = {
            query_id: (shown if number % IDEAL_QUERIES else ideal)[query_id]
            for number, query_id in enumerate(world.query_ids)
        }
        told = "The arm ranks every third query ideally, the others as control does."
    where = f'on the collection "{collection.name}"' if collection else "in the made-up world"
    reacting = " with users who react" if react else ""
    place = f"{where}{reacting}, seed {seed}; control is {control}"
    return Ranked(world, shown, other, place, told)


def users_for(pages: float, pages_per_user: float) -> int:
    """Return how many users see so many pages on average."""
    return max(1, round(pages / pages_per_user))


def about(ranked: Ranked, users: int, pages_per_user: float) -> str:
    """Return what the experiments were, in a sentence."""
    return (
        f"{users:,} users with {pages_per_user:g} pages each on average, other users in every "
        f"experiment, {ranked.place}."
    )


def numbers(field: str, listed: str) -> list[float]:
    """Return the different numbers of "0.01,0.02", in their order.

    Raises:
        InvalidRequest: a part is no finite number, or there is none.
    """
    import math

    from ranklift.v1.errors import InvalidRequest

    found = []
    for part in listed.split(","):
        try:
            number = float(part)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InvalidRequest.of(field, f'"{part}" is no number, e.g. 0.01,0.02')
        found.append(number)
    return list(dict.fromkeys(found))


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


def _rankings(source: str, world: World) -> Rankings:
    from ranklift.simulator.rankings import ideal_rankings, lexical_rankings, run_rankings

    match source:
        case "bm25":
            return lexical_rankings(world)
        case "ideal":
            return ideal_rankings(world)
        case _:
            return run_rankings(world, Path(source))
