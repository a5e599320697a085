"""A ranker at three times the load that it can carry: what it still answers, and what it refuses.

python -m tests.benchmarks.run rank_overload
python -m tests.benchmarks.rank_overload SWEEP_SECONDS OVERLOAD_SECONDS    # printed only

Open loop: calls are sent when they are due, whatever became of those before, and latencies count
from that moment. The load comes from a second process, as bytes made beforehand.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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

METHOD = "/ranklift.v1.RankingService/Rank"
DOCUMENTS = (5, 15)
DEADLINES = (0.5, 1.0, 2.0)
SWEEP = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
OVERLOAD = 3.0
SWEEP_SECONDS, OVERLOAD_SECONDS = 10.0, 60.0
CAPACITY_SECONDS, CAPACITY_CLIENTS = 10.0, 8
SEED = 20

GOODPUT, REFUSED_WITHIN = 0.9, 0.010
COLUMNS = (
    "calls/s",
    "goodput",
    "of the best",
    "per core second",
    "calls/s in time",
    "refused",
    "expired",
    "refusal, server",
    "refusal, client",
    "cores: server",
    "others",
)


@dataclass(frozen=True)
class Call:
    """A call as the client saw it; times in seconds of the machine's clock."""

    due: float
    sent: float
    ended: float
    deadline: float
    code: grpc.StatusCode
    documents: int

    @property
    def in_time(self) -> bool:
        return self.code is grpc.StatusCode.OK and self.ended <= self.sent + self.deadline


@dataclass(frozen=True)
class Load:
    """What one load came to; the two lists are seconds from arrival to refusal."""

    factor: float
    seconds: float
    calls: Sequence[Call]
    late: int
    refused_server: Sequence[float]
    resident_mib: Sequence[float]
    server_cpu_seconds: float
    other_cpu_seconds: float  # of processes that have nothing to do with this

    @property
    def goodput(self) -> float:
        """Documents of calls answered in time, per second."""
        return sum(call.documents for call in self.calls if call.in_time) / self.seconds

    @property
    def efficiency(self) -> float:
        """Documents of calls answered in time, per second of a core that the server used."""
        return self.goodput * self.seconds / self.server_cpu_seconds

    @property
    def answered(self) -> float:
        """Calls answered in time, per second."""
        return sum(call.in_time for call in self.calls) / self.seconds

    @property
    def refused_client(self) -> list[float]:
        return [c.ended - c.sent for c in self.calls if c.code is REFUSED]

    def share(self, code: grpc.StatusCode) -> float:
        return sum(call.code is code for call in self.calls) / max(len(self.calls), 1)


REFUSED, EXPIRED = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED


def measure(
    sweep_seconds: float = SWEEP_SECONDS, overload_seconds: float = OVERLOAD_SECONDS
) -> str:
    asked = questions(200, DOCUMENTS, SEED)
    with tempfile.TemporaryDirectory() as home:
        folder = write_minilm(Path(home) / "minilm", head_seed=1)
        with served(folder) as server, prompt():
            capacity = asyncio.run(closed_loop(server.address, asked))

            def load(factor: float, seconds: float) -> Load:
                return asyncio.run(open_loop(server, asked, capacity, factor, seconds))

            # Before and after: a machine that changes meanwhile shows.
            loads = [load(factor, sweep_seconds) for factor in SWEEP]
            overload = load(OVERLOAD, overload_seconds)
            loads += [load(factor, sweep_seconds) for factor in SWEEP]
    return _page(capacity, loads, overload)


@contextmanager
def prompt() -> Iterator[None]:
    """Let this process send and read when it is due: the server may have the rest.

    Without the right to a better priority the client's latencies hold its own
    wait for a core too.
    """
    with suppress(PermissionError):
        os.nice(-5)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.nice(5)


async def closed_loop(address: str, asked: Sequence[Question]) -> float:
    """Return the calls per second of a few clients that wait for their answers."""
    messages = [question.request() for question in asked]
    done = 0
    async with aio.insecure_channel(address) as channel:
        rank: Any = channel.unary_unary(METHOD)
        until = time.perf_counter() + CAPACITY_SECONDS

        async def client(first: int) -> None:
            nonlocal done
            position = first
            while time.perf_counter() < until:
                await rank(messages[position % len(messages)])
                position += CAPACITY_CLIENTS
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(client(i) for i in range(CAPACITY_CLIENTS)))
    return done / (time.perf_counter() - began)


async def open_loop(
    server: Server, asked: Sequence[Question], capacity: float, factor: float, seconds: float
) -> Load:
    """Send `factor` times the capacity for `seconds`, at random times."""
    rng = np.random.default_rng([SEED, int(100 * factor)])
    rate = factor * capacity
    due = np.cumsum(rng.exponential(1 / rate, int(2 * rate * seconds) + 100))
    due = due[due < seconds]
    messages = [question.request() for question in asked]
    resident: list[float] = []
    server.handled()
    used, all_used = server.cpu_seconds(), machine_cpu_seconds() - time.process_time()
    async with aio.insecure_channel(server.address) as channel:
        rank: Any = channel.unary_unary(METHOD)
        began = time.perf_counter() + 0.1

        async def call(position: int, when: float) -> Call:
            question = asked[position % len(asked)]
            deadline = DEADLINES[position % len(DEADLINES)]
            sent = time.perf_counter()
            pending = rank(messages[position % len(asked)], timeout=deadline)
            code = await pending.code()
            return Call(when, sent, time.perf_counter(), deadline, code, len(question.documents))

        async def watch() -> None:
            while True:
                resident.append(server.resident_mib())
                await asyncio.sleep(0.5)

        watching = asyncio.create_task(watch())
        calls = []
        for position, offset in enumerate(due):
            await asyncio.sleep(began + offset - time.perf_counter())
            calls.append(asyncio.create_task(call(position, began + offset)))
        ended = await asyncio.gather(*calls)
        watching.cancel()
    handled = server.handled()
    used, all_used = (
        server.cpu_seconds() - used,
        machine_cpu_seconds() - time.process_time() - all_used,
    )
    return Load(
        factor,
        seconds,
        ended,
        late=sum(each.outcome == "late" for each in handled),
        refused_server=[each.ended - each.arrived for each in handled if each.outcome == "refused"],
        resident_mib=resident,
        server_cpu_seconds=used,
        other_cpu_seconds=max(all_used - used, 0.0),
    )


