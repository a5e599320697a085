"""Ranking calls as those see them who count, time or trace: at a ranker and at the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from grpc import aio

from ranklift.v1 import ranking_pb2
from ranklift.v1.errors import RequestError
from ranklift.v1.ranking_pb2_grpc import RankingServiceServicer

Context = aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class RankCall:
    """A call of `Rank` that ended: with a reply, or with another `code` than "OK".

    `code` is the name of a gRPC status; `seconds` passed from its arrival.
    """

    request: ranking_pb2.RankRequest
    reply: ranking_pb2.RankResponse | None
    code: str
    seconds: float


RankObserver = Callable[[RankCall], None]


class Ranking(Protocol):
    """Ranks, as `RankingService` does."""

    async def Rank(  # noqa: N802
        self, request: ranking_pb2.RankRequest, context: Context
    ) -> ranking_pb2.RankResponse: ...


class ObservedRanking(RankingServiceServicer):
    """Serves what `ranking` ranks, and tells every observer of each call as it ends."""

    def __init__(self, ranking: Ranking, observers: Sequence[RankObserver]) -> None:
        self._ranking = ranking
        self._observers = tuple(observers)

    async def Rank(  # noqa: N802
        self, request: ranking_pb2.RankRequest, context: Context
    ) -> ranking_pb2.RankResponse:
        began = time.perf_counter()
        reply, code = None, "INTERNAL"
        try:
            reply = await self._ranking.Rank(request, context)
            code = "OK"
            return reply
        except RequestError as error:
            code = error.code
            raise
        except aio.AbortError:
            code = context.code().name
            raise
        except asyncio.CancelledError:
            code = "CANCELLED" if _in_time(context) else "DEADLINE_EXCEEDED"
            raise
        finally:
            call = RankCall(request, reply, code, time.perf_counter() - began)
            for observe in self._observers:
                observe(call)


def _in_time(context: Context) -> bool:
    remaining: float | None = context.time_remaining()  # None without a deadline
    return remaining is None or remaining > 0
