"""What an open loop sees that a closed one hides, and how fast the sender keeps its schedule."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event

import numpy as np
from grpc import aio

from ranklift.cli.on_time import run_on_time
from ranklift.cli.processes import free_address
from ranklift.simulator.arrivals import Load, arrivals
from ranklift.simulator.punctuality import Spread
from ranklift.simulator.replay import ReplayResult, replay, replay_on_schedule
from ranklift.simulator.schedule import in_turn, page_times_us
from ranklift.simulator.synthetic import SyntheticSize, synthesize
from ranklift.simulator.users import Population
from ranklift.simulator.world import World
from ranklift.v1 import ranking_pb2, ranking_pb2_grpc

SIZE = SyntheticSize(concepts=8, attributes=6, fillers=30, attributes_per_concept=4)
STALL_SECONDS = 1.0
RATE, SECONDS = 200.0, 10.0
CLIENTS = 4
RATES = (125, 250, 500, 750, 1_000)
ROUNDS, LATE_SECONDS = 3, 3.0
FEW_LATE = 0.01


class _Server(ranking_pb2_grpc.RankingServiceServicer):
    """Ranks nothing, at once, but for one stall in the middle."""

    def __init__(self, stall_after: float) -> None:
        self._stall_after = stall_after
        self._first = 0.0

    async def Rank(  # noqa: N802
        self,
        request: ranking_pb2.RankRequest,
        context: aio.ServicerContext[ranking_pb2.RankRequest, ranking_pb2.RankResponse],
    ) -> ranking_pb2.RankResponse:
        now = time.monotonic()
        self._first = self._first or now
        begin = self._first + self._stall_after
        if begin <= now < begin + STALL_SECONDS:
            await asyncio.sleep(begin + STALL_SECONDS - now)
        ids = [document.id for document in request.documents[: request.top_n]]
        results = [ranking_pb2.RankedDocument(index=n, id=d) for n, d in enumerate(ids)]
        return ranking_pb2.RankResponse(results=results)  # no impression: no events to record


def _serve(address: str, stall_after: float, ready: Event) -> None:
    async def run() -> None:
        server = aio.server()
        ranking_pb2_grpc.add_RankingServiceServicer_to_server(_Server(stall_after), server)
        server.add_insecure_port(address)
        await server.start()
        ready.set()
        await server.wait_for_termination()

    asyncio.run(run())


@contextmanager
def _serving(stall_after: float) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ready, address = context.Event(), free_address()
    process = context.Process(target=_serve, args=(address, stall_after, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(60):
            raise RuntimeError("the server did not start")
        yield address
    finally:
        process.terminate()
        process.join()


def _world(pages: int) -> World:
    made = synthesize(SIZE, rng=np.random.default_rng(1))
    crowd = Population(users=pages, pages_per_user=1.0)  # nobody waits for an own answer
    return World("bench", 1, made.collection, made.candidates, crowd)


def _open(address: str, rate: float, seconds: float) -> ReplayResult:
    world = _world(int(rate * seconds))
    times = page_times_us(world)
    schedule = in_turn(times, arrivals(Load(rate), len(times), seed=1))
    return run_on_time(
        replay_on_schedule(
            world,
            schedule,
            ranking_address=address,
            event_address=address,
            deadline_seconds=20.0,
            in_flight=5_000,
        )
    )


def _closed(address: str, pages: int) -> ReplayResult:
    return run_on_time(
        replay(
            _world(pages),
            ranking_address=address,
            event_address=address,
            concurrency=CLIENTS,
            deadline_seconds=20.0,
        )
    )


def measure() -> str:
    """Run both parts and return the page."""
    with _serving(stall_after=2.0) as address:
        open_ = _open(address, RATE, SECONDS)
    # As many pages, the stall amid them.
    with _serving(stall_after=0.5) as address:
        closed = _closed(address, int(RATE * SECONDS))
    assert open_.punctuality is not None
    rows = [
        _row("open loop, from when due", open_.punctuality.from_due),
        _row("open loop, from when sent", open_.punctuality.from_sent),
        _row(f"closed loop, {CLIENTS} clients", closed.latency),
    ]
    with _serving(stall_after=1e9) as address:
        rounds = [[_late(address, rate) for rate in RATES] for _ in range(ROUNDS)]
    shares = dict(zip(RATES, zip(*rounds, strict=True), strict=True))
    kept = [rate for rate in RATES if np.median(shares[rate]) < FEW_LATE]
    return "\n".join(
        [
            "# Replay: coordinated omission, and how fast pages are sent on time",
            "",
            "`python -m tests.benchmarks.run sim_replay`. A server that answers at once, and "
            "for one second not at all; pages of ten results; one page a user; client and server "
            "on the same machine, so that the second table is of both.",
            "",
            f"{int(RATE * SECONDS):,} pages, open loop {RATE:g} a second (Poisson).",
            "",
            "| latency, ms | p50 | p90 | p99 | max |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"The stall hits one page in {SECONDS / STALL_SECONDS:g} of the schedule; in the "
            f"closed loop it hits {CLIENTS} calls of {int(RATE * SECONDS):,}.",
            "",
            f"Share of sends more than 5 ms behind, {ROUNDS} runs of {LATE_SECONDS:g} s:",
            "",
            "| pages a second | late: median | least | most |",
            "|---|---|---|---|",
            *(
                f"| {rate:,} | {np.median(s):.2%} | {min(s):.2%} | {max(s):.2%} |"
                for rate, s in shares.items()
            ),
            "",
            f"Highest rate of these with less than {FEW_LATE:.0%} late: "
            f"**{max(kept, default=0):,} a second**.",
            "",
        ]
    )


def _late(address: str, rate: float) -> float:
    kept = _open(address, rate, LATE_SECONDS).punctuality
    assert kept is not None
    return kept.late_share


def _row(title: str, spread: Spread) -> str:
    values = (spread.p50, spread.p90, spread.p99, spread.max)
    return f"| {title} | {' | '.join(f'{each:,.1f}' for each in values)} |"
