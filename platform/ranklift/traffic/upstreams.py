"""The rankers behind the gateway: which versions each has loaded, and calls to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
import structlog
from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.v1 import models_pb2, ranking_pb2
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import NotFound
from ranklift.v1.hosting import OPTIONS
from ranklift.v1.metadata import EXPERIMENT
from ranklift.v1.models_pb2_grpc import ModelServiceStub
from ranklift.v1.ranking_pb2_grpc import RankingServiceStub

if TYPE_CHECKING:  # generated for type checkers only
    from ranklift.v1.models_pb2_grpc import ModelServiceAsyncStub
    from ranklift.v1.ranking_pb2_grpc import RankingServiceAsyncStub

log = structlog.get_logger(__name__)

DISCOVERY_SECONDS = 1.0
DISCOVERY_TIMEOUT_SECONDS = 2.0
# The defaults (1 s, growing to 120 s) would keep a ranker out long after it is back.
CHANNEL_OPTIONS = (
    *OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


Reply = TypeVar("Reply")


class NotLoaded(Exception):
    """No ranker is known to have loaded a version."""

    def __init__(self, model: ModelRef) -> None:
        super().__init__(
            f"{model} is loaded in no ranker; load it with ModelService.LoadModelVersion"
        )


@dataclass(slots=True)
class _Ranker:
    """One ranker: its channel, what it had loaded when last asked, and whether it answered."""

    address: str
    channel: aio.Channel
    ranking: RankingServiceAsyncStub
    models: ModelServiceAsyncStub
    loaded: tuple[models_pb2.LoadedModelVersion, ...] = ()
    reachable: bool = False

    def has(self, model: ModelRef) -> bool:
        return any((one.model, one.version) == (model.model, model.version) for one in self.loaded)


class Upstreams:
    """Knows which ranker has loaded what, and sends calls there in turn.

    A ranker that stops answering keeps its last known versions: it is then
    unavailable, which is not the same as the version being loaded nowhere.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        discovery_seconds: float = DISCOVERY_SECONDS,
        interceptors: Sequence[aio.ClientInterceptor] = (),
        credentials: Credentials = IN_THE_CLEAR,
    ) -> None:
        self._addresses = tuple(dict.fromkeys(addresses))
        self._discovery_seconds = discovery_seconds
        self._interceptors = tuple(interceptors)
        self._credentials = credentials
        self._rankers: dict[str, _Ranker] = {}
        self._turn = count()
        self._asking: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect, ask every ranker once what it has loaded, and keep asking until `close`."""
        for address in self._addresses:
            channel = self._credentials.aio_channel(address, CHANNEL_OPTIONS, self._interceptors)
            self._rankers[address] = _Ranker(
                address, channel, RankingServiceStub(channel), ModelServiceStub(channel)
            )
        await self.discover()
        # One task each, so that a ranker that hangs delays no news of the others.
        self._asking = [
            asyncio.create_task(self._keep_asking(ranker)) for ranker in self._rankers.values()
        ]

    async def close(self) -> None:
        """Stop asking and close the channels."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        self._asking.clear()
        await asyncio.gather(*(one.channel.close() for one in self._rankers.values()))
        self._rankers.clear()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of all rankers."""
        return self._addresses

    @property
    def placement(self) -> Mapping[ModelRef, Sequence[str]]:
        """Which addresses have loaded each version, as last known."""
        found: dict[ModelRef, list[str]] = {}
        for ranker in self._rankers.values():
            for one in ranker.loaded:
                found.setdefault(ModelRef(one.model, one.version), []).append(ranker.address)
        return found

    def loaded(self) -> list[models_pb2.LoadedModelVersion]:
        """Return what the rankers that answer have loaded, by model, version and address."""
        found = [
            models_pb2.LoadedModelVersion(
                model=one.model,
                version=one.version,
                digest=one.digest,
                numerics=one.numerics,
                address=ranker.address,
            )
            for ranker in self._rankers.values()
            if ranker.reachable
            for one in ranker.loaded
        ]
        return sorted(found, key=lambda one: (one.model, one.version, one.address))

    async def discover(self) -> None:
        """Ask every ranker now what it has loaded."""
        await asyncio.gather(*(_ask(ranker) for ranker in self._rankers.values()))

    async def rank(
        self,
        model: ModelRef,
        request: ranking_pb2.RankRequest,
        timeout_seconds: float,
        experiment: str = "",
    ) -> ranking_pb2.RankResponse:
        """Rank with one version, on the rankers that have loaded it in turn.

        They are told the `experiment` to which the call belongs.

        A ranker that is unavailable is passed over as long as another one has the
        same version; no other failure is tried again.

        Raises:
            NotLoaded: no ranker is known to have loaded the version.
            grpc.aio.AioRpcError: the last ranker's status.
        """
        forwarded = ranking_pb2.RankRequest()
        forwarded.CopyFrom(request)
        forwarded.model.name, forwarded.model.version = model.model, model.version
        candidates = self._in_turn(model)
        if not candidates:
            raise NotLoaded(model)
        ends = time.monotonic() + timeout_seconds
        for ranker in candidates[:-1]:
            try:
                return await _rank_at(ranker, forwarded, ends, experiment)
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
        return await _rank_at(candidates[-1], forwarded, ends, experiment)

    async def at(
        self, address: str, call: Callable[[ModelServiceAsyncStub], Awaitable[Reply]]
    ) -> Reply:
        """Make a call to the model service of one ranker, then ask it what it has loaded.

        Raises:
            NotFound: there is no ranker at the address.
            grpc.aio.AioRpcError: the ranker's status.
        """
        ranker = self._rankers.get(address)
        if ranker is None:
            known = ", ".join(self._addresses) or "none"
            raise NotFound.of("address", f'"{address}" is no ranker of ours; they are: {known}')
        try:
            return await call(ranker.models)
        finally:
            await _ask(ranker)

    def _in_turn(self, model: ModelRef) -> list[_Ranker]:
        """Return the rankers to try: each call begins with the next one, dead ones come last."""
        having = [ranker for ranker in self._rankers.values() if ranker.has(model)]
        if not having:
            return []
        turn = next(self._turn) % len(having)
        return sorted(having[turn:] + having[:turn], key=lambda ranker: not ranker.reachable)

    async def _keep_asking(self, ranker: _Ranker) -> None:
        while True:
            await asyncio.sleep(self._discovery_seconds)
            await _ask(ranker)


async def pass_on(context: aio.ServicerContext[Any, Any], error: aio.AioRpcError) -> NoReturn:
    """End a call with another call's status: code, message, details and trailers unchanged."""
    await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata()))


async def _rank_at(
    ranker: _Ranker, request: ranking_pb2.RankRequest, ends: float, experiment: str
) -> ranking_pb2.RankResponse:
    told = ((EXPERIMENT, experiment),) if experiment else ()
    left = max(0.0, ends - time.monotonic())
    try:
        return await ranker.ranking.Rank(request, timeout=left, metadata=told)
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            ranker.reachable = False  # the next calls try the others first
        raise


async def _ask(ranker: _Ranker) -> None:
    try:
        reply = await ranker.models.ListLoadedModelVersions(
            models_pb2.ListLoadedModelVersionsRequest(), timeout=DISCOVERY_TIMEOUT_SECONDS
        )
    except aio.AioRpcError as error:
        if ranker.reachable:
            log.warning(
                "ranker_unreachable", address=ranker.address, code=error.code().name.lower()
            )
        ranker.reachable = False
    else:
        if not ranker.reachable:
            log.info("ranker_reachable", address=ranker.address, loaded=len(reply.loaded))
        ranker.loaded = tuple(reply.loaded)
        ranker.reachable = True
