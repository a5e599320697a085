"""How long rankers take to answer the gateway, for whoever wants to know."""

from __future__ import annotations

import time
from collections.abc import Callable

from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.traffic.fallback import Rankers
from ranklift.traffic.pools import PoolOpen
from ranklift.traffic.upstreams import NotLoaded
from ranklift.v1 import ranking_pb2 as pb

# "BREAKER_OPEN" is no gRPC status: nobody was asked.
UpstreamObserver = Callable[[ModelRef, str, float], None]  # version, how it ended, seconds


class ObservedRankers:
    """Ranks as `rankers` do, and tells the observer how each call ended."""

    def __init__(self, rankers: Rankers, observe: UpstreamObserver) -> None:
        self._rankers = rankers
        self._observe = observe

    async def rank(
        self,
        model: ModelRef,
        request: pb.RankRequest,
        timeout_seconds: float,
        experiment: str = "",
        *,
        last_resort: bool = False,
    ) -> pb.RankResponse:
        """Rank with one version; raises what `Rankers.rank` raises."""
        began = time.perf_counter()
        code = "CANCELLED"
        try:
            reply = await self._rankers.rank(
                model, request, timeout_seconds, experiment, last_resort=last_resort
            )
            code = "OK"
            return reply
        except aio.AioRpcError as error:
            code = error.code().name
            raise
        except NotLoaded:
            code = "NOT_FOUND"
            raise
        except PoolOpen:
            code = "BREAKER_OPEN"
            raise
        finally:
            self._observe(model, code, time.perf_counter() - began)
