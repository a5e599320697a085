"""Every call of every service with random messages: none may crash a server or end as INTERNAL.

python -m tests.benchmarks.fuzz --seconds 300 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from tests.benchmarks.fuzz_messages import mutated, on_the_wire, random_message
from tests.benchmarks.fuzz_seeds import (
    CHAMPION,
    EVER,
    OTHER,
    TEACHER,
    Names,
    lasting,
    rank_request,
    seeds,
)

from ranklift.cli.composition import registry_of
from ranklift.cli.logs import configure_logs
from ranklift.cli.servers import gateway, ranker
from ranklift.cli.versions import register
from ranklift.inference import open_inference_pb2 as inference
from ranklift.rankers.base import Text
from ranklift.rankers.bm25 import build_bm25
from ranklift.settings import load_settings
from ranklift.store.values import Schedule
from ranklift.v1 import events_pb2 as events
from ranklift.v1 import experiments_pb2 as experiments
from ranklift.v1 import lift_pb2 as lift
from ranklift.v1 import models_pb2 as models
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1 import retraining_pb2 as retraining
from ranklift.v1.status import details_of

FORBIDDEN = ("INTERNAL", "UNKNOWN", "DATA_LOSS")
AT_ONCE = 16
TIMEOUT_SECONDS = 20.0
ON_GATEWAY = (ranking, events, experiments, lift, models, retraining)
ON_RANKER = (ranking, models, inference)
# Methods of a service that this server does not serve.
NOT_SERVED = "UNIMPLEMENTED"


@dataclass
class Findings:
    """Statuses by server and method, and the calls that ended as none may."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        return sum(each.total() for each in self.statuses.values())

    @property
    def never_ok(self) -> list[str]:
        """The methods that are served, and that no message made answer OK."""
        return sorted(
            name
            for name, counts in self.statuses.items()
            if not counts["OK"] and not counts[NOT_SERVED]
        )


def fuzz(seconds: float, seed: int, home: Path) -> Findings:
    """Call for so long; messages depend on `seed`, the names in them on what came before."""
    return asyncio.run(_run(seconds, seed, home))


async def _run(seconds: float, seed: int, home: Path) -> Findings:
    uri, run_id = _prepared(home)
    at = {"address": "127.0.0.1:0", "threads": 1}
    findings = Findings()
    loaded = [str(CHAMPION), str(OTHER)]
    async with ranker(load_settings(home=home, ranker=at), loaded) as served:
        before = {"address": "127.0.0.1:0", "rankers": (served.address,)}
        async with (
            gateway(load_settings(home=home, gateway=before)) as hosted,
            _Server("gateway", hosted.address) as split,
            _Server("ranker", served.address) as ranks,
        ):
            create = split.stub("ranklift.v1.ExperimentService", "CreateExperiment")
            start = split.stub("ranklift.v1.ExperimentService", "StartExperiment")
            for one in lasting():
                created = experiments.CreateExperimentRequest(experiment=one)
                await create(created.SerializeToString())
                started = experiments.StartExperimentRequest(name=one.name)
                await start(started.SerializeToString())
            calls = [(split, method) for method in _methods(ON_GATEWAY)]
            calls += [(ranks, method) for method in _methods(ON_RANKER)]
            names = Names()
            began = time.monotonic()
            async with asyncio.TaskGroup() as workers:
                for i in range(AT_ONCE):
                    rng = random.Random(seed * 1_000 + i)
                    known = seeds(names, rng, run_id, uri)
                    workers.create_task(_work(calls, known, rng, began + seconds, findings))
            findings.seconds = time.monotonic() - began
            await _restored(split, ranks, uri)
    return findings


def _prepared(home: Path) -> tuple[str, str]:
    """Make a home with two versions of BM25 and a run of a schedule; return artefact and run id."""
    folder = home / "models" / "bm25" / "1"
    texts = [Text(f"d{i}", f"shoe {i}", f"red shoe number {i}") for i in range(5)]
    build_bm25(texts, folder)
    build_bm25(texts[:4], folder.with_name("2"))
    build_bm25(texts[:3], folder.with_name("3"))
    with registry_of(load_settings(home=home)) as registry:
        register(registry, CHAMPION, folder)
        register(registry, OTHER, folder.with_name("2"))
        register(registry, TEACHER, folder.with_name("3"))
        registry.models.set_champion(CHAMPION, actor="fuzz", reason="")
        registry.schedules.put(
            Schedule(name=EVER, student=CHAMPION.model, teacher=TEACHER.model, cron="0 3 * * *")
        )
        run_id = registry.runs.create(EVER).run_id
    return str(folder), run_id


