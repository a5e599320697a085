"""What does the gateway add to a ranking call?

python -m tests.benchmarks.run gateway_hop
python -m tests.benchmarks.gateway_hop SECONDS ROUNDS     # shorter or longer, printed only
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from ranklift.cli.composition import registry_of
from ranklift.cli.demo.control import begin_experiment
from ranklift.cli.processes import children, free_address
from ranklift.events.log import EventLog
from ranklift.events.pending import Recorded
from ranklift.settings import load_settings
from ranklift.store.values import Lineage, ModelRef, ModelVersion
from ranklift.traffic.client import AssignmentClient
from ranklift.traffic.pages import shown_page
from ranklift.v1 import models_pb2, ranking_pb2
from ranklift.v1.hosting import OPTIONS, host
from ranklift.v1.requests import RankLimits, validate_rank_request

RATE = 500  # requests/s
SECONDS, ROUNDS, WARM_UP_SECONDS = 10.0, 7, 3.0
QUERIES, DOCUMENTS, TOKENS = 200, 50, 100
USERS = 5_000
TARGET_MS = 0.8
QUANTILES = (0.5, 0.9, 0.99)
VERSIONS = (ModelRef("fixed", "1"), ModelRef("fixed", "2"))
RANK = "/ranklift.v1.RankingService/Rank"


@dataclass(frozen=True, slots=True)
class Run:
    """Latencies of one run from the intended send times, in milliseconds; CPU in between."""

    milliseconds: npt.NDArray[np.float64]
    failed: int
    hop_microseconds: float  # CPU time per request of the process in between

    def quantiles(self) -> npt.NDArray[np.float64]:
        return np.quantile(self.milliseconds, QUANTILES)


def measure() -> str:
    """Measure and return the page."""
    return measured(SECONDS, ROUNDS)


def measured(seconds: float, rounds: int) -> str:
    two_cores = set(sorted(os.sched_getaffinity(0))[:2])
    os.sched_setaffinity(0, two_cores)  # the children inherit it
    requests = make_requests(random.Random(7))
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder)) as served:
        for hop in served.hops:
            load(hop, requests, WARM_UP_SECONDS)
        runs = [[load(hop, requests, seconds) for hop in served.hops] for _ in range(rounds)]
        assigning = assign_microseconds(served.hops[-1].address)
    with tempfile.TemporaryDirectory() as folder:
        lags = asyncio.run(milliseconds_to_disk(Path(folder), requests, seconds))
    return "\n".join([*hop_lines(runs, requests, seconds), *other_lines(lags, assigning)])


def hop_lines(
    runs: Sequence[Sequence[Run]], requests: Sequence[bytes], seconds: float
) -> list[str]:
    direct, *through = (np.array(each) for each in zip(*map(_quantiles, runs), strict=True))
    kilobytes = np.mean([len(request) for request in requests]) / 1_000
    failed = sum(run.failed for each in runs for run in each)
    forwarding, gateway = (np.array([each[i].hop_microseconds for each in runs]) for i in (1, 2))
    rows = [
        ("directly to the ranker", direct),
        ("added by a forwarder of bytes", through[0] - direct),
        ("**added by the gateway**", through[1] - direct),
    ]
    return [
        "# What the gateway adds",
        "",
        f"{RATE} requests/s, {DOCUMENTS} documents of {TOKENS} words each ({kilobytes:.0f} KB a "
        "request), from a client that sends every 2 ms whatever comes back; latency from the "
        f"intended time. {len(runs)} rounds of {seconds:g} s each: directly to a ranker with "
        "fixed scores, through a `grpc.aio` server that passes bytes on and does nothing else, "
        "and through `ranklift serve gateway`, with a running experiment of two versions and the "
        "event log on disk. **Client, ranker, gateway and the log's writer share two cores.**",
        "",
        'Medians of the rounds\' quantiles, with the least and the greatest; "added" is the '
        f"difference to direct calls within a round. Target: added p99 at most {TARGET_MS} ms.",
        "",
        "| ms | " + " | ".join(f"p{quantile * 100:g}" for quantile in QUANTILES) + " |",
        "|---|" + "---|" * len(QUANTILES),
        *(f"| {name} | " + " | ".join(map(_spread, values.T)) + " |" for name, values in rows),
        "",
        f"{int(RATE * seconds) * len(runs):,} calls each way, {failed} failed. CPU time a request: "
        f"the forwarder {_spread(forwarding, 0)} us, the gateway {_spread(gateway, 0)} us, its "
        "log's writer included.",
    ]


def other_lines(lags: npt.NDArray[np.float64], assigning: npt.NDArray[np.float64]) -> list[str]:
    new, met = lags[: int(RATE * WARM_UP_SECONDS)], lags[int(RATE * WARM_UP_SECONDS) :]
    middle, high, highest = np.quantile(met, (0.5, 0.99, 1))
    return [
        "",
        f"**To the disk.** {len(met):,} such pages at {RATE}/s, handed to an event log of their "
        f"own: on disk after {middle:.0f} ms (median), {high:.0f} ms (p99), {highest:.0f} ms "
        f"(maximum). Wanted: 100 ms. In the {WARM_UP_SECONDS:g} s before, when each of the "
        f"{QUERIES * DOCUMENTS:,} documents was new, {np.quantile(new, 0.99):.0f} ms (p99): what "
        "holds a page up is the texts that go to the disk with it.",
        "",
        "**Without the hop.** `AssignmentClient.assign`, in the service's own process: "
        f"{_spread(assigning, 1)} us a call. That it says what the gateway says is a test, "
        "`tests/platform/traffic/test_client.py`.",
    ]


def _quantiles(runs: Sequence[Run]) -> list[npt.NDArray[np.float64]]:
    return [run.quantiles() for run in runs]


def _spread(values: npt.NDArray[np.float64], digits: int = 2) -> str:
    low, middle, high = (f"{v:.{digits}f}" for v in np.quantile(values, (0, 0.5, 1)))
    return f"{middle} [{low} .. {high}]"


def assign_microseconds(address: str, calls: int = 100_000) -> npt.NDArray[np.float64]:
    """Return what a look-up takes, measured ten times."""
    users = [f"user-{number}" for number in range(calls)]
    found = []
    with AssignmentClient(address) as client:
        for _ in range(10):
            began = time.perf_counter()
            for user in users:
                client.assign(user)
            found.append((time.perf_counter() - began) / calls * 1e6)
    return np.array(found)


async def milliseconds_to_disk(
    home: Path, requests: Sequence[bytes], seconds: float
) -> npt.NDArray[np.float64]:
    """Return how long each page took from the log's hands to the disk."""
    parsed = [ranking_pb2.RankRequest.FromString(request) for request in requests]
    lags: list[float] = []

    def settled(began: float, recording: Future[Recorded]) -> None:
        recording.result()
        lags.append((time.perf_counter() - began) * 1_000)

    async with await EventLog.open(home) as log:
        begin = time.perf_counter()
        for i in range(int(RATE * (WARM_UP_SECONDS + seconds))):
            await asyncio.sleep(begin + i / RATE - time.perf_counter())
            request = parsed[i % len(parsed)]
            make = partial(
                shown_page,
                request,
                validate_rank_request(request, RankLimits()),
                _reply(request),
                impression_id=f"page-{i}",
                now=datetime.now(UTC),
                assignments=(),
                forced=(),
                latency_ms=1.0,
            )
            recording = log.submit_page(make, documents=DOCUMENTS, size=30_000, urgent=False)
            recording.add_done_callback(partial(settled, time.perf_counter()))
    return np.array(lags)


