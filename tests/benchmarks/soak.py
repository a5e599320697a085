"""Does the gateway stay right, and flat, while everything around it fails?

python -m tests.benchmarks.run soak
python -m tests.benchmarks.soak --seconds 120     # shorter, printed only
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.benchmarks.soak_faults import (
    Disk,
    Faults,
    Quota,
    Victim,
    fill_disk,
    kill_and_restart,
    lock_registry,
    small_disk,
)
from tests.benchmarks.soak_load import CALL_SECONDS, Judged, Users

from ranklift.cli.collections import Ground
from ranklift.cli.composition import registry_of
from ranklift.cli.demo.control import begin_experiment
from ranklift.cli.processes import Child, Start, children, free_address, wait_until_serving
from ranklift.cli.servers import REGISTRY_HEALTH
from ranklift.cli.versions import register
from ranklift.events.frames import read_events
from ranklift.rankers.bm25 import build_bm25
from ranklift.settings import load_settings
from ranklift.simulator.collections import Collection
from ranklift.simulator.synthetic import SyntheticSize, synthesize
from ranklift.store.values import ModelRef
from ranklift.traffic.routing import ServingConfig
from ranklift.v1 import ranking_pb2

SECONDS, RATE, SEED = 600.0, 300.0, 11
DOCUMENTS = 10
WARM_UP_PART = 0.2  # of the time, before memory counts
CHAMPION, CHALLENGER = ModelRef("bm25", "1"), ModelRef("bm25", "2")
SIZE = SyntheticSize(concepts=8, attributes=6, fillers=200, attributes_per_concept=3)
EXPORT_SECONDS = 20  # several exports while the disk is full


@dataclass(frozen=True)
class Soaked:
    """What a soak found; times in seconds since its start."""

    seconds: float
    rate: float
    disk: str
    judged: Judged
    faults: Faults
    health: Sequence[tuple[float, bool, bool]]  # (when, gateway serves, registry readable)
    memory: Sequence[tuple[float, float]]  # (when, MiB of the gateway)
    pages_in_log: Counter[str]
    clicks_in_log: Counter[str]
    pages_lost: int  # as the gateway counts them

    @property
    def pages_missing(self) -> int:
        """How many pages were answered with an id and are not in the log."""
        return len(self.judged.pages - set(self.pages_in_log))

    @property
    def slope(self) -> float:
        """MiB a minute that the gateway grew by after the warm-up, by least squares."""
        settled = [one for one in self.memory if one[0] >= WARM_UP_PART * self.seconds]
        at, mebibytes = np.array(settled).T
        return float(np.polyfit(at / 60, mebibytes, 1)[0])


def measure() -> str:
    """Soak for ten minutes and return the page."""
    return page(soak(SECONDS))


def soak(seconds: float, *, rate: float = RATE, quota: bool = False) -> Soaked:
    """Run an installation of processes for `seconds` under load and faults.

    Without `quota` the events are on a small disk of their own, if this process may mount one.
    """
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder) / "home"
        ground = fill_home(home)
        mounted = None if quota else stack.enter_context(small_disk(home / "events"))
        with installation(home) as (gateway, address, metrics, victims):
            disk: Disk = mounted or Quota(gateway.process.pid)
            begin_experiment(address, "soak", control=CHAMPION, challenger=CHALLENGER)
            with registry_of(load_settings(home=home)) as registry:
                running = registry.experiments.running()
            config = ServingConfig.of(running, CHAMPION)
            requests = make_requests(ground.collection, rng)
            soaking = _soak(seconds, rate, home, gateway, address, victims, disk, config, requests)
            judged, faults, health, memory = asyncio.run(soaking)
            lost = lost_pages(metrics)
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(60) == 0
        events = read_events(home)
        return Soaked(
            seconds,
            rate,
            disk.what,
            judged,
            faults,
            health,
            memory,
            Counter(events.pages.collect()["impression_id"]),
            Counter(events.clicks.collect()["event_id"]),
            lost,
        )


def fill_home(home: Path) -> Ground:
    """Make a home with two versions of BM25, the second one of fewer documents."""
    made = synthesize(SIZE, rng=np.random.default_rng(SEED))
    ground = Ground(made.collection, made.candidates)
    texts = ground.texts()
    with registry_of(load_settings(home=home)) as registry:
        for ref, known in ((CHAMPION, texts), (CHALLENGER, texts[::2])):
            artefact = home / "models" / ref.model / ref.version
            build_bm25(known, artefact)
            register(registry, ref, artefact)
        registry.models.set_champion(CHAMPION, actor="soak", reason="")
    return ground


@contextmanager
def installation(home: Path) -> Iterator[tuple[Child, str, str, list[Victim]]]:
    """Run two rankers of the champion, one of the challenger, and the gateway."""
    gateway, metrics = free_address(), free_address()
    at = ("--home", str(home))
    environment = {
        "RANKLIFT_RANKER__THREADS": "1",
        "RANKLIFT_GATEWAY__METRICS_ADDRESS": metrics,
        "RANKLIFT_EVENTS__EXPORT_SECONDS": str(EXPORT_SECONDS),
    }
    names = {"champion-a": CHAMPION, "champion-b": CHAMPION, "challenger": CHALLENGER}
    with children(home.parent / "logs", environment) as start:
        victims = [_victim(start, at, name, ref) for name, ref in names.items()]
        for victim in victims:
            wait_until_serving(victim.child, victim.address)
        behind = [flag for victim in victims for flag in ("--ranker", victim.address)]
        child = start("gateway", "serve", "gateway", *at, "--address", gateway, *behind)
        wait_until_serving(child, gateway)
        yield child, gateway, metrics, victims


def _victim(start: Start, at: Sequence[str], name: str, ref: ModelRef) -> Victim:
    address = free_address()
    command = ("serve", "ranker", *at, "--load", str(ref), "--address", address)
    again = partial(start, name, *command)
    return Victim(name, address, again, again())


def make_requests(collection: Collection, rng: random.Random) -> list[ranking_pb2.RankRequest]:
    documents = list(collection.documents.items())
    return [
        ranking_pb2.RankRequest(
            query=query,
            documents=[
                ranking_pb2.Document(id=document_id, title=text.title, text=text.text)
                for document_id, text in rng.sample(documents, DOCUMENTS)
            ],
        )
        for query in collection.queries.values()
    ]


async def _soak(
    seconds: float,
    rate: float,
    home: Path,
    gateway: Child,
    address: str,
    victims: list[Victim],
    disk: Disk,
    config: ServingConfig,
    requests: Sequence[ranking_pb2.RankRequest],
) -> tuple[Judged, Faults, list[tuple[float, bool, bool]], list[tuple[float, float]]]:
    faults, stop = Faults(), asyncio.Event()
    health: list[tuple[float, bool, bool]] = []
    memory: list[tuple[float, float]] = []
    async with aio.insecure_channel(address) as channel:
        began = time.monotonic()
        users = Users(channel, config, requests, random.Random(SEED), began)
        hurting = asyncio.gather(
            kill_and_restart(
                victims, faults, random.Random(SEED), pause_seconds=(1.0, 6.0), stop=stop
            ),
            lock_registry(
                home / "registry.db",
                faults,
                began,
                after=0.25 * seconds,
                seconds=min(30.0, 0.25 * seconds),
            ),
            fill_disk(disk, faults, began, after=0.6 * seconds, seconds=0.15 * seconds),
        )
        watching = asyncio.gather(
            _watch_health(channel, health, began), _watch_memory(gateway, memory, began)
        )
        await users.run(rate, seconds)
        stop.set()
        await hurting
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return users.judged, faults, health, memory


async def _watch_health(
    channel: aio.Channel, seen: list[tuple[float, bool, bool]], began: float
) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    while True:
        states = []
        for name in ("", REGISTRY_HEALTH):
            try:
                reply = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
                states.append(reply.status == health_pb2.HealthCheckResponse.SERVING)
            except grpc.RpcError:
                states.append(False)
        seen.append((time.monotonic() - began, states[0], states[1]))
        await asyncio.sleep(0.5)


async def _watch_memory(child: Child, seen: list[tuple[float, float]], began: float) -> None:
    statm = Path(f"/proc/{child.process.pid}/statm")
    while True:
        resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        seen.append((time.monotonic() - began, resident / 2**20))
        await asyncio.sleep(1.0)


def lost_pages(metrics: str) -> int:
    """Return how many pages a gateway counted as refused by the disk after the answer."""
    with urllib.request.urlopen(f"http://{metrics}/metrics") as scraped:
        lines = scraped.read().decode().splitlines()
    name = "ranklift_gateway_lost_pages_total "
    (value,) = (line.removeprefix(name) for line in lines if line.startswith(name))
    return int(float(value))


def page(soaked: Soaked) -> str:
    judged, faults = soaked.judged, soaked.faults
    kills = sum(faults.kills.values())
    each = ", ".join(f"{name} {count}" for name, count in sorted(faults.kills.items()))
    (lock,), (full,) = faults.locked, faults.full
    stale = [when for when, _, readable in soaked.health if not readable]
    refused_before = [t for t in judged.refused_at if t < full[0] - 1]
    refused_after = [t for t in judged.refused_at if t > full[1] + 1]
    during = len(judged.refused_at) - len(refused_before) - len(refused_after)
    in_log, twice = set(soaked.clicks_in_log), max(soaked.clicks_in_log.values(), default=0)
    middle, high, highest = np.quantile(judged.milliseconds, (0.5, 0.99, 1))
    unhealthy = sum(not serves for _, serves, _ in soaked.health)
    rows = [
        (
            "Replies with another assignment, or another ranker, than the pure function says",
            f"**{len(judged.wrong)}** of {judged.calls - len(judged.failed):,}",
        ),
        (
            "Failed ranking calls (a ranker of the champion served at every moment)",
            f"**{len(judged.failed)}** of {judged.calls:,}",
        ),
        ("... by status", _counted(Counter(one.what for one in judged.failed))),
        (
            "... before their deadline",
            f"**{sum(one.waited < 0.95 * CALL_SECONDS for one in judged.failed)}**",
        ),
        ("Answered by the champion in the arm's place, and marked", _counted(judged.fallbacks)),
        (
            "Clicks acknowledged and not in the log",
            f"**{len(judged.acknowledged - in_log)}** of {len(judged.acknowledged):,}",
        ),
        ("Clicks in the log and not acknowledged", f"**{len(in_log - judged.acknowledged)}**"),
        (
            "Clicks or pages in the log twice",
            f"**{int(twice > 1)}**, **{sum(count > 1 for count in soaked.pages_in_log.values())}**",
        ),
        (
            "Acknowledgements that counted wrongly (sent again: a duplicate)",
            f"**{len(judged.miscounted)}**",
        ),
        (
            "Pages that were answered with an id and are not in the log; that the gateway counts "
            "as refused by the full disk, those among them whose caller had given up",
            f"{soaked.pages_missing:,} of {len(judged.pages):,}; **{soaked.pages_lost:,}**",
        ),
        ("Pages answered without an id", f"{judged.without_id:,}"),
        (
            "Clicks refused with RESOURCE_EXHAUSTED while the disk was full; before; more than 1 s "
            "after",
            f"{during:,}; **{len(refused_before)}**; **{len(refused_after)}**",
        ),
        (
            "Clicks refused with another status",
            _counted(judged.refused - Counter({"RESOURCE_EXHAUSTED": len(judged.refused_at)})),
        ),
        (
            "The registry was told unreadable",
            f"{stale[0]:.0f} to {stale[-1]:.0f} s; locked {lock[0]:.0f} to {lock[1]:.0f} s"
            if stale
            else "**never**",
        ),
        (
            "Looks at the gateway's health that did not say SERVING",
            f"**{unhealthy}** of {len(soaked.health)}",
        ),
        ("Memory of the gateway after the warm-up", f"**{soaked.slope:+.2f} MiB a minute**"),
        (
            "Load average of the machine in the 15 minutes before the end, the soak's own included",
            f"{os.getloadavg()[2]:.1f} on {os.cpu_count()} cores",
        ),
        ("Latency", f"p50 {middle:.1f} ms, p99 {high:.1f} ms, maximum {highest:.0f} ms"),
    ]
    marks = np.linspace(0, soaked.memory[-1][0], 21)
    series = [min(soaked.memory, key=lambda one: abs(one[0] - mark)) for mark in marks]
    return "\n".join(
        [
            "# Soak",
            "",
            f"{soaked.seconds:g} s of {soaked.rate:g} ranking calls/s with "
            f"{DOCUMENTS} documents each, and a click on a fifth of the pages, through a gateway "
            "process, before two ranker processes of the champion and one of the challenger "
            "(BM25), with an experiment of two halves; callers wait for "
            f"{CALL_SECONDS:g} s. Everything, the load included, shares two cores. Meanwhile, by "
            "a seed:",
            "",
            f"- {kills} times a ranker is killed (SIGKILL) and started again: {each}. One at a "
            "time, so that a ranker of the champion always serves;",
            f"- the registry (SQLite) is locked by another process for {lock[1] - lock[0]:.0f} s, "
            "for readers too;",
            f"- the disk of the events is full for {full[1] - full[0]:.0f} s: {soaked.disk}.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            'A page is answered before it is on disk (`events.durability` is "prompt"), so a full '
            "disk refuses pages after the answer; each is counted and named in the gateway's log, "
            "and a click on one is refused with NOT_FOUND.",
            "",
            "Memory of the gateway, MiB by second: "
            + ", ".join(f"{at:.0f}: {mebibytes:.0f}" for at, mebibytes in series)
            + ".",
            "",
        ]
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.most_common()) or "none"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--quota", action="store_true", help="a quota instead of a small disk")
    given = parser.parse_args()
    soaked = soak(given.seconds, quota=given.quota)
    print(page(soaked))
    print(*soaked.judged.failed[:20], *soaked.judged.wrong[:5], sep="\n")
