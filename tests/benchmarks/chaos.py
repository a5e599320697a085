"""Is what was acknowledged in the log exactly once, whoever is killed and whenever?

make chaos [KILLS=1000] [SEED=7]
python -m tests.benchmarks.chaos --kills 1000 --seed 7     # writes docs/benchmarks/chaos.md
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import polars as pl
from tests.benchmarks.chaos_workers import record_page, run

from ranklift.cli.processes import free_address
from ranklift.events.frames import read_events
from ranklift.events.log import EventLog
from ranklift.v1 import events_pb2, events_pb2_grpc

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "chaos.md"
KILLS, SEED = 1_000, 7
STREAM_SECONDS = 20.0
KILLS_PER_HOME = 100
KILLS_PER_CHECK = 10
LONGEST_LIFE_SECONDS = 0.4
WORKERS = ("writer", "writer", "gateway", "compactor")
CLIENTS, BATCH = 2, 40
KNOWN_PAGES = 50
FRAMES = {"pages": "impression_id", "clicks": "event_id", "dwells": "event_id"}
# Forks of a process that has imported everything: a worker is at work after milliseconds.
_processes = multiprocessing.get_context("forkserver")


@dataclass
class Acknowledged:
    """The ids that somebody was told are on disk, by frame; kept by the one who kills."""

    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, frame: str, ids: Iterable[str]) -> None:
        with self.lock:
            self.ids[frame].update(ids)

    def copy(self) -> dict[str, set[str]]:
        with self.lock:
            return {frame: set(ids) for frame, ids in self.ids.items()}


@dataclass
class Found:
    """What a run came to."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    checks: int = 0
    files_read: int = 0
    lost: int = 0
    doubled: int = 0
    unreadable: int = 0
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unreadable)


def chaos(kills: int, seed: int) -> Found:
    """Kill `kills` workers at random moments, and check the log all the while."""
    rng = random.Random(seed)
    found = Found()
    began = time.perf_counter()
    _processes.set_forkserver_preload([run.__module__])
    for first in range(0, kills, KILLS_PER_HOME):
        with tempfile.TemporaryDirectory() as folder:
            one_home(Path(folder), min(KILLS_PER_HOME, kills - first), rng, found)
        print(f"{found.kills.total()} kills, clean: {found.is_clean}", file=sys.stderr)
    found.seconds = time.perf_counter() - began
    return found


def one_home(home: Path, kills: int, rng: random.Random, found: Found) -> None:
    """Kill workers of one home; what they and the clients were told is checked as they go."""
    acknowledged = Acknowledged()
    known = asyncio.run(_known_pages(home))
    acknowledged.add("pages", known)
    addresses = [""]
    stop = threading.Event()
    clients = [
        threading.Thread(target=_client, args=(i, addresses, known, acknowledged, stop))
        for i in range(CLIENTS)
    ]
    lives = [0]

    def start(kind: str) -> Worker:
        lives[0] += 1
        if kind == "gateway":
            addresses[0] = free_address()
        return Worker(kind, home, f"w{lives[0]}", addresses[0], acknowledged)

    workers = [start(kind) for kind in WORKERS]
    for client in clients:
        client.start()
    try:
        for kill in range(1, kills + 1):
            time.sleep(rng.uniform(0.0, LONGEST_LIFE_SECONDS))
            place = rng.randrange(len(workers))
            workers[place].kill()
            found.kills[workers[place].kind] += 1
            workers[place] = start(workers[place].kind)
            if kill % KILLS_PER_CHECK == 0:
                check(home, acknowledged.copy(), found)  # while everybody goes on
    finally:
        stop.set()
        for worker in workers:
            worker.kill()
        for client in clients:
            client.join()
    check(home, acknowledged.copy(), found)
    asyncio.run(_open_and_export(home))
    check(home, acknowledged.copy(), found)
    for path in (home / "events").glob("*/date=*/*"):
        found.files_read += 1
        try:
            pl.read_parquet(path, glob=False)
        except Exception:
            found.unreadable += 1
    found.acknowledged += sum(map(len, acknowledged.copy().values()))


def check(home: Path, acknowledged: dict[str, set[str]], found: Found) -> None:
    """Count what was acknowledged and is not in the log, and what is in it twice."""
    found.checks += 1
    try:
        frames = read_events(home)
        ids = {
            frame: getattr(frames, frame).select(name).collect()[name]
            for frame, name in FRAMES.items()
        }
        # Clients click few pages often, and more than a person would: acknowledged, and kept apart.
        apart = frames.quarantine.select("kind", "event_id").collect()
        for frame, kind in (("clicks", "click"), ("dwells", "dwell")):
            ids[frame].append(apart.filter(pl.col("kind") == kind)["event_id"])
    except Exception as error:
        print(f"unreadable: {error!r}", file=sys.stderr)
        found.unreadable += 1
        return
    for frame, series in ids.items():
        found.doubled += series.len() - series.n_unique()
        found.lost += len(acknowledged.get(frame, set()) - set(series))