class _Server:
    """A server, and channels to it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._channel = aio.insecure_channel(address)
        # Blocking, for streams: when a server ends a stream while the asyncio client still writes,
        # that client may tell INTERNAL instead of the status it got (grpc/grpc#36066).
        self._blocking = grpc.insecure_channel(address)

    async def __aenter__(self) -> _Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        self._blocking.close()

    def stub(self, service: str, method: str) -> Callable[..., Awaitable[bytes]]:
        return self._channel.unary_unary(f"/{service}/{method}")

    async def streamed(self, path: str, messages: list[bytes], **options: Any) -> list[bytes]:
        call: Callable[..., Iterable[bytes]] = self._blocking.stream_stream(path)
        return await asyncio.to_thread(lambda: list(call(iter(messages), **options)))


def _methods(files: Sequence[Any]) -> list[MethodDescriptor]:
    return [
        method
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


async def _work(
    calls: Sequence[tuple[_Server, MethodDescriptor]],
    seeds: Mapping[str, Callable[[], Message]],
    rng: random.Random,
    ends: float,
    findings: Findings,
) -> None:
    while time.monotonic() < ends:
        server, method = rng.choice(calls)
        message = (
            mutated(seeds[method.full_name](), rng)
            if rng.random() < 0.7
            else random_message(method.input_type, rng)
        )
        data = on_the_wire(message.SerializeToString(), rng)
        status, details = await _call(server, method, data, rng)
        name = f"{server.name} {method.full_name}"
        findings.statuses.setdefault(name, Counter())[status] += 1
        if status in FORBIDDEN:
            findings.faults.append(f"{name}: {status} {details}: {data!r:.600}")


async def _call(
    server: _Server, method: MethodDescriptor, data: bytes, rng: random.Random
) -> tuple[str, str]:
    assert method.containing_service is not None
    service = method.containing_service.full_name
    reply_class = GetMessageClass(method.output_type)
    options = {"timeout": TIMEOUT_SECONDS, "metadata": _metadata(rng)}
    try:
        if method.client_streaming:
            messages = [data] * rng.choice((1, 2, 5))
            replies = await server.streamed(f"/{service}/{method.name}", messages, **options)
        else:
            replies = [await server.stub(service, method.name)(data, **options)]
        for reply in replies:
            reply_class.FromString(reply)
    except grpc.RpcError as error:  # of both kinds of channel
        return cast(grpc.Call, error).code().name, details_of(error)
    except DecodeError as error:
        return "UNKNOWN", f"the reply cannot be read: {error}"
    return "OK", ""


def _metadata(rng: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    if rng.random() < 0.8:
        return ()
    return rng.choice(
        (
            (("ranklift-experiment", "x" * 2_000),),
            (("authorization", "Bearer " + "z" * 99),),
            (("x-random-bin", rng.randbytes(64)),),
            (("traceparent", "00-zz-zz-01"), ("traceparent", "")),
        )
    )


async def _restored(split: _Server, ranks: _Server, uri: str) -> None:
    """Make good what a message may have unloaded or dethroned, and see both servers rank.

    Raises:
        AssertionError: one of them still does not rank within `TIMEOUT_SECONDS`.
    """
    service = "ranklift.v1.ModelService"
    version = {"model": CHAMPION.model, "version": CHAMPION.version}
    load = models.LoadModelVersionRequest(uri=uri, **version)
    await ranks.stub(service, "LoadModelVersion")(load.SerializeToString())
    champion = models.SetChampionRequest(actor="fuzz", **version)
    await split.stub(service, "SetChampion")(champion.SerializeToString())
    for server in (split, ranks):
        ends = time.monotonic() + TIMEOUT_SECONDS
        # A gateway asks its rankers once a second what they have loaded.
        while (fault := await _not_ranking(server)) and time.monotonic() < ends:
            await asyncio.sleep(0.05)
        if fault:
            raise AssertionError(f"the {server.name} no longer ranks: {fault}")


async def _not_ranking(server: _Server) -> str:
    """Return why `server` does not rank, "" when it does."""
    rank = server.stub("ranklift.v1.RankingService", "Rank")
    try:
        data = await rank(rank_request().SerializeToString(), timeout=TIMEOUT_SECONDS)
    except aio.AioRpcError as error:
        return f"{error.code().name} {error.details()}"
    reply = ranking.RankResponse.FromString(data)
    return "" if len(reply.results) == 2 else f"a reply of {len(reply.results)} documents"


def page(findings: Findings, seed: int) -> str:
    """Return the findings as Markdown."""
    rows = [
        f"| {name} | {counts.total():,} | {counts['OK']:,} | "
        + ", ".join(f"{code} {n:,}" for code, n in counts.most_common() if code != "OK")
        + " |"
        for name, counts in sorted(findings.statuses.items())
    ]
    return "\n".join(
        [
            "# Random messages to every call",
            "",
            f"{findings.calls:,} calls in {findings.seconds:.0f} s, seed {seed}, {AT_ONCE} at "
            f"once: {len(findings.faults)} ended as {', '.join(FORBIDDEN)}; both servers ranked "
            "afterwards.",
            "",
            "Messages are made from the descriptors (extreme numbers, NaN, unknown enum values,",
            "long lists), or are good ones with up to three changes; one in five is damaged on the",
            "wire. UNIMPLEMENTED are the methods of a service that a ranker leaves to the gateway.",
            "",
            "| server and method | calls | OK | other statuses |",
            "|---|---|---|---|",
            *rows,
            "",
            *(f"- {fault}" for fault in findings.faults[:50]),
        ]
    )


def measure(seconds: float = 300.0, seed: int = 1) -> str:
    """Fuzz for five minutes and return the page.

    Raises:
        AssertionError: a call ended as none may, or a method that is served never as OK.
    """
    with tempfile.TemporaryDirectory() as folder:
        findings = fuzz(seconds, seed, Path(folder) / "home")
    made = page(findings, seed)
    if findings.faults or findings.never_ok:
        print(made)
        raise AssertionError(f"{len(findings.faults)} faults; never OK: {findings.never_ok}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    configure_logs()
    print(measure(given.seconds, given.seed))


if __name__ == "__main__":
    main()
