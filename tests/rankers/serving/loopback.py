"""A ranker's servicer on a socket, with versions made by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from grpc import aio

from ranklift.rankers.base import Text
from ranklift.rankers.loaded import Loaded, LoadedVersions
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.ranking import RANKING_SERVICE, RankerServicer
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.v1 import ranking_pb2, ranking_pb2_grpc
from ranklift.v1.hosting import host

if TYPE_CHECKING:  # generated for type checkers only
    from ranklift.v1.ranking_pb2_grpc import RankingServiceAsyncStub

QUERY = "cbaba ababo"


@asynccontextmanager
async def loopback(
    *loaded: Loaded, options: ServingOptions | None = None, scheduler: Scheduler | None = None
) -> AsyncIterator[tuple[RankingServiceAsyncStub, RankerServicer]]:
    """Serve `loaded` until the end of the block, which gets a client and the servicer."""

    async def nobody(name: str, serving: bool) -> None:
        pass

    scheduler = scheduler or Scheduler(options)
    table = LoadedVersions(nobody, scheduler)
    for each in loaded:
        table.add(each)
    servicer = RankerServicer(table, scheduler, options or ServingOptions())
    hosted = await host(
        "127.0.0.1:0",
        {
            RANKING_SERVICE: lambda server: ranking_pb2_grpc.add_RankingServiceServicer_to_server(
                servicer, server
            )
        },
    )
    try:
        async with aio.insecure_channel(hosted.address) as channel:
            yield ranking_pb2_grpc.RankingServiceStub(channel), servicer
    finally:
        await hosted.stop(0)


def request_of(documents: Sequence[Text], **fields: object) -> ranking_pb2.RankRequest:
    """Return a request to rank `documents` for `QUERY`."""
    request = ranking_pb2.RankRequest(
        query=QUERY,
        documents=[ranking_pb2.Document(id=d.id, title=d.title, text=d.text) for d in documents],
    )
    for name, value in fields.items():
        setattr(request, name, value)
    return request
