"""A scenario with servers: a gateway and two rankers as processes, and what befalls one of them."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ranklift.cli.collections import Ground
from ranklift.cli.composition import registry_of
from ranklift.cli.demo.control import begin_experiment
from ranklift.cli.on_time import run_on_time
from ranklift.cli.processes import Child, children, free_address, wait_until_serving
from ranklift.cli.reporting import report_of_home
from ranklift.cli.simulate.scenario_file import Scenario
from ranklift.cli.simulate.scenario_judge import Outcome
from ranklift.cli.simulate.scenario_run import ground_of, plan_of, world_of
from ranklift.cli.simulate.slow_link import slow_link
from ranklift.cli.versions import register
from ranklift.events.frames import read_events
from ranklift.rankers.bm25 import build_bm25
from ranklift.settings import load_settings
from ranklift.simulator.replay import ReplayResult, replay
from ranklift.store.values import ModelRef

# The same ranker twice: whatever differs is the scenario's doing.
CONTROL, CHALLENGER = ModelRef("bm25", "1"), ModelRef("bm25", "2")
CONCURRENCY = 8
DEADLINE_SECONDS = 20.0
RECORDED_SECONDS = 10.0


def run_served(scenario: Scenario) -> Outcome:
    """Play a scenario through real servers, and report its experiment.

    Raises:
        Unreachable: a server did not start.
    """
    ground = ground_of(scenario)
    world = world_of(scenario, ground)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _install(ground, home)
        with _serving(home, scenario.happens.delay_ms / 1_000) as (gateway, challenger):
            begin_experiment(
                gateway,
                scenario.name,
                control=CONTROL,
                challenger=CHALLENGER,
                plan=plan_of(scenario),
            )

            def progress(done: int, total: int) -> None:
                dies = scenario.happens.kind == "outage"
                if dies and done == max(1, round(scenario.happens.after * total)):
                    challenger.process.kill()

            result = run_on_time(
                replay(
                    world,
                    ranking_address=gateway,
                    event_address=gateway,
                    concurrency=CONCURRENCY,
                    deadline_seconds=DEADLINE_SECONDS,
                    progress=progress,
                )
            )
            _await_log(home, result)
            with registry_of(load_settings(home=home)) as registry:
                registered = registry.experiments.get(scenario.name)
            return Outcome(report_of_home(home, registered), result.failed_calls)


def _install(ground: Ground, home: Path) -> None:
    with registry_of(load_settings(home=home)) as registry:
        for ref in (CONTROL, CHALLENGER):
            folder = home / "models" / ref.model / ref.version
            build_bm25(ground.texts(), folder)
            register(registry, ref, folder)
        registry.models.set_champion(CONTROL, actor="scenario", reason="")


@contextmanager
def _serving(home: Path, delay_seconds: float) -> Iterator[tuple[str, Child]]:
    """Give the gateway's address and the challenger's ranker, which answers with a delay."""
    gateway, first, second, behind = (free_address() for _ in range(4))
    at = ("--home", str(home))
    with (
        children(home / "logs", {"RANKLIFT_RANKER__THREADS": "1"}) as start,
        _delaying(behind, second, delay_seconds),
    ):
        control = start(
            "control", "serve", "ranker", *at, "--load", str(CONTROL), "--address", first
        )
        challenger = start(
            "challenger", "serve", "ranker", *at, "--load", str(CHALLENGER), "--address", second
        )
        wait_until_serving(control, first)
        wait_until_serving(challenger, second)
        rankers = ("--ranker", first, "--ranker", behind if delay_seconds else second)
        process = start("gateway", "serve", "gateway", *at, "--address", gateway, *rankers)
        wait_until_serving(process, gateway)
        yield gateway, challenger


@contextmanager
def _delaying(address: str, to: str, delay_seconds: float) -> Iterator[None]:
    """Run a slow link in a thread of its own while the block runs; none without a delay."""
    if not delay_seconds:
        yield
        return
    listening, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with slow_link(address, to, delay_seconds):
            listening.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    listening.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def _await_log(home: Path, result: ReplayResult) -> None:
    """Return when all pages are on the disk, which may be after their replies."""
    deadline = time.monotonic() + RECORDED_SECONDS
    while time.monotonic() < deadline:
        pages = read_events(home).pages.select("impression_id").collect()
        if len(pages) >= result.pages - result.unrecorded_pages:
            return
        time.sleep(0.05)
