"""Rankers under concurrent clients: ranklift's, a naive server, infinity_emb, on equal weights.

python -m tests.benchmarks.run rank_served
python -m tests.benchmarks.rank_served ROUNDS SECONDS     # shorter, printed only

infinity's environment: see rank_served_servers.py. Without it the page says that it did not run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import httpx2
import numpy as np
from tests.benchmarks.rank_served_page import WORKLOADS, Page, Turn, Turns
from tests.benchmarks.rank_served_servers import (
    INFINITY,
    Running,
    Server,
    export,
    infinity,
    machine_cpu_seconds,
    naive,
    ranklift,
    running,
)

from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.base import Values
from ranklift.rankers.bench.addresses import parse_address
from ranklift.rankers.bench.endpoints import connect
from ranklift.rankers.bench.flops import Peak, Shape, read_shape
from ranklift.rankers.bench.load import Endpoint, closed_loop
from ranklift.rankers.bench.outcomes import summarize
from ranklift.rankers.bench.peak import measure_peak
from ranklift.rankers.bench.questions import Question, generated
from ranklift.v1 import ranking_pb2, ranking_pb2_grpc
from ranklift.v1.errors import Unreachable

CLIENTS = 8
ROUNDS, SECONDS, WARM_UP_SECONDS = 3, 8.0, 5.0
START_SECONDS = 180.0
PATIENCE_SECONDS = 300.0  # no server is refused its answer, on however busy a machine


def measure(rounds: int = ROUNDS, seconds: float = SECONDS) -> str:
    peak = measure_peak()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for numerics in ("fp32", "bf16"):
            export(home / numerics, numerics)
        weights = home / "fp32"
        shapes = {digest_of(home / n): read_shape(home / n) for n in ("fp32", "bf16")}
        servers = [
            ranklift(home / "home", weights, "fp32"),
            ranklift(home / "home", home / "bf16", "bf16"),
            naive(weights),
            *(infinity(weights) if INFINITY.is_dir() else []),
        ]
        return asyncio.run(_measure(servers, home, rounds, seconds, shapes, peak))


async def _measure(
    servers: Sequence[Server],
    logs: Path,
    rounds: int,
    seconds: float,
    shapes: Mapping[str, Shape],
    peak: Peak,
) -> str:
    async with AsyncExitStack() as stack:
        up = [stack.enter_context(running(server, logs)) for server in servers]
        probe = generated((20, 20), rng=np.random.default_rng(7), count=1)
        for each in up:
            await _ready(each.server, probe)
        page = Page(servers, await _differences(servers, probe[0]), shapes, peak)
        parts = [page.introduction(CLIENTS, rounds, seconds, WARM_UP_SECONDS)]
        for documents in WORKLOADS:
            parts.append(page.section(documents, await _alternate(up, documents, rounds, seconds)))
    return "\n\n".join(parts)


async def _ready(server: Server, questions: Sequence[Question]) -> None:
    """Wait until a server answers; they load their models at their own pace."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            async with AsyncExitStack() as stack:
                await connect(stack, parse_address(server.address), questions)
                return
        except Unreachable:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(1)


async def _alternate(
    up: Sequence[Running], documents: tuple[int, int], rounds: int, seconds: float
) -> Turns:
    questions = generated(documents, rng=np.random.default_rng(documents))
    turns: dict[str, list[Turn]] = {each.server.name: [] for each in up}
    async with AsyncExitStack() as stack:
        endpoints = [
            await connect(stack, parse_address(each.server.address), questions) for each in up
        ]
        first = 0
        for round_ in range(rounds + 1):
            most = 0
            for each, endpoint in zip(up, endpoints, strict=True):
                turn = await _turn(
                    each, up, endpoint, seconds if round_ else WARM_UP_SECONDS, first
                )
                most = max(most, len(turn.window.outcomes))
                if round_:
                    turns[each.server.name].append(turn)
                    print(
                        f"{documents} {round_} {each.server.name}: {turn.pairs_per_second:.1f}",
                        file=sys.stderr,
                    )
            first += most
    return turns


async def _turn(
    busy: Running, up: Sequence[Running], endpoint: Endpoint, seconds: float, first: int
) -> Turn:
    before = {each.server.name: each.cpu_seconds() for each in up}
    machine = machine_cpu_seconds() - time.process_time()
    window = await closed_loop(
        endpoint, CLIENTS, seconds, first=first, deadline_seconds=PATIENCE_SECONDS
    )
    machine = machine_cpu_seconds() - time.process_time() - machine
    used = {each.server.name: each.cpu_seconds() - before[each.server.name] for each in up}
    refused = summarize(window).refused
    assert not refused, f"{busy.server.name}: {refused}"
    return Turn(
        window,
        cpu_seconds=used[busy.server.name],
        idle_cpu_seconds=sum(used.values()) - used[busy.server.name],
        strangers_cpu_seconds=machine - sum(used.values()),
    )


async def _differences(servers: Sequence[Server], question: Question) -> dict[str, float]:
    """Return the largest difference of each server's scores from the first one's."""
    scores = {server.name: await _scores(server, question) for server in servers}
    first, *_ = scores.values()
    return {name: float(np.abs(each - first).max()) for name, each in scores.items()}


async def _scores(server: Server, question: Question) -> Values:
    found = np.empty(len(question.documents))
    address = parse_address(server.address)
    if address.scheme == "grpc":
        async with grpc.aio.insecure_channel(address.target) as channel:
            stub: ranking_pb2_grpc.RankingServiceAsyncStub
            stub = ranking_pb2_grpc.RankingServiceStub(channel)
            reply = await stub.Rank(
                ranking_pb2.RankRequest(
                    query=question.query,
                    documents=[
                        ranking_pb2.Document(id=one.id, text=one.text) for one in question.documents
                    ],
                )
            )
        for result in reply.results:
            found[result.index] = result.relevance_score
        return found
    texts = [one.text for one in question.documents]
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(
            address.url, json={"query": question.query, "documents": texts, "raw_scores": True}
        )
    for ranked in answer.raise_for_status().json()["results"]:
        found[ranked["index"]] = ranked["relevance_score"]
    return found


if __name__ == "__main__":
    print(measure(int(sys.argv[1]), float(sys.argv[2])))
