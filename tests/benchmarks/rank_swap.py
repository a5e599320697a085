"""Versions swapped under full load: no call fails, and no reply mixes the scores of two versions.

python -m tests.benchmarks.run rank_swap
python -m tests.benchmarks.rank_swap SECONDS    # printed only
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc import aio
from tests.benchmarks.rank_server import (
    Question,
    Server,
    machine_cpu_seconds,
    questions,
    served,
    write_minilm,
)

from ranklift.rankers.artefacts import digest_of, load_ranker
from ranklift.rankers.base import Values, score_texts
from ranklift.v1 import models_pb2, models_pb2_grpc, ranking_pb2

METHOD = "/ranklift.v1.RankingService/Rank"
MODEL = "minilm"
SECONDS, SWAPS, CLIENTS, DOCUMENTS = 60.0, 3, 8, (5, 15)
TOLERANCE = 1e-5
SEED = 21


@dataclass(frozen=True)
class Reply:
    question: int
    sent: float
    ended: float
    response: ranking_pb2.RankResponse


@dataclass(frozen=True)
class Swapping:
    """What the clients got, and (loading began, it served, the old version was gone) of each
    swap; times in seconds."""

    replies: Sequence[Reply]
    failed: Counter[grpc.StatusCode]
    swaps: Sequence[tuple[float, float, float]]
    resident_mib: Sequence[float]
    other_cores: float


def measure(seconds: float = SECONDS) -> str:
    asked = questions(60, DOCUMENTS, SEED)
    with tempfile.TemporaryDirectory() as home:
        folders = [write_minilm(Path(home) / f"head-{seed}", seed) for seed in (1, 2)]
        expected = {digest_of(folder): offline(folder, asked) for folder in folders}
        with served(folders[0], MODEL) as server:
            found = asyncio.run(swapping(server, folders, asked, seconds))
    return _page(found, expected, asked)


def offline(folder: Path, asked: Sequence[Question]) -> list[Values]:
    ranker = load_ranker(folder)
    return [score_texts(ranker, each.query, each.documents).values for each in asked]


async def swapping(
    server: Server, folders: Sequence[Path], asked: Sequence[Question], seconds: float
) -> Swapping:
    """Ask without pause under the bare name while version after version takes it over.

    For `seconds`, and until `SWAPS` are done.
    """
    messages = [question.request(MODEL) for question in asked]
    replies: list[Reply] = []
    failed: Counter[grpc.StatusCode] = Counter()
    swaps: list[tuple[float, float, float]] = []
    resident = [server.resident_mib()]
    began = time.perf_counter()
    busy = -_other_cpu_seconds(server)
    async with aio.insecure_channel(server.address) as channel:
        rank: Any = channel.unary_unary(
            METHOD, response_deserializer=ranking_pb2.RankResponse.FromString
        )
        models: models_pb2_grpc.ModelServiceAsyncStub = models_pb2_grpc.ModelServiceStub(channel)

        def over() -> bool:
            return time.perf_counter() > began + seconds and len(swaps) >= SWAPS

        async def client(first: int) -> None:
            for position in itertools.count(first, CLIENTS):
                if over():
                    return
                sent = time.perf_counter()
                call = rank(messages[position % len(asked)])
                if (code := await call.code()) is grpc.StatusCode.OK:
                    ended = time.perf_counter()
                    replies.append(Reply(position % len(asked), sent, ended, await call))
                else:
                    failed[code] += 1

        async def swap() -> None:
            for version in itertools.count(2):
                if over():
                    return
                folder = folders[(version - 1) % len(folders)]
                asked_for = time.perf_counter()
                await models.LoadModelVersion(
                    models_pb2.LoadModelVersionRequest(
                        model=MODEL, version=str(version), uri=str(folder)
                    )
                )
                loaded = time.perf_counter()
                await models.UnloadModelVersion(
                    models_pb2.UnloadModelVersionRequest(model=MODEL, version=str(version - 1))
                )
                swaps.append((asked_for, loaded, time.perf_counter()))
                resident.append(server.resident_mib())
                await asyncio.sleep(1.0)

        await asyncio.gather(swap(), *(client(i) for i in range(CLIENTS)))
    busy += _other_cpu_seconds(server)
    return Swapping(replies, failed, swaps, resident, busy / (time.perf_counter() - began))


def _other_cpu_seconds(server: Server) -> float:
    return machine_cpu_seconds() - server.cpu_seconds() - time.process_time()


def _page(
    found: Swapping,
    expected: Mapping[str, Sequence[Values]],
    asked: Sequence[Question],
) -> str:
    worst, apart = 0.0, np.inf
    for reply in found.replies:
        got = np.empty(len(asked[reply.question].documents))
        for result in reply.response.results:
            got[result.index] = result.relevance_score
        own = expected[reply.response.model.digest][reply.question]
        worst = max(worst, float(np.abs(got - own).max()))
    for one, other in zip(*expected.values(), strict=True):
        apart = min(apart, float(np.abs(one - other).min()))

    def during_load(reply: Reply) -> bool:
        return any(began < reply.ended and reply.sent < done for began, done, _ in found.swaps)

    loading = [each.ended - each.sent for each in found.replies if during_load(each)]
    others = [each.ended - each.sent for each in found.replies if not during_load(each)]
    versions = len({reply.response.model.version for reply in found.replies})
    failed = sum(found.failed.values())
    right = "" if worst <= TOLERANCE else ": **falls short**"
    loads = [loaded - began for began, loaded, _ in found.swaps]
    unloads = [gone - loaded for _, loaded, gone in found.swaps]
    first, last = found.resident_mib[1], found.resident_mib[-1]
    return f"""# Versions swapped under full load

all-MiniLM-L6-v2 with one of two scalar heads; {CLIENTS} clients ask without pause
under the model's bare name, {DOCUMENTS[0]} to {DOCUMENTS[1]} documents a call. Meanwhile version
after version is loaded, takes the name over, and the one before is unloaded. Every reply is
compared with scores computed offline by the version that it names; the nearest two scores that the
versions give one document are {apart:.1g} apart. Other work on the machine took
{found.other_cores:.1f} of its cores.

| | wanted | found |
|---|---|---|
| swaps | - | {len(found.swaps)} |
| calls answered, by versions | - | {len(found.replies)}, {versions} |
| calls that failed | 0 | {failed} {dict(found.failed) or ""} |
| largest difference to the named version's scores | <= {TOLERANCE:g} | {worst:.1g}{right} |
| latency while a version is loading, p50 / p99 / worst | - | {_quantiles(loading)} |
| latency at other times, p50 / p99 / worst | - | {_quantiles(others)} |
| load and warm up; unload; medians | - | {np.median(loads):.2f} s; {np.median(unloads):.2f} s |
| resident memory after the first swap and the last | flat | {first:.0f}, {last:.0f} MiB |"""


def _quantiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    middle, high = np.quantile(seconds, [0.5, 0.99])
    times = f"{1e3 * middle:.0f} / {1e3 * high:.0f} / {1e3 * max(seconds):.0f}"
    return f"{times} ms ({len(seconds)} calls)"


if __name__ == "__main__":
    print(measure(*map(float, sys.argv[1:])))
