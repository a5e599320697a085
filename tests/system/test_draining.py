"""A ranker that is asked to end under load: every call it took is answered."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.system.installation import STUDENT

from ranklift.cli.processes import children, free_address, wait_until_serving
from ranklift.v1 import ranking_pb2
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

State = health_pb2.HealthCheckResponse
CLIENTS = 12
REQUEST = ranking_pb2.RankRequest(
    query="word",
    documents=[ranking_pb2.Document(id=str(i), text="word " * 60) for i in range(50)],
)


def test_sigterm_loses_no_call_that_was_accepted(home: Path) -> None:
    address = free_address()
    with children(home / "logs", {"RANKLIFT_RANKER__THREADS": "1"}) as start:
        at = ("--home", str(home), "--load", str(STUDENT), "--address", address)
        ranker = start("ranker", "serve", "ranker", *at)
        wait_until_serving(ranker, address)

        async def act() -> None:
            async with aio.insecure_channel(address) as channel:
                health: Any = health_pb2_grpc.HealthStub(channel)
                watch = health.Watch(health_pb2.HealthCheckRequest(service=str(STUDENT)))
                assert (await watch.read()).status == State.SERVING
                answered: list[int] = []
                clients = [asyncio.ensure_future(_ask(channel, answered)) for _ in range(CLIENTS)]
                while len(answered) < 3 * CLIENTS:
                    await asyncio.sleep(0.01)

                ranker.process.send_signal(signal.SIGTERM)

                assert (await watch.read()).status == State.NOT_SERVING
                before = len(answered)
                refusals = await asyncio.gather(*clients)
                # Nobody's call was cut off: the last one was refused before anything was done.
                assert {refusal.code() for refusal in refusals} == {grpc.StatusCode.UNAVAILABLE}
                assert all("shutting down" in (one.details() or "") for one in refusals)
                assert set(answered) == {len(REQUEST.documents)}
                assert len(answered) > before  # those that were under way
                assert await watch.read() is aio.EOF

        asyncio.run(asyncio.wait_for(act(), 120))
        assert ranker.process.wait(60) == 0


async def _ask(channel: aio.Channel, answered: list[int]) -> aio.AioRpcError:
    """Ask one question after the other until one is refused, and return how."""
    ranking = RankingServiceStub(channel)
    while True:
        try:
            reply = await ranking.Rank(REQUEST)
        except aio.AioRpcError as error:
            return error
        answered.append(len(reply.results))
