"""Keeps what serves in step with the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from ranklift.store.values import RegisteredExperiment
from ranklift.traffic.repositories import ExperimentRepository, ModelRepository
from ranklift.traffic.routing import ServingConfig

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0


class ConfigPoller:
    """Reads the running experiments and the champion about once a second, in a thread.

    A ranking call looks at `current()` and never waits for the registry. When the
    registry is down, the last good configuration keeps serving.
    """

    def __init__(
        self,
        experiments: ExperimentRepository,
        models: ModelRepository,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._experiments = experiments
        self._models = models
        self._interval_seconds = interval_seconds
        self._current = ServingConfig()
        self._version = -1
        self._running: Sequence[RegisteredExperiment] = ()
        # One read at a time, so that an older one never replaces a newer one.
        self._reading = asyncio.Lock()
        self._failing = False
        self._polling: asyncio.Task[None] | None = None

    def current(self) -> ServingConfig:
        """Return the configuration as last read."""
        return self._current

    async def start(self) -> None:
        """Read for the first time, then keep reading until `close`.

        Whatever keeps the first read from succeeding is raised: there is nothing to
        serve without it.
        """
        self._current = await asyncio.to_thread(self._read)
        self._polling = asyncio.create_task(self._poll())

    async def refresh(self) -> None:
        """Read now. A failure is logged and leaves the configuration as it is."""
        async with self._reading:
            try:
                self._current = await asyncio.to_thread(self._read)
            except Exception:
                if not self._failing:
                    log.exception("registry_unreadable", serving="the last good configuration")
                self._failing = True
            else:
                if self._failing:
                    log.info("registry_readable_again")
                self._failing = False

    async def close(self) -> None:
        """Stop reading."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            self._polling = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.refresh()

    def _read(self) -> ServingConfig:
        # First: a change in between is then read once more, and never missed.
        version = self._experiments.version()
        if version != self._version:
            self._running = self._experiments.running()
            self._version = version
        champion = self._models.champion()
        return ServingConfig.of(self._running, champion.ref if champion else None)
