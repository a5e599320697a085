"""Every call of every service with random messages: none may crash a server or end as INTERNAL.

python -m tests.benchmarks.fuzz --seconds 300 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from tests.benchmarks.fuzz_messages import mutated, on_the_wire, random_message

from ranklift.cli.composition import registry_of
from ranklift.cli.logs import configure_logs
from ranklift.cli.servers import gateway, ranker
from ranklift.cli.versions import register
from ranklift.inference import open_inference_pb2 as inference
from ranklift.rankers.base import Text
from ranklift.rankers.bm25 import build_bm25
from ranklift.settings import load_settings
from ranklift.store.values import ModelRef
from ranklift.v1 import events_pb2 as events
from ranklift.v1 import experiments_pb2 as experiments
from ranklift.v1 import lift_pb2 as lift
from ranklift.v1 import models_pb2 as models
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1 import retraining_pb2 as retraining

FORBIDDEN = ("INTERNAL", "UNKNOWN", "DATA_LOSS")
AT_ONCE = 8
TIMEOUT_SECONDS = 20.0
ON_GATEWAY = (ranking, events, experiments, lift, models, retraining)
ON_RANKER = (ranking, models, inference)
BM25 = ModelRef("bm25", "1")


@dataclass
class Findings:
    """Statuses by server and method, and the calls that ended as none may."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        return sum(each.total() for each in self.statuses.values())


def fuzz(seconds: float, seed: int, home: Path) -> Findings:
    """Call for so long; the order of the messages depends on `seed` alone."""
    return asyncio.run(_run(seconds, seed, home))


async def _run(seconds: float, seed: int, home: Path) -> Findings:
    texts = [Text(f"d{i}", f"shoe {i}", f"red shoe number {i}") for i in range(5)]
    with registry_of(load_settings(home=home)) as registry:
        build_bm25(texts, home / "models" / "bm25" / "1")
        register(registry, BM25, home / "models" / "bm25" / "1")
        registry.models.set_champion(BM25, actor="fuzz", reason="")
    at = {"address": "127.0.0.1:0", "threads": 1}
    findings = Findings()
    began = time.monotonic()
    async with ranker(load_settings(home=home, ranker=at), [str(BM25)]) as served:
        before = {"address": "127.0.0.1:0", "rankers": (served.address,)}
        async with (
            gateway(load_settings(home=home, gateway=before)) as hosted,
            aio.insecure_channel(hosted.address) as to_gateway,
            aio.insecure_channel(served.address) as to_ranker,
        ):
            calls = [("gateway", to_gateway, m) for m in _methods(ON_GATEWAY)]
            calls += [("ranker", to_ranker, m) for m in _methods(ON_RANKER)]
            async with asyncio.TaskGroup() as workers:
                for i in range(AT_ONCE):
                    rng = random.Random(seed * 1_000 + i)
                    workers.create_task(_work(calls, rng, began + seconds, findings))
            await _loaded(to_ranker, home)
            await _still_there(to_gateway, to_ranker)
    findings.seconds = time.monotonic() - began
    return findings


