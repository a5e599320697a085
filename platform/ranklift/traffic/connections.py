"""Connections to rankers, and what each ranker says it has loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.v1 import models_pb2
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.hosting import OPTIONS
from ranklift.v1.models_pb2_grpc import ModelServiceStub
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

if TYPE_CHECKING:  # generated for type checkers only
    from ranklift.v1.models_pb2_grpc import ModelServiceAsyncStub
    from ranklift.v1.ranking_pb2_grpc import RankingServiceAsyncStub

log = structlog.get_logger(__name__)

ASKING_TIMEOUT_SECONDS = 2.0
# The defaults (1 s, growing to 120 s) would keep a ranker out long after it is back.
CHANNEL_OPTIONS = (
    *OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)

Connect = Callable[[str], aio.Channel]


def connect(
    address: str,
    *,
    interceptors: Sequence[aio.ClientInterceptor] = (),
    credentials: Credentials = IN_THE_CLEAR,
) -> aio.Channel:
    """Return a channel to the ranker at `address`."""
    return credentials.aio_channel(address, CHANNEL_OPTIONS, interceptors)


@dataclass(slots=True, eq=False)
class Ranker:
    """One ranker: its channel, what it had loaded when last asked, and whether it answered."""

    address: str
    channel: aio.Channel
    ranking: RankingServiceAsyncStub
    models: ModelServiceAsyncStub
    loaded: tuple[models_pb2.LoadedModelVersion, ...] = ()
    reachable: bool = False

    @classmethod
    def at(cls, address: str, connect: Connect) -> Ranker:
        channel = connect(address)
        return cls(address, channel, RankingServiceStub(channel), ModelServiceStub(channel))

    @property
    def versions(self) -> tuple[ModelRef, ...]:
        return tuple(ModelRef(one.model, one.version) for one in self.loaded)

    async def ask(self, *, patience_seconds: float = 0.0) -> bool:
        """Ask what it has loaded, and return whether it is back after it was unreachable.

        With `patience_seconds` it is given as long to come back.

        A ranker that does not answer keeps its last known versions: it is then unavailable, which
        is not the same as the version being loaded nowhere.
        """
        before = self.reachable
        try:
            reply = await self.models.ListLoadedModelVersions(
                models_pb2.ListLoadedModelVersionsRequest(),
                timeout=patience_seconds or ASKING_TIMEOUT_SECONDS,
                wait_for_ready=patience_seconds > 0,
            )
        except aio.AioRpcError as error:
            if self.reachable:
                code = error.code().name.lower()
                log.warning("ranker_unreachable", address=self.address, code=code)
            self.reachable = False
            return False
        if not before:
            log.info("ranker_reachable", address=self.address, loaded=len(reply.loaded))
        self.loaded = tuple(reply.loaded)
        self.reachable = True
        return not before
