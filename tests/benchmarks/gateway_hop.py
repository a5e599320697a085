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
from ranklift.settings import load_settings
from ranklift.store.values import Lineage, ModelRef, ModelVersion
from ranklift.v1 import models_pb2, ranking_pb2
from ranklift.v1.hosting import OPTIONS, host

RATE = 500  # requests/s
SECONDS, ROUNDS = 10.0, 7
QUERIES, DOCUMENTS, TOKENS = 200, 50, 100
USERS = 5_000
TARGET_MS = 0.8
QUANTILES = (0.5, 0.9, 0.99)
VERSIONS = (ModelRef("fixed", "1"), ModelRef("fixed", "2"))
RANK = "/ranklift.v1.RankingService/Rank"


@dataclass(frozen=True, slots=True)
class Run:
    """Latencies of one run from the intended send times, in milliseconds; the gateway's CPU."""

    milliseconds: npt.NDArray[np.float64]
    failed: int
    gateway_microseconds: float  # CPU time per request

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
        for address in (served.upstream, served.gateway):
            load(address, requests, 3.0, served.gateway_pid)
        pairs = []
        for _ in range(rounds):
            direct = load(served.upstream, requests, seconds, served.gateway_pid)
            through = load(served.gateway, requests, seconds, served.gateway_pid)
            pairs.append((direct, through))
    return page(pairs, requests, seconds)


def page(pairs: Sequence[tuple[Run, Run]], requests: Sequence[bytes], seconds: float) -> str:
    direct = np.array([run.quantiles() for run, _ in pairs])
    through = np.array([run.quantiles() for _, run in pairs])
    calls = sum(len(run.milliseconds) for _, run in pairs)
    failed = sum(one.failed + other.failed for one, other in pairs)
    kilobytes = np.mean([len(request) for request in requests]) / 1_000
    rows = [("direct", direct), ("through the gateway", through), ("added", through - direct)]
    cpu = np.array([run.gateway_microseconds for _, run in pairs])
    lines = [
        "# What the gateway adds",
        "",
        f"{RATE} requests/s, {DOCUMENTS} documents of {TOKENS} words each ({kilobytes:.0f} KB a "
        "request), from a client that sends at fixed times whatever comes back; latency from the "
        f"intended time. {len(pairs)} rounds of {seconds:g} s, each directly to a ranker with "
        "fixed scores and then through `ranklift serve gateway`, with a running experiment of "
        "two versions and the event log on disk. **Client, ranker, gateway and the log's writer "
        "share two cores.**",
        "",
        'Medians of the rounds\' quantiles, with the least and the greatest; "added" is the '
        f"difference within a round. Target: added p99 at most {TARGET_MS} ms.",
        "",
        "| ms | " + " | ".join(f"p{quantile * 100:g}" for quantile in QUANTILES) + " |",
        "|---|" + "---|" * len(QUANTILES),
        *(f"| {name} | " + " | ".join(map(_spread, values.T)) + " |" for name, values in rows),
        "",
        f"{calls:,} calls each way, {failed} failed. The gateway took {_spread(cpu, 0)} us of CPU "
        "time a request, the log's writer included.",
    ]
    return "\n".join(lines)


def _spread(values: npt.NDArray[np.float64], digits: int = 2) -> str:
    low, middle, high = (f"{v:.{digits}f}" for v in np.quantile(values, (0, 0.5, 1)))
    return f"{middle} [{low} .. {high}]"


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
class Served:
    """Where the ranker and the gateway listen."""

    upstream: str
    gateway: str
    gateway_pid: int


@contextmanager
def installation(folder: Path) -> Iterator[Served]:
    """Run a ranker and a gateway as processes, on a home with a running experiment."""
    home = folder / "home"
    upstream, gateway = free_address(), free_address()
    with registry_of(load_settings(home=home)) as registry:
        for ref in VERSIONS:
            registry.models.register(_version(ref))
        registry.models.set_champion(VERSIONS[0], actor="benchmark", reason="")
    command = [sys.executable, "-m", "tests.benchmarks.gateway_hop", "serve", upstream]
    ranker = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        with children(folder / "logs", {}) as start:
            at = ("--home", str(home), "--address", gateway, "--ranker", upstream)
            process = start("gateway", "serve", "gateway", *at)
            for address in (upstream, gateway):
                with grpc.insecure_channel(address) as channel:
                    grpc.channel_ready_future(channel).result(60)
            begin_experiment(gateway, "hop", control=VERSIONS[0], challenger=VERSIONS[1])
            yield Served(upstream, gateway, process.process.pid)
    finally:
        ranker.terminate()
        ranker.wait()


def _version(ref: ModelRef) -> ModelVersion:
    return ModelVersion(
        ref, "bm25", "sha256:" + "0" * 64, "fp32", "/nowhere", Lineage("index"), datetime.now(UTC)
    )


def load(address: str, requests: Sequence[bytes], seconds: float, gateway_pid: int) -> Run:
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

    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        rank: Any = channel.unary_unary(RANK)  # bytes in, bytes out: nothing is parsed here
        rank(requests[0])
        gc.collect()
        gc.disable()
        cpu = _cpu_seconds(gateway_pid)
        begin = time.perf_counter() + 0.05
        intended = begin + np.arange(count) / RATE
        for i, at in enumerate(intended.tolist()):
            while (wait := at - time.perf_counter()) > 0:
                time.sleep(wait)
            call = rank.future(requests[i % len(requests)], timeout=5)
            call.add_done_callback(partial(finished, i))
        for _ in range(count):
            done.acquire()
        cpu = _cpu_seconds(gateway_pid) - cpu
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


def serve(address: str) -> None:
    """Serve fixed scores until SIGTERM."""
    ranker = FixedRanker()
    handlers: dict[str, dict[str, Any]] = {
        "ranklift.v1.RankingService": {"Rank": ranker.rank},
        "ranklift.v1.ModelService": {"ListLoadedModelVersions": ranker.loaded},
    }

    def register(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service,
                    {name: grpc.unary_unary_rpc_method_handler(call) for name, call in of.items()},
                )
                for service, of in handlers.items()
            ]
        )

    async def until_stopped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        hosted = await host(address, {"ranklift.v1.RankingService": register})
        await stop.wait()
        await hosted.stop()

    asyncio.run(until_stopped())


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(measured(float(sys.argv[1]), int(sys.argv[2])))