def _page(capacity: float, loads: Sequence[Load], overload: Load) -> str:
    best = max(load.goodput for load in loads)
    best_calls = max(load.answered for load in loads)
    order = [*loads[: len(SWEEP)], overload, *loads[len(SWEEP) :]]
    rows = "\n".join(_row(load, capacity, best) for load in order)
    efficiency = overload.efficiency / max(load.efficiency for load in loads)
    goodput, calls = overload.goodput / best, overload.answered / best_calls
    at_server = max(overload.refused_server, default=0.0)
    at_client = max(overload.refused_client, default=0.0)
    third = len(overload.resident_mib) // 3
    first = statistics.fmean(overload.resident_mib[:third])
    grown = statistics.fmean(overload.resident_mib[-third:]) - first
    every = [call for load in [*loads, overload] for call in load.calls]
    answered = [call for call in every if call.code is grpc.StatusCode.OK]
    late = sum(load.late for load in [*loads, overload])
    read_late = sum(not call.in_time for call in answered)
    others = {call.code for call in every} - {grpc.StatusCode.OK, REFUSED, EXPIRED}
    lag = [call.sent - call.due for call in overload.calls]
    deadlines = ", ".join(f"{seconds:g}" for seconds in DEADLINES)
    return f"""# Three times the load that a ranker can carry

all-MiniLM-L6-v2 with a scalar head, {DOCUMENTS[0]} to {DOCUMENTS[1]} documents a call, about 73
tokens a pair; every call has a deadline of {deadlines} s in turn. {CAPACITY_CLIENTS} clients that
wait for their answers get {capacity:.1f} calls/s: the capacity. Then calls are sent at random times
(Poisson) at a multiple of it, {loads[0].seconds:g} s for each load and {overload.seconds:g} s for
the highest, the others before and after it. Goodput: the documents of calls that were answered in
time, a second; and for each second of a core that the server used, which other work on the machine
changes less. Refusals in ms, p50 / p99 / worst: from the handler's start to the refusal at the
server, and from sending to the status at the client.

{_header("load", *COLUMNS)}
{rows}

{_header(f"at {overload.factor:g} times the capacity", "wanted", "found")}
| goodput, of the best of the sweep | >= 90 % | {_share(goodput)} |
| goodput per core second, of the best of the sweep | - | {100 * efficiency:.0f} % |
| calls in time, of the best of the sweep | >= 90 % | {_share(calls)} |
| slowest refusal, server | <= 10 ms | {_within(at_server, overload.refused_server)} |
| slowest refusal, client | <= 10 ms | {_within(at_client, overload.refused_client)} |
| calls that the server answered after their deadline, all loads | 0 | {late} |
| other statuses, all loads | none | {", ".join(sorted(x.name for x in others)) or "none"} |
| resident memory, last third less first | flat | {grown:+.1f} MiB of {first:.0f} |

The client sends {_quantiles(lag)} ms late (p50 / p99 / worst), and read {read_late} of
{len(answered)} answers after their deadline that the server had sent before it. It has a process of
its own on the same cores, at a better priority where that is permitted; what it sees of a refusal
holds two wake-ups of its own and the way through the socket."""


def _row(load: Load, capacity: float, best: float) -> str:
    cells = [
        f"{load.factor:g} x",
        f"{load.factor * capacity:.0f}",
        f"{load.goodput:.0f}",
        f"{load.goodput / best:.0%}",
        f"{load.efficiency:.0f}",
        f"{load.answered:.1f}",
        f"{load.share(REFUSED):.0%}",
        f"{load.share(EXPIRED):.1%}",
        _quantiles(load.refused_server),
        _quantiles(load.refused_client),
        f"{load.server_cpu_seconds / load.seconds:.2f}",
        f"{load.other_cpu_seconds / load.seconds:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _header(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def _quantiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    middle, high = np.quantile(seconds, [0.5, 0.99])
    return f"{1e3 * middle:.2f} / {1e3 * high:.2f} / {1e3 * max(seconds):.2f}"


def _within(worst: float, all_of_them: Sequence[float]) -> str:
    quick = sum(each <= REFUSED_WITHIN for each in all_of_them) / max(len(all_of_them), 1)
    text = f"{1e3 * worst:.2f} ms; {quick:.2%} of {len(all_of_them)} within 10 ms"
    return _verdict(text, worst <= REFUSED_WITHIN)


def _share(found: float) -> str:
    return _verdict(f"{100 * found:.0f} %", found >= GOODPUT)


def _verdict(found: str, good: bool) -> str:
    return found if good else f"**{found}: falls short**"


if __name__ == "__main__":
    print(measure(*map(float, sys.argv[1:])))
