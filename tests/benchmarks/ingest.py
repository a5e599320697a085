"""How many events a second does the log acknowledge through gRPC, and how late?

python -m tests.benchmarks.run ingest
python -m tests.benchmarks.ingest SECONDS ROUNDS     # shorter or longer, printed only
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from ranklift.cli.processes import free_address
from ranklift.cli.serve import GARBAGE
from ranklift.events.frames import read_events
from ranklift.events.log import EventLog
from ranklift.events.service import EventServicer
from ranklift.events.values import Page
from ranklift.v1 import events_pb2, events_pb2_grpc
from ranklift.v1.hosting import OPTIONS, host, share_interpreter

BATCH = 500
STREAMS = 4
IN_FLIGHT = 4  # batches a stream sends before it waits for an answer
SECONDS, ROUNDS = 8.0, 3
PAGES, DOCUMENTS = 60_000, 10
TARGET, TARGET_MS = 50_000, 50.0
SERVICE = "ranklift.v1.EventService"
STREAM = f"/{SERVICE}/StreamEvents"
T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Run:
    """What was acknowledged of `events`, and how long the batches took, in milliseconds."""

    seconds: float
    acknowledged: int
    milliseconds: npt.NDArray[np.float64]
    server_cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.acknowledged / self.seconds


def measure() -> str:
    """Measure and return the page."""
    return measured(SECONDS, ROUNDS)


def measured(seconds: float, rounds: int) -> str:
    two_cores = set(sorted(os.sched_getaffinity(0))[:2])
    os.sched_setaffinity(0, two_cores)  # the children inherit it
    most, half, echoed, inserted = [], [], [], []
    for number in range(rounds):
        batches = make_batches(f"r{number}", int(TARGET * 1.4 * seconds))
        with tempfile.TemporaryDirectory() as folder:
            with server("log", Path(folder)) as (address, pid):
                half.append(
                    load(address, pid, batches[: int(TARGET / 2 * seconds / BATCH)], TARGET / 2)
                )
                most.append(load(address, pid, batches[int(TARGET / 2 * seconds / BATCH) :], None))
            check(Path(folder), half[-1].acknowledged + most[-1].acknowledged)
        with tempfile.TemporaryDirectory() as folder:
            with server("echo", Path(folder)) as (address, pid):
                echoed.append(load(address, pid, batches, None))
            inserted.append(insert_rate(Path(folder) / "floor.db", batches))
    return "\n".join(page(most, half, echoed, inserted, seconds))


def page(
    most: Sequence[Run],
    half: Sequence[Run],
    echoed: Sequence[Run],
    inserted: Sequence[float],
    seconds: float,
) -> list[str]:
    rates = [run.rate for run in most]
    late = [np.quantile(run.milliseconds, (0.5, 0.99, 1)) for run in half]
    full = [np.quantile(run.milliseconds, (0.5, 0.99, 1)) for run in most]
    cpu = [run.server_cpu_seconds / run.acknowledged * 1e6 for run in most]
    floor_cpu = [run.server_cpu_seconds / run.acknowledged * 1e6 for run in echoed]
    return [
        "# Events acknowledged through gRPC",
        "",
        f"`StreamEvents` in batches of {BATCH} events, half of them clicks and half the dwells "
        f"that follow, on {PAGES:,} known pages of {DOCUMENTS} documents; {STREAMS} streams with "
        f"up to {IN_FLIGHT} batches in flight each. Every answer means that the batch is on disk "
        "(SQLite, synchronous=FULL). **The client's process and the server share two cores**; the "
        "server exports to Parquet meanwhile. The messages are made before the clock runs. "
        f"{len(most)} rounds of {seconds:g} s, each in a new home; afterwards the log is read and "
        "every acknowledged event is in it once. Medians with the least and the greatest.",
        "",
        "| | events/s | |",
        "|---|---|---|",
        f"| **log, as fast as it goes** | {_spread(rates)} | wanted: {TARGET:,} |",
        f"| the same bytes to a gRPC server that only counts | "
        f"{_spread([run.rate for run in echoed])} | |",
        f"| the same bytes into SQLite, a row an event, one id index, {BATCH} a commit, no gRPC | "
        f"{_spread(inserted)} | |",
        "",
        "| acknowledgement of a batch, ms | p50 | p99 | most |",
        "|---|---|---|---|",
        f"| open loop, {TARGET // 2:,} events/s, from the intended time | "
        + " | ".join(_spread(list(column), 1) for column in zip(*late, strict=True))
        + " |",
        "| as fast as it goes | "
        + " | ".join(_spread(list(column), 1) for column in zip(*full, strict=True))
        + " |",
        "",
        f"Wanted: p99 at most {TARGET_MS:g} ms at {TARGET // 2:,} events/s. CPU time of the "
        f"server: {_spread(cpu, 1)} us an event, exports included; of the one that only counts "
        f"{_spread(floor_cpu, 1)} us.",
    ]


def _spread(values: Sequence[float], digits: int = 0) -> str:
    low, middle, high = (f"{v:,.{digits}f}" for v in np.quantile(values, (0, 0.5, 1)))
    return f"{middle} [{low} .. {high}]"


def make_batches(prefix: str, events: int) -> list[bytes]:
    """Return batches as they travel; a click is followed by its dwell."""
    batches = []
    for first in range(0, events, BATCH):
        request = events_pb2.StreamEventsRequest()
        for number in range(first, first + BATCH, 2):
            click_id = f"{prefix}-click-{number:010d}"
            click = request.events.add(event_id=click_id).click
            click.impression_id = f"page-{number // 2 * 7_919 % PAGES:010d}"
            click.document_id = f"document-{number // 2 % DOCUMENTS}"
            click.click_time.FromDatetime(T0)
            dwell = request.events.add(event_id=f"{prefix}-dwell-{number:010d}").dwell
            dwell.click_event_id = click_id
            dwell.dwell_duration.FromMilliseconds(number % 90_000)
        batches.append(request.SerializeToString())
    return batches


def load(address: str, pid: int, batches: Sequence[bytes], rate: float | None) -> Run:
    """Send `batches` over the streams, at fixed times for `rate` events/s, else as fast as
    answers come; wait for all answers."""
    parts = [range(i, len(batches), STREAMS) for i in range(STREAMS)]
    ended = np.full(len(batches), np.nan)
    sent = np.full(len(batches), np.nan)
    counts = [0] * STREAMS
    failures: list[BaseException] = []
    gc.collect()
    gc.disable()
    cpu = _cpu_seconds(pid)
    begin = time.perf_counter() + 0.05

    def stream(which: int) -> None:
        places = threading.Semaphore(IN_FLIGHT if rate is None else len(batches))

        def requests() -> Iterator[bytes]:
            for i in parts[which]:
                places.acquire()
                if rate is not None:
                    sent[i] = begin + i * BATCH / rate
                    while (wait := sent[i] - time.perf_counter()) > 0:
                        time.sleep(wait)
                else:
                    sent[i] = time.perf_counter()
                yield batches[i]

        try:
            with grpc.insecure_channel(
                address, options=(*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
            ) as channel:
                call: Any = channel.stream_stream(STREAM)  # bytes both ways
                for i, answer in zip(parts[which], call(requests()), strict=True):
                    ended[i] = time.perf_counter()
                    places.release()
                    counts[which] += events_pb2.StreamEventsResponse.FromString(
                        answer
                    ).recorded_count
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=stream, args=(i,)) for i in range(STREAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.enable()
    if failures:
        raise failures[0]
    if sum(counts) != len(batches) * BATCH:
        raise RuntimeError(f"{sum(counts)} of {len(batches) * BATCH} events were recorded")
    cpu = _cpu_seconds(pid) - cpu
    return Run(float(ended.max() - begin), sum(counts), (ended - sent) * 1_000, cpu)


def check(home: Path, acknowledged: int) -> None:
    """Every acknowledged event is in the log once."""
    frames = read_events(home)
    ids = [
        frame.select("event_id").collect()["event_id"] for frame in (frames.clicks, frames.dwells)
    ]
    for found in (sum(each.len() for each in ids), sum(each.n_unique() for each in ids)):
        if found != acknowledged:
            raise RuntimeError(f"{acknowledged} acknowledged, {found} in the log")


def insert_rate(path: Path, batches: Sequence[bytes]) -> float:
    """Return the events/s of SQLite alone: a row and an id for each event, on disk per batch."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, body BLOB)")
        database.execute("CREATE TABLE seen (identity BLOB PRIMARY KEY) WITHOUT ROWID")
        rows = [
            [(event.SerializeToString(), os.urandom(16)) for event in request.events]
            for request in map(events_pb2.StreamEventsRequest.FromString, batches[:400])
        ]
        begin = time.perf_counter()
        for batch in rows:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO rows (body) VALUES (?)", ((b,) for b, _ in batch))
            database.executemany("INSERT INTO seen VALUES (?)", ((i,) for _, i in batch))
            database.execute("COMMIT")
        return len(rows) * BATCH / (time.perf_counter() - begin)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(what: str, home: Path) -> Iterator[tuple[str, int]]:
    """Run this module's server as another process until the end of the block."""
    address = free_address()
    command = [sys.executable, "-m", "tests.benchmarks.ingest", what, address, str(home)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the {what} server does not start")
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


async def serve_log(address: str, home: Path) -> None:
    """Serve the event log of `home` with its pages until SIGTERM."""
    async with await EventLog.open(home) as log:
        shown = tuple(f"document-{i}" for i in range(DOCUMENTS))
        for number in range(PAGES):
            one = Page(
                impression_id=f"page-{number:010d}",
                page_time=T0,
                user_id=f"user-{number % 5_000}",
                session_id="s",
                query="wing flutter",
                documents=shown,
                scores=tuple(-float(i) for i in range(DOCUMENTS)),
                model="student",
                version="1",
                digest="sha256:0",
                assignments=(),
                fallback_reason="",
                latency_ms=1.0,
            )
            made = partial(lambda one: (one, ()), one)
            log.submit_page(made, documents=0, size=500, urgent=False)
            if number % 1_000 == 999:
                await asyncio.to_thread(log.flush)
        await log.export()
        servicer = EventServicer(log)
        await _serve(address, partial(events_pb2_grpc.add_EventServiceServicer_to_server, servicer))


async def serve_echo(address: str) -> None:
    """Answer each batch at once until SIGTERM: what gRPC and the reading of messages take."""

    async def counted(requests: Any, context: object) -> Any:
        async for request in requests:
            yield events_pb2.StreamEventsResponse(recorded_count=len(request.events))

    def register(server: grpc.aio.Server) -> None:
        handler: Any = grpc.stream_stream_rpc_method_handler(
            counted,
            request_deserializer=events_pb2.StreamEventsRequest.FromString,
            response_serializer=events_pb2.StreamEventsResponse.SerializeToString,
        )
        handlers = {"StreamEvents": handler}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])

    await _serve(address, register)


async def _serve(address: str, register: Any) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    share_interpreter()
    hosted = await host(address, {SERVICE: register})
    gc.collect()
    gc.freeze()  # as `ranklift serve` does
    gc.set_threshold(GARBAGE)
    print("ready", flush=True)
    await stop.wait()
    await hosted.stop()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["log", address, home]:
            asyncio.run(serve_log(address, Path(home)))
        case ["echo", address, _]:
            asyncio.run(serve_echo(address))
        case [seconds, rounds]:
            print(measured(float(seconds), int(rounds)))
