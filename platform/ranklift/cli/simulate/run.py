"""`ranklift simulate run`: a world played at once, into Parquet."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.simulator.world import Rankings, World


def run_world(
    output: Annotated[Path, typer.Argument(help="The folder of the log; shards may share one.")],
    collection: Annotated[
        Path | None,
        typer.Option(
            help="A judged collection in BEIR layout, or a world of `ranklift simulator fit`; a "
            "made-up world when not given."
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=RANKING: bm25, ideal, or a TREC run file; once for each arm. "
            "Default: bm25=bm25 and ideal=ideal."
        ),
    ] = None,
    users: Annotated[
        str, typer.Option(help="How many users, or a shard of them: FIRST:END, END excluded.")
    ] = "100000",
    pages_per_user: Annotated[
        float, typer.Option(min=1, help="Mean pages a user; not with --react.")
    ] = 2.5,
    days: Annotated[float, typer.Option(help="How long users are watched.")] = 7.0,
    react: Annotated[
        bool, typer.Option("--react", help="Users go on and come back as pages please them.")
    ] = False,
    depth: Annotated[int, typer.Option(min=1, help="Candidates per query of a collection.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same users.")] = 0,
    name: Annotated[str, typer.Option(help="Names the world.")] = "simulated",
    workers: Annotated[int, typer.Option(min=1, help="Threads.")] = os.cpu_count() or 1,
) -> None:
    """Play a world and write its log: tables of pages and clicks that `ranklift lift` reads.

    Shards of the same world, from any machines, may be written into one folder: together they are
    the log of one run over all their users. docs/simulator/speed.md describes the files.

    Example: `ranklift simulate run log --arm bm25=bm25 --arm student=student.trec --users 1000000`
    """
    from ranklift.simulator.compact import script
    from ranklift.simulator.shards import write_log

    first, end = _range(users)
    world = _world(collection, depth, pages_per_user, days, react=react, seed=seed, name=name)
    arms = _arms(world, arm or ["bm25=bm25", "ideal=ideal"])
    played = script(world, arms)
    started = time.perf_counter()
    written = write_log(played, output, first, end, workers=workers)
    seconds = time.perf_counter() - started
    out.print(
        f"{written.pages:,} pages and {written.clicks:,} clicks of users {first}:{end} "
        f"in {seconds:.1f} s"
    )
    if len(arms) > 1:
        pages, clicks = output / "pages", output / "clicks"
        command = f"ranklift lift {pages} --clicks {clicks} --control {next(iter(arms))}"
        out.print(command, soft_wrap=True)  # to be copied whole


def _range(users: str) -> tuple[int, int]:
    """Return the first user and the one behind the last of "1000" or "1000:2000".

    Raises:
        InvalidRequest: it is neither.
    """
    from ranklift.v1.errors import InvalidRequest

    found = re.fullmatch(r"(?:(\d{1,18}):)?(\d{1,18})", users)
    if found is None:
        raise InvalidRequest.of(
            "users", f'"{users}" is neither a number nor first:end, e.g. 0:50000'
        )
    return int(found[1] or 0), int(found[2])


def _world(
    collection: Path | None,
    depth: int,
    pages_per_user: float,
    days: float,
    *,
    react: bool,
    seed: int,
    name: str,
) -> World:
    from dataclasses import replace
    from datetime import timedelta

    from ranklift.cli.collections import judged_ground, synthetic_ground
    from ranklift.cli.demo.traffic import behaviour_of
    from ranklift.simulator.synthetic import QUICK
    from ranklift.simulator.users import Population
    from ranklift.simulator.visits import Sessions
    from ranklift.simulator.world import World
    from ranklift.simulator.world_file import is_world, load_world
    from ranklift.v1.errors import InvalidRequest

    if not 0 < days <= 36_500:
        raise InvalidRequest.of("days", f"{days:g}, must be above 0 and at most 36500")
    if collection and is_world(collection):
        return replace(load_world(collection), name=name, seed=seed)
    ground = judged_ground(collection, depth) if collection else synthetic_ground(QUICK, seed)
    return World(
        name,
        seed,
        ground.collection,
        ground.candidates,
        Population(pages_per_user=pages_per_user, span=timedelta(days=days)),
        behaviour_of(ground),
        sessions=Sessions() if react else None,
    )


def _arms(world: World, named: list[str]) -> dict[str, Rankings]:
    """Return the rankings by arm of "NAME=RANKING" each.

    Raises:
        InvalidRequest: a part is not that, a name comes twice, or a run cannot be read.
    """
    from ranklift.simulator.rankings import ideal_rankings, lexical_rankings, run_rankings
    from ranklift.v1.errors import InvalidRequest

    arms: dict[str, Rankings] = {}
    for each in named:
        name, equals, source = each.partition("=")
        if not (name and equals and source):
            raise InvalidRequest.of("arm", f'"{each}" is not NAME=RANKING, e.g. control=bm25')
        if name in arms:
            raise InvalidRequest.of("arm", f'"{name}" is named twice')
        if source == "bm25":
            arms[name] = lexical_rankings(world)
        elif source == "ideal":
            arms[name] = ideal_rankings(world)
        else:
            arms[name] = run_rankings(world, Path(source))
    return arms