def make_requests(rng: random.Random) -> list[bytes]:
    """Return requests as they travel, users and queries mixed; a query has its own candidates."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(5_000)]
    candidates = [
        [
            ranking_pb2.Document(id=f"d{query}-{i}", text=" ".join(rng.choices(words, k=TOKENS)))
            for i in range(DOCUMENTS)
        ]
        for query in range(QUERIES)
    ]
    return [
        ranking_pb2.RankRequest(
            query=f"{' '.join(rng.choices(words, k=3))} {user % QUERIES}",
            documents=candidates[user % QUERIES],
            user_id=f"user-{user}",
            session_id=f"session-{user}",
        ).SerializeToString()
        for user in range(USERS)
    ]


@dataclass(frozen=True, slots=True)
class Hop:
    """Where calls are sent, and the process that answers there."""

    address: str
    pid: int


@dataclass(frozen=True, slots=True)
class Served:
    """The ranker, the forwarder and the gateway, in this order."""

    hops: tuple[Hop, Hop, Hop]


@contextmanager
def installation(folder: Path) -> Iterator[Served]:
    """Run a ranker, a forwarder and a gateway as processes; an experiment runs."""
    home = folder / "home"
    ranker, forwarder, gateway = (free_address() for _ in range(3))
    with registry_of(load_settings(home=home)) as registry:
        for ref in VERSIONS:
            registry.models.register(_version(ref))
        registry.models.set_champion(VERSIONS[0], actor="benchmark", reason="")
    with (
        helper("rank", ranker) as first,
        helper("forward", forwarder, ranker) as second,
        children(folder / "logs", {}) as start,
    ):
        at = ("--home", str(home), "--address", gateway, "--ranker", ranker)
        third = start("gateway", "serve", "gateway", *at).process
        hops = (Hop(ranker, first.pid), Hop(forwarder, second.pid), Hop(gateway, third.pid))
        for hop in hops:
            with grpc.insecure_channel(hop.address) as channel:
                grpc.channel_ready_future(channel).result(60)
        begin_experiment(gateway, "hop", control=VERSIONS[0], challenger=VERSIONS[1])
        yield Served(hops)


@contextmanager
def helper(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run this module as another process."""
    command = [sys.executable, "-m", "tests.benchmarks.gateway_hop", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _version(ref: ModelRef) -> ModelVersion:
    return ModelVersion(
        ref, "bm25", "sha256:" + "0" * 64, "fp32", "/nowhere", Lineage("index"), datetime.now(UTC)
    )


def load(hop: Hop, requests: Sequence[bytes], seconds: float) -> Run:
    """Send at fixed times for `seconds`, and wait for all answers."""
    count = int(RATE * seconds)
    ended = np.full(count, np.nan)
    failed: list[grpc.StatusCode] = []
    done = threading.Semaphore(0)

    def finished(i: int, call: Any) -> None:
        ended[i] = time.perf_counter()
        if call.code() is not grpc.StatusCode.OK:
            failed.append(call.code())
        done.release()

    with grpc.insecure_channel(hop.address, options=OPTIONS) as channel:
        rank: Any = channel.unary_unary(RANK)  # bytes in, bytes out: nothing is parsed here
        rank(requests[0])
        gc.collect()
        gc.disable()
        cpu = _cpu_seconds(hop.pid)
        begin = time.perf_counter() + 0.05
        intended = begin + np.arange(count) / RATE
        for i, at in enumerate(intended.tolist()):
            while (wait := at - time.perf_counter()) > 0:
                time.sleep(wait)
            call = rank.future(requests[i % len(requests)], timeout=5)
            call.add_done_callback(partial(finished, i))
        for _ in range(count):
            done.acquire()
        cpu = _cpu_seconds(hop.pid) - cpu
        gc.enable()
    return Run((ended - intended) * 1_000, len(failed), cpu / count * 1e6)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class FixedRanker:
    """Answers with the same scores always, from replies made once for each query and version."""

    def __init__(self) -> None:
        self._replies: dict[tuple[str, str], bytes] = {}

    async def rank(self, body: bytes, context: object) -> bytes:
        request = ranking_pb2.RankRequest.FromString(body)
        key = (request.query, request.model.version)
        reply = self._replies.get(key)
        if reply is None:
            reply = self._replies[key] = _reply(request).SerializeToString()
        return reply

    async def loaded(self, request: object, context: object) -> bytes:
        return models_pb2.ListLoadedModelVersionsResponse(
            loaded=[
                models_pb2.LoadedModelVersion(model=ref.model, version=ref.version)
                for ref in VERSIONS
            ]
        ).SerializeToString()


def _reply(request: ranking_pb2.RankRequest) -> ranking_pb2.RankResponse:
    return ranking_pb2.RankResponse(
        results=[
            ranking_pb2.RankedDocument(index=i, id=document.id, relevance_score=-float(i))
            for i, document in enumerate(request.documents)
        ],
        model=ranking_pb2.ServedModel(
            name=VERSIONS[0].model, version=request.model.version or VERSIONS[0].version
        ),
    )


async def rank(address: str) -> None:
    """Serve fixed scores until SIGTERM."""
    ranker = FixedRanker()
    await _serve(
        address,
        {
            "ranklift.v1.RankingService": {"Rank": ranker.rank},
            "ranklift.v1.ModelService": {"ListLoadedModelVersions": ranker.loaded},
        },
    )


async def forward(address: str, to: str) -> None:
    """Pass bytes on until SIGTERM: what any gateway of Python and gRPC takes."""
    call: Any = grpc.aio.insecure_channel(to, options=OPTIONS).unary_unary(RANK)

    async def passed_on(body: bytes, context: object) -> bytes:
        reply: bytes = await call(body, timeout=5)
        return reply

    await _serve(address, {"ranklift.v1.RankingService": {"Rank": passed_on}})


async def _serve(address: str, services: dict[str, dict[str, Any]]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def register(server: grpc.aio.Server) -> None:
        for service, methods in services.items():
            handlers: dict[str, Any] = {
                name: grpc.unary_unary_rpc_method_handler(call) for name, call in methods.items()
            }
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(service, handlers)]
            )

    hosted = await host(address, {"ranklift.v1.RankingService": register})
    gc.collect()
    gc.freeze()  # as `ranklift serve` does
    await stop.wait()
    await hosted.stop()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["rank", address]:
            asyncio.run(rank(address))
        case ["forward", address, to]:
            asyncio.run(forward(address, to))
        case [seconds, rounds]:
            print(measured(float(seconds), int(rounds)))
