"""Keeps what serves in step with the registry, and serves on when the registry is down."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from ranklift.traffic.kept_config import KeptConfig, RegistryState
from ranklift.traffic.repositories import ExperimentRepository, ModelRepository
from ranklift.traffic.routing import ServingConfig
from ranklift.v1.errors import RequestError, Unreachable

log = structlog.get_logger(__name__)

# A change is to serve within 2 s, with a read of a busy machine in between.
INTERVAL_SECONDS = 0.5
READ_SECONDS = 2.0
FIRST_READ_SECONDS = 10.0
# A read that hangs holds a thread and a connection until the database lets go of it.
MAX_HANGING_READS = 4

T = TypeVar("T")
Tell = Callable[[bool], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """Whether the registry could be read when last tried, and how long ago the configuration was
    last known to be the registry's."""

    readable: bool
    age_seconds: float


class ConfigPoller:
    """Reads the running experiments, the layers and the champion twice a second, in threads.

    A ranking call looks at `current()` and never waits for the registry. When the registry is
    down, locked or hangs, the last good configuration keeps serving; with `kept`, also over a
    restart. `check`, if given, must pass before the first read counts.
    """

    def __init__(
        self,
        experiments: ExperimentRepository,
        models: ModelRepository,
        *,
        kept: KeptConfig | None = None,
        check: Callable[[], None] = lambda: None,
        interval_seconds: float = INTERVAL_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._experiments = experiments
        self._models = models
        self._kept = kept
        self._check = check
        self._interval_seconds = interval_seconds
        self._read_seconds = read_seconds
        self._current = ServingConfig()
        # Replaced as one, since threads look at it: the registry's version, and its state then.
        self._last = (-1, RegistryState())
        self._saved: RegistryState | None = None
        self._keeps = True
        # Reads are numbered as they begin: an older one never replaces a newer one.
        self._begun = 0
        self._applied = 0
        self._reads: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._known_at = time.monotonic()
        self._tell: Tell = _tell_nobody
        self._polling: asyncio.Task[None] | None = None

    def current(self) -> ServingConfig:
        """Return the configuration as last read."""
        return self._current

    @property
    def status(self) -> ConfigStatus:
        """How fresh the configuration is."""
        return ConfigStatus(self._error is None, time.monotonic() - self._known_at)

    async def start(self) -> None:
        """Read for the first time, or take what was kept, then keep reading until `close`.

        Raises:
            Exception: whatever keeps the first read from succeeding, when nothing was kept: there
                is nothing to serve.
        """
        kept = await asyncio.to_thread(self._kept.load) if self._kept else None
        # With nothing to serve instead it may take longer.
        await self._refresh(self._read_seconds if kept else FIRST_READ_SECONDS)
        if self._error is not None:
            self._serve_kept(kept, self._error)
        self._polling = asyncio.create_task(self._poll())

    async def follow(self, tell: Tell) -> None:
        """Tell now, and each time it changes, whether the registry can be read."""
        self._tell = tell
        await tell(self._error is None)

    async def refresh(self) -> None:
        """Read now. A failure is logged and leaves the configuration as it is."""
        await self._refresh(self._read_seconds)

    async def close(self) -> None:
        """Stop reading; a read under way may end, unless it hangs."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            self._polling = None
        if self._reads:
            await asyncio.wait(self._reads, timeout=self._read_seconds)
        for reading in self._reads:
            reading.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.refresh()

    def _serve_kept(self, kept: tuple[RegistryState, datetime] | None, error: Exception) -> None:
        refused = isinstance(error, RequestError) and not isinstance(error, Unreachable)
        if kept is None or refused:
            raise error
        state, saved = kept
        self._current = state.config()
        self._known_at = time.monotonic() - (datetime.now(UTC) - saved).total_seconds()
        log.warning("kept_config_serves", saved=saved.isoformat())

    async def _refresh(self, seconds: float) -> None:
        if len(self._reads) >= MAX_HANGING_READS:
            return  # each of them has been found to hang, and one that ends makes room
        self._begun += 1
        number = self._begun
        reading = asyncio.create_task(self._read_and_apply(number))
        self._reads.add(reading)
        reading.add_done_callback(self._reads.discard)
        done, _ = await asyncio.wait({reading}, timeout=seconds)
        if not done and number > self._applied:
            await self._missed(
                Unreachable.of("", f"the registry did not answer within {seconds:g} s")
            )

    async def _read_and_apply(self, number: int) -> None:
        """Read, however long it takes; what comes late is better than nothing."""
        try:
            version, state = await _in_thread(self._read)
        except Exception as error:
            if number > self._applied:
                await self._missed(error)
            return
        if number < self._applied:
            return
        if self._applied == 0 or state != self._last[1]:
            self._current = state.config()
        self._applied, self._last = number, (version, state)
        unknown_seconds = self.status.age_seconds
        self._known_at = time.monotonic()
        if self._error is not None:
            self._error = None
            log.info("registry_readable_again", after_seconds=round(unknown_seconds, 1))
            await self._tell(True)

    async def _missed(self, error: Exception) -> None:
        before, self._error = self._error, error
        if before is None:
            log.error(
                "registry_unreadable", error=repr(error), serving="the last good configuration"
            )
            await self._tell(False)

    def _read(self) -> tuple[int, RegistryState]:
        if self._applied == 0:
            self._check()
        known, before = self._last
        running, layers = before.running, before.layers
        version = self._experiments.version()
        # Again when there was a change in between: experiments and layers are of one moment, for
        # an experiment with another salt of its layer would assign wrongly.
        while version != known:
            running, layers = self._experiments.running(), self._experiments.layers()
            known, version = version, self._experiments.version()
        champion = self._models.champion()
        state = RegistryState(running, champion.ref if champion else None, layers)
        if self._kept is not None and state != self._saved:
            self._keep(self._kept, state)
        return version, state

    def _keep(self, kept: KeptConfig, state: RegistryState) -> None:
        try:
            kept.save(state)
        except OSError as error:
            if self._keeps:
                log.warning("config_not_kept", error=repr(error))
            self._keeps = False
        else:
            self._keeps = True
            self._saved = state


async def _tell_nobody(readable: bool) -> None:
    pass


def _in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Call `function` in a thread of its own, which neither a pool's other users nor the end of
    the process wait for if it hangs."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="registry-reader", daemon=True).start()
    return asyncio.wrap_future(future)
