"""`ranklift simulate replay`: simulated users play against a running gateway."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.on_time import run_on_time
from ranklift.cli.output import bar, out


class ReplayFormat(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"


def replay_world(
    collection: Annotated[
        Path | None,
        typer.Option(
            help="A judged collection in BEIR layout, or a world of `ranklift simulator fit`; a "
            "made-up world when not given."
        ),
    ] = None,
    server: Annotated[str, typer.Option(help="The gateway's address.")] = "127.0.0.1:7400",
    users: Annotated[int, typer.Option(min=1, help="How many users search.")] = 500,
    pages_per_user: Annotated[float, typer.Option(min=1, help="Mean pages a user.")] = 4.0,
    react: Annotated[
        bool, typer.Option("--react", help="Users go on by what they see, not as planned.")
    ] = False,
    depth: Annotated[int, typer.Option(min=1, help="Candidates per query of a collection.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same users.")] = 0,
    name: Annotated[str, typer.Option(help="Begins the ids of the users.")] = "simulated",
    concurrency: Annotated[
        int | None, typer.Option(help="Clients that wait for each answer. Default: 16.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Pages a second, sent whatever the answers do.")
    ] = None,
    burst: Annotated[
        float | None,
        typer.Option(help="With --rate: so many times as many, for 2 s every 30 s or so."),
    ] = None,
    day: Annotated[
        float | None,
        typer.Option(help="With --rate: a day with two peaks, in so many seconds."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(help="On the users' own clock, or the log's, so many times as fast."),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="At the times of a log: Parquet of pages, or an installation's home."),
    ] = None,
    schedule: Annotated[
        Path | None, typer.Option(help="At the times in a file that --save-schedule wrote.")
    ] = None,
    save_schedule: Annotated[
        Path | None, typer.Option(help="Write the times, to play another ranker at them.")
    ] = None,
    in_flight: Annotated[
        int, typer.Option(help="On a schedule: calls under way at a time, at most.")
    ] = 1_000,
    late_ms: Annotated[
        float, typer.Option(help="On a schedule: a send is late when so far behind.")
    ] = 5.0,
    deadline_ms: Annotated[float, typer.Option(help="Deadline of a call.")] = 20_000.0,
    style: Annotated[ReplayFormat, typer.Option("--format", help="How to write it.")] = (
        ReplayFormat.TABLE
    ),
) -> None:
    """Send simulated sessions through the gateway and record what the users did.

    As fast as --concurrency clients can, or on a schedule (--rate, --speed, --log, --schedule):
    then pages go out when they are due, and latency counts from then.

    Example: `ranklift simulate replay --users 5000 --rate 200 --burst 5 --save-schedule load`
    """
    from ranklift.cli.collections import judged_ground, synthetic_ground
    from ranklift.cli.demo.traffic import who_just_searched, world_of
    from ranklift.cli.protection import credentials_of
    from ranklift.cli.simulate.replay_output import as_json, to_table
    from ranklift.cli.simulate.wished_schedule import WishedSchedule
    from ranklift.settings import load_settings
    from ranklift.simulator.replay import ReplayResult, replay, replay_on_schedule
    from ranklift.simulator.schedule import save_schedule as write_schedule
    from ranklift.simulator.synthetic import QUICK
    from ranklift.simulator.world_file import is_world, load_world

    wished = WishedSchedule(rate, burst, day, speed, log, schedule, save_schedule, concurrency)
    if collection and is_world(collection):
        world = who_just_searched(
            replace(load_world(collection), name=name, seed=seed), users=users
        )
    else:
        ground = judged_ground(collection, depth) if collection else synthetic_ground(QUICK, seed)
        world = world_of(
            name, ground, users=users, pages_per_user=pages_per_user, seed=seed, react=react
        )
    times = wished.of(world, seed)
    if save_schedule is not None and times is not None:
        write_schedule(times, save_schedule)

    async def run() -> ReplayResult:
        credentials = credentials_of(load_settings())
        with bar("pages") as progress:
            if times is None:
                return await replay(
                    world,
                    ranking_address=server,
                    event_address=server,
                    concurrency=16 if concurrency is None else concurrency,
                    deadline_seconds=deadline_ms / 1_000,
                    progress=progress.update,
                    credentials=credentials,
                )
            return await replay_on_schedule(
                world,
                times,
                ranking_address=server,
                event_address=server,
                in_flight=in_flight,
                late_after_ms=late_ms,
                deadline_seconds=deadline_ms / 1_000,
                progress=progress.update,
                credentials=credentials,
            )

    result = run_on_time(run())
    if style is ReplayFormat.JSON:
        typer.echo(json.dumps(as_json(result), indent=2, allow_nan=False))
    else:
        out.print(to_table(result))
    if not result.pages:
        raise typer.Exit(1)