class Worker:
    """A process that works on a home until it is killed, and the thread that hears what it was
    told."""

    def __init__(
        self, kind: str, home: Path, prefix: str, address: str, acknowledged: Acknowledged
    ) -> None:
        self.kind = kind
        ours, theirs = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=run, args=(kind, home, prefix, address, theirs))
        self._process.start()
        theirs.close()
        self._hearing = threading.Thread(target=_hear, args=(ours, acknowledged))
        self._hearing.start()

    def kill(self) -> None:
        """kill -9, and hear the last that it said."""
        self._process.kill()
        self._process.join()
        if self._process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a {self.kind} ended by itself: {self._process.exitcode}")
        self._hearing.join()


def _hear(connection: Connection, acknowledged: Acknowledged) -> None:
    try:
        while True:
            frame, ids = json.loads(connection.recv_bytes())
            acknowledged.add(frame, ids)
    except (EOFError, OSError):  # killed, perhaps in the middle of a word
        return


async def _known_pages(home: Path) -> list[str]:
    ids = [f"known-{number}" for number in range(KNOWN_PAGES)]
    async with await EventLog.open(home) as log:
        await asyncio.gather(*(record_page(log, one, 0) for one in ids))
    return ids


async def _open_and_export(home: Path) -> None:
    async with await EventLog.open(home) as log:
        await log.export()
        await log.tidy()


def _client(
    which: int,
    addresses: list[str],
    known: list[str],
    acknowledged: Acknowledged,
    stop: threading.Event,
) -> None:
    """Stream batches to whatever gateway there is; what has no answer is sent again."""
    number = 0
    unanswered: list[events_pb2.StreamEventsRequest] = []

    # gRPC asks the requests of a call that broke for one more, when the next call has begun.
    turn = 0
    taking = threading.Lock()

    def requests(
        mine: int, again: Sequence[events_pb2.StreamEventsRequest]
    ) -> Iterator[events_pb2.StreamEventsRequest]:
        nonlocal number
        yield from again
        while not stop.is_set():
            if len(unanswered) > 4:
                time.sleep(0.001)
                continue
            batch = events_pb2.StreamEventsRequest()
            for i in range(BATCH // 2):
                name = f"g{which}-{number}-{i}"
                click = batch.events.add(event_id=f"c-{name}").click
                click.impression_id, click.document_id = known[i % len(known)], "d2"
                dwell = batch.events.add(event_id=f"w-{name}").dwell
                dwell.click_event_id = f"c-{name}"
                dwell.dwell_duration.FromMilliseconds(i)
            with taking:
                if mine != turn:
                    return
                number += 1
                unanswered.append(batch)
            yield batch

    while not stop.is_set():
        with taking:
            turn += 1
            again = tuple(unanswered)
        try:
            with _channel(addresses[0]) as channel:
                stub: Any = events_pb2_grpc.EventServiceStub(channel)
                # A port that a killed gateway had may be another program's by now, and silent.
                calling = stub.StreamEvents(requests(turn, again), timeout=STREAM_SECONDS)
                for answer in calling:
                    batch = unanswered.pop(0)
                    if answer.recorded_count + answer.duplicate_count != len(batch.events):
                        raise RuntimeError(f"a good batch was answered with {answer}")
                    ids = [event.event_id for event in batch.events]
                    acknowledged.add("clicks", (i for i in ids if i.startswith("c-")))
                    acknowledged.add("dwells", (i for i in ids if i.startswith("w-")))
        except grpc.RpcError:
            time.sleep(0.01)  # it was killed


@contextmanager
def _channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
        yield channel


def page(found: Found, seed: int) -> str:
    kills = ", ".join(f"{times} of a {kind}" for kind, times in sorted(found.kills.items()))
    return "\n".join(
        [
            "# Kills at random moments",
            "",
            "Two writers, a gateway that takes pages and two clients' streams over gRPC, and a "
            "compactor that exports and merges without rest work on one home. One of them, chosen "
            f"at random, is killed by `kill -9` after 0 to {LONGEST_LIFE_SECONDS:g} s, and another "
            "takes its place. Clients send again what has no answer. Each id that anybody was told "
            "is on disk is kept by the process that kills. Every "
            f"{KILLS_PER_CHECK} kills, while all go on, the log is read and held against it; a new "
            f"home every {KILLS_PER_HOME} kills.",
            "",
            "| | |",
            "|---|---|",
            f"| kills | {found.kills.total():,} ({kills}) |",
            f"| pages, clicks and dwells acknowledged | {found.acknowledged:,} |",
            f"| checks | {found.checks:,} |",
            f"| Parquet files read one by one at the end | {found.files_read:,} |",
            f"| **acknowledged and lost** | {found.lost} |",
            f"| **counted twice** | {found.doubled} |",
            f"| **unreadable** | {found.unreadable} |",
            "",
            f"{found.seconds:.0f} s. A kill spares the kernel: power that fails is what "
            "synchronous=FULL and fsync are for, and is not tried here.",
            "",
            "---",
            f"Command: `make chaos KILLS={found.kills.total()} SEED={seed}`, "
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores.",
            "",
        ]
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=KILLS)
    options.add_argument("--seed", type=int, default=SEED)
    given = options.parse_args()
    found = chaos(given.kills, given.seed)
    text = page(found, given.seed)
    print(text)
    if found.kills.total() >= KILLS:
        PAGE.write_text(text, encoding="utf-8")
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
