"""`ranklift simulate replay`: simulated users play against a running gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.output import bar, out


def replay_world(
    collection: Annotated[
        Path | None,
        typer.Option(help="A judged collection in BEIR layout; a made-up world when not given."),
    ] = None,
    server: Annotated[str, typer.Option(help="The gateway's address.")] = "127.0.0.1:7400",
    users: Annotated[int, typer.Option(min=1, help="How many users search.")] = 500,
    pages_per_user: Annotated[float, typer.Option(min=1, help="Mean pages a user.")] = 4.0,
    depth: Annotated[int, typer.Option(min=1, help="Candidates per query of a collection.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same users.")] = 0,
    name: Annotated[str, typer.Option(help="Begins the ids of the users.")] = "simulated",
    concurrency: Annotated[int, typer.Option(min=1, help="Pages asked for at a time.")] = 16,
) -> None:
    """Send simulated sessions through the gateway and record what the users did.

    Example: `ranklift simulate replay --collection data/cranfield --users 1000`
    """
    import asyncio

    from ranklift.cli.collections import judged_ground, synthetic_ground
    from ranklift.cli.demo.traffic import DEADLINE_SECONDS, world_of
    from ranklift.cli.protection import credentials_of
    from ranklift.settings import load_settings
    from ranklift.simulator.replay import replay
    from ranklift.simulator.synthetic import QUICK

    ground = judged_ground(collection, depth) if collection else synthetic_ground(QUICK, seed)
    world = world_of(name, ground, users=users, pages_per_user=pages_per_user, seed=seed)
    with bar("users") as progress:
        result = asyncio.run(
            replay(
                world,
                ranking_address=server,
                event_address=server,
                concurrency=concurrency,
                deadline_seconds=DEADLINE_SECONDS,
                progress=progress.update,
                credentials=credentials_of(load_settings()),
            )
        )
    out.print(
        f"{result.pages} pages in {result.seconds:.1f} s, {result.clicks} clicks, "
        f"{result.fallback_pages} fallback pages, {result.failed_calls} failed calls"
    )
    for status, count in sorted(result.failures.items()):
        out.print(f"  {status}: {count}")
    if not result.pages:
        raise typer.Exit(1)