def _methods(files: Sequence[Any]) -> list[MethodDescriptor]:
    return [
        method
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


async def _work(
    calls: Sequence[tuple[str, aio.Channel, MethodDescriptor]],
    rng: random.Random,
    ends: float,
    findings: Findings,
) -> None:
    seeds = _seeds()
    while time.monotonic() < ends:
        server, channel, method = rng.choice(calls)
        known = seeds.get(method.full_name)
        message = (
            mutated(known, rng)
            if known is not None and rng.random() < 0.7
            else random_message(method.input_type, rng)
        )
        data = on_the_wire(message.SerializeToString(), rng)
        status, details = await _call(channel, method, data, rng)
        findings.statuses.setdefault(f"{server} {method.full_name}", Counter())[status] += 1
        if status in FORBIDDEN:
            findings.faults.append(
                f"{server} {method.full_name}: {status} {details}: {data!r:.600}"
            )


async def _call(
    channel: aio.Channel, method: MethodDescriptor, data: bytes, rng: random.Random
) -> tuple[str, str]:
    assert method.containing_service is not None
    path = f"/{method.containing_service.full_name}/{method.name}"
    reply_class = GetMessageClass(method.output_type)
    told = _metadata(rng)
    try:
        if method.client_streaming:
            stream = channel.stream_stream(path)(
                [data] * rng.choice((1, 2, 5)), timeout=TIMEOUT_SECONDS, metadata=told
            )
            async for reply in stream:
                reply_class.FromString(reply)
        else:
            reply = await channel.unary_unary(path)(data, timeout=TIMEOUT_SECONDS, metadata=told)
            reply_class.FromString(reply)
    except aio.AioRpcError as error:
        return error.code().name, error.details() or ""
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


async def _loaded(to_ranker: aio.Channel, home: Path) -> None:
    """Load BM25 again, which a message may have unloaded, and wait until the gateway knows."""
    load = to_ranker.unary_unary("/ranklift.v1.ModelService/LoadModelVersion")
    uri = str(home / "models" / "bm25" / "1")
    request = models.LoadModelVersionRequest(model="bm25", version="1", uri=uri)
    await load(request.SerializeToString(), timeout=TIMEOUT_SECONDS)
    await asyncio.sleep(2.0)  # gateways ask rankers once a second


async def _still_there(*channels: aio.Channel) -> None:
    """Raise unless both servers rank as if nothing had been."""
    for channel in channels:
        rank = channel.unary_unary("/ranklift.v1.RankingService/Rank")
        reply = ranking.RankResponse.FromString(
            await rank(_rank().SerializeToString(), timeout=TIMEOUT_SECONDS)
        )
        if len(reply.results) != 2:
            raise AssertionError(f"a server no longer ranks: {reply}")


def _rank() -> ranking.RankRequest:
    documents = [ranking.Document(id=f"d{i}", title="shoe", text="a red shoe") for i in range(2)]
    return ranking.RankRequest(
        query="red shoe",
        documents=documents,
        user_id="ann",
        request_id="i1",
        attributes={"country": "de"},
    )


def _seeds() -> Mapping[str, Message]:
    """Return a good message of the methods that go deep, by full name."""
    arms = [
        experiments.Arm(name=name, share=0.5, model=ranking.ModelSelector(name="bm25", version="1"))
        for name in ("control", "treatment")
    ]
    experiment = experiments.Experiment(
        name="name-1", arms=arms, control="control", unit=experiments.UNIT_USER,
        traffic_share=1.0, layer="default", owner="fuzz", primary_metric="user_ctr",
    )  # fmt: skip
    click = events.Click(impression_id="i1", document_id="d0")
    click.click_time.GetCurrentTime()
    named = {"name": "name-1", "actor": "fuzz", "reason": "fuzz"}
    model = {"model": "bm25", "version": "1"}
    v1 = "ranklift.v1."
    return {
        v1 + "RankingService.Rank": _rank(),
        v1 + "EventService.RecordEvents": events.RecordEventsRequest(
            events=[events.Event(event_id="e1", click=click)]
        ),
        v1 + "EventService.StreamEvents": events.StreamEventsRequest(
            events=[events.Event(event_id="e2", click=click)]
        ),
        v1 + "ExperimentService.CreateExperiment": experiments.CreateExperimentRequest(
            experiment=experiment, actor="fuzz"
        ),
        v1 + "ExperimentService.GetExperiment": experiments.GetExperimentRequest(name="name-1"),
        v1 + "ExperimentService.ListExperiments": experiments.ListExperimentsRequest(page_size=5),
        v1 + "ExperimentService.StartExperiment": experiments.StartExperimentRequest(**named),
        v1 + "ExperimentService.PauseExperiment": experiments.PauseExperimentRequest(**named),
        v1 + "ExperimentService.LookupAssignments": experiments.LookupAssignmentsRequest(
            user_id="ann"
        ),
        v1 + "LiftService.GetLiftReport": lift.GetLiftReportRequest(experiment="name-1"),
        v1 + "ModelService.GetModelVersion": models.GetModelVersionRequest(**model),
        v1 + "ModelService.ListModelVersions": models.ListModelVersionsRequest(model="bm25"),
        "inference.GRPCInferenceService.ModelReady": inference.ModelReadyRequest(
            name="bm25", version="1"
        ),
        "inference.GRPCInferenceService.ModelMetadata": inference.ModelMetadataRequest(
            name="bm25", version="1"
        ),
    }


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
            "wire. A method without an OK has no good message to begin with, or is not served.",
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
        AssertionError: a call ended as none may.
    """
    with tempfile.TemporaryDirectory() as folder:
        findings = fuzz(seconds, seed, Path(folder) / "home")
    if findings.faults:
        print(page(findings, seed))
        raise AssertionError(f"{len(findings.faults)} calls ended as none may")
    return page(findings, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    configure_logs()
    with tempfile.TemporaryDirectory() as folder:
        findings = fuzz(given.seconds, given.seed, Path(folder) / "home")
    print(page(findings, given.seed))
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
