"""The rankers behind the gateway: which versions each has loaded, and calls to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.traffic.connections import Connect, Ranker, connect
from ranklift.traffic.pools import ELSEWHERE, Pool, PoolPolicy
from ranklift.v1 import models_pb2, ranking_pb2
from ranklift.v1.errors import NotFound

if TYPE_CHECKING:  # generated for type checkers only
    from ranklift.v1.models_pb2_grpc import ModelServiceAsyncStub

DISCOVERY_SECONDS = 1.0
# How long a call that nobody else can answer waits for a ranker to come back.
LOOK_SECONDS = 1.0

Reply = TypeVar("Reply")


class NotLoaded(Exception):
    """No ranker is known to have loaded a version."""

    def __init__(self, model: ModelRef) -> None:
        super().__init__(
            f"{model} is loaded in no ranker; load it with ModelService.LoadModelVersion"
        )


class Upstreams:
    """Knows which ranker has loaded what, and sends calls to the version's pool.

    `connect` makes the channel to an address.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        discovery_seconds: float = DISCOVERY_SECONDS,
        connect: Connect = connect,
        policy: PoolPolicy | None = None,
    ) -> None:
        self._addresses = tuple(dict.fromkeys(addresses))
        self._discovery_seconds = discovery_seconds
        self._connect = connect
        self._policy = policy or PoolPolicy()
        self._rankers: dict[str, Ranker] = {}
        self._pools: dict[ModelRef, Pool] = {}
        self._asking: list[asyncio.Task[None]] = []
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, ask every ranker once what it has loaded, and keep asking until `close`."""
        for address in self._addresses:
            self._rankers[address] = Ranker.at(address, self._connect)
        await self.discover()
        # One task each, so that a ranker that hangs delays no news of the others.
        self._asking = [
            asyncio.create_task(self._keep_asking(ranker)) for ranker in self._rankers.values()
        ]

    async def close(self) -> None:
        """Stop asking and close the channels."""
        tasks = [*self._asking, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._asking.clear()
        await asyncio.gather(*(one.channel.close() for one in self._rankers.values()))
        self._rankers.clear()
        self._pools.clear()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of all rankers."""
        return self._addresses

    @property
    def placement(self) -> Mapping[ModelRef, Sequence[str]]:
        """Which addresses have loaded each version, as last known."""
        found: dict[ModelRef, list[str]] = {}
        for ranker in self._rankers.values():
            for version in ranker.versions:
                found.setdefault(version, []).append(ranker.address)
        return found

    @property
    def pools(self) -> Mapping[ModelRef, Pool]:
        """The pool of each version that is loaded somewhere."""
        return self._pools

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
        await asyncio.gather(*(self._ask(ranker) for ranker in self._rankers.values()))

    async def rank(
        self,
        model: ModelRef,
        request: ranking_pb2.RankRequest,
        timeout_seconds: float,
        experiment: str = "",
        *,
        last_resort: bool = False,
    ) -> ranking_pb2.RankResponse:
        """Rank with one version, on the rankers that have loaded it in turn, as `Pool.rank`.

        They are told the `experiment` to which the call belongs. With `last_resort`, a call that
        finds no ranker waits a moment for one that comes back.

        Raises:
            NotLoaded: no ranker is known to have loaded the version.
            PoolOpen: each that has is left alone, since it keeps failing.
            grpc.aio.AioRpcError: the last ranker's status.
        """
        forwarded = ranking_pb2.RankRequest()
        forwarded.CopyFrom(request)
        forwarded.model.name, forwarded.model.version = model.model, model.version
        ends = time.monotonic() + timeout_seconds

        async def rank() -> ranking_pb2.RankResponse:
            pool = self._pools.get(model)
            if pool is None:
                raise NotLoaded(model)
            left = ends - time.monotonic()
            return await pool.rank(forwarded, left, experiment, last_resort=last_resort)

        try:
            return await rank()
        except (NotLoaded, aio.AioRpcError) as error:
            if not last_resort or not may_be_elsewhere(error):
                raise
        # What is known may be a second old, and nobody else can answer.
        await self._look_again(min(LOOK_SECONDS, ends - time.monotonic()))
        return await rank()

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
            await self._ask(ranker)

    async def _look_again(self, seconds: float) -> None:
        """Ask every ranker, as one for all calls that want to know, and wait for news of them for
        as long as `seconds`."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.wait({self._looking}, timeout=max(0.0, seconds))

    async def _look(self) -> None:
        """Return when a ranker that was away is back, or none was within `LOOK_SECONDS`."""
        asked = {
            asyncio.create_task(self._ask(ranker, patience_seconds=LOOK_SECONDS))
            for ranker in self._rankers.values()
        }
        try:
            for answered in asyncio.as_completed(asked):
                if await answered:
                    return
        finally:
            for task in asked:
                task.cancel()

    async def _keep_asking(self, ranker: Ranker) -> None:
        while True:
            await asyncio.sleep(self._discovery_seconds)
            await self._ask(ranker)

    async def _ask(self, ranker: Ranker, *, patience_seconds: float = 0.0) -> bool:
        """Ask a ranker what it has loaded, and return whether there is news."""
        before = ranker.versions
        back = await ranker.ask(patience_seconds=patience_seconds)
        if ranker.versions != before:
            self._place()
        if back:
            for pool in self._pools.values():
                pool.try_now(ranker.address)
        return back or ranker.versions != before

    def _place(self) -> None:
        """Bring the pools in step with what the rankers have loaded."""
        having: dict[ModelRef, list[Ranker]] = {}
        for ranker in self._rankers.values():
            for version in ranker.versions:
                having.setdefault(version, []).append(ranker)
        self._pools = {
            model: self._pools.get(model) or Pool(model, self._policy) for model in having
        }
        for model, rankers in having.items():
            self._pools[model].place(rankers)


def may_be_elsewhere(error: NotLoaded | aio.AioRpcError) -> bool:
    """Return whether the call failed because it found no ranker that is up and has the version."""
    return isinstance(error, NotLoaded) or error.code() in ELSEWHERE


async def pass_on(context: aio.ServicerContext[Any, Any], error: aio.AioRpcError) -> NoReturn:
    """End a call with another call's status: code, message, details and trailers unchanged."""
    await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata()))
