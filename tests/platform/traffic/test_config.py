"""What serves follows the registry, and outlives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy.exc import OperationalError

from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import (
    Experiment,
    ModelRef,
    ModelVersion,
    RegisteredExperiment,
)
from ranklift.traffic.config import ConfigPoller
from ranklift.traffic.kept_config import KeptConfig
from ranklift.traffic.routing import ServingConfig

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
Running = Callable[..., RegisteredExperiment]


@pytest.fixture
def sqlite_registry(
    sqlite_url: str, version: Callable[[ModelRef], ModelVersion]
) -> Iterator[Registry]:
    opened = open_registry(sqlite_url)
    for ref in (CHAMPION, CHALLENGER):
        opened.models.register(version(ref))
    opened.models.set_champion(CHAMPION, actor="ann", reason="first")
    yield opened
    opened.close()


def start(registry: Registry, experiment: Experiment) -> None:
    registry.experiments.create(experiment, actor="ann")
    registry.experiments.start(experiment.name, actor="ann", reason="")


async def until(true: Callable[[], bool], *, within_seconds: float) -> float:
    """Wait until something is true and return how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_seconds
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def test_a_change_by_another_process_serves_within_two_seconds(
    sqlite_registry: Registry, running: Running
) -> None:
    async def scenario() -> None:
        poller = ConfigPoller(sqlite_registry.experiments, sqlite_registry.models)
        await poller.start()
        assert poller.current() == ServingConfig(champion=CHAMPION)
        start(sqlite_registry, running().experiment)
        await until(lambda: bool(poller.current().experiments), within_seconds=2.0)
        sqlite_registry.models.set_champion(CHALLENGER, actor="ann", reason="better")
        await until(lambda: poller.current().champion == CHALLENGER, within_seconds=2.0)
        await poller.close()

    asyncio.run(scenario())


def test_a_change_of_our_own_serves_when_refresh_returns(
    sqlite_registry: Registry, running: Running
) -> None:
    async def scenario() -> None:
        poller = ConfigPoller(
            sqlite_registry.experiments, sqlite_registry.models, interval_seconds=3_600
        )
        await poller.start()
        start(sqlite_registry, running().experiment)
        await poller.refresh()
        assert list(poller.current().experiments) == ["title-boost"]
        await poller.close()

    asyncio.run(scenario())


def test_a_change_of_a_layer_is_read(
    sqlite_registry: Registry, running: Running, tmp_path: Path
) -> None:
    async def scenario() -> None:
        sqlite_registry.experiments.create(running().experiment, actor="ann")
        kept = KeptConfig(tmp_path / "serving.json", "")
        poller = ConfigPoller(
            sqlite_registry.experiments,
            sqlite_registry.models,
            kept=kept,
            interval_seconds=3_600,
        )
        await poller.start()
        sqlite_registry.experiments.set_layer("default", 500, actor="ann", reason="")
        await poller.refresh()
        loaded = kept.load()
        assert loaded is not None
        (layer,) = loaded[0].layers
        assert (layer.name, layer.holdout_share) == ("default", 500)
        await poller.close()

    asyncio.run(scenario())


def test_experiments_and_layers_are_of_one_moment(
    sqlite_registry: Registry, running: Running, tmp_path: Path
) -> None:
    class Racing:
        """Somebody is faster, once, between the experiments and the layers."""

        def __init__(self) -> None:
            self.left = 1

        def __getattr__(self, name: str) -> object:
            if name == "layers" and self.left:
                self.left -= 1
                start(sqlite_registry, running().experiment)
            return getattr(sqlite_registry.experiments, name)

    async def scenario() -> None:
        poller = ConfigPoller(
            Racing(),  # type: ignore[arg-type]
            sqlite_registry.models,
            interval_seconds=3_600,
        )
        await poller.start()
        assert poller.current().experiments
        await poller.close()

    asyncio.run(scenario())


class Failing:
    """The repository of a database that may be away."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.away = False

    def __getattr__(self, name: str) -> object:
        if self.away:
            raise OperationalError("SELECT 1", None, Exception("connection refused"))
        return getattr(self.registry.experiments, name)


def test_a_registry_that_is_down_leaves_the_last_good_configuration(
    sqlite_registry: Registry, running: Running
) -> None:
    async def scenario() -> None:
        experiments = Failing(sqlite_registry)
        start(sqlite_registry, running().experiment)
        poller = ConfigPoller(experiments, sqlite_registry.models, interval_seconds=3_600)  # type: ignore[arg-type]
        await poller.start()
        before = poller.current()
        experiments.away = True
        with structlog.testing.capture_logs() as logged:
            await poller.refresh()
            await poller.refresh()
            assert poller.current() is before
            experiments.away = False
            await poller.refresh()
        assert [line["event"] for line in logged] == [
            "registry_unreadable",  # once, not once a second
            "registry_readable_again",
        ]
        assert poller.current().experiments
        await poller.close()

    asyncio.run(scenario())


def test_the_poller_goes_on_after_a_failure(sqlite_registry: Registry, running: Running) -> None:
    async def scenario() -> None:
        experiments = Failing(sqlite_registry)
        poller = ConfigPoller(experiments, sqlite_registry.models, interval_seconds=0.02)  # type: ignore[arg-type]
        await poller.start()
        with structlog.testing.capture_logs() as logged:
            experiments.away = True
            await until(lambda: bool(logged), within_seconds=2.0)
            experiments.away = False
            start(sqlite_registry, running().experiment)
            await until(lambda: bool(poller.current().experiments), within_seconds=2.0)
        await poller.close()

    asyncio.run(scenario())


def test_nothing_starts_without_a_registry(sqlite_registry: Registry) -> None:
    experiments = Failing(sqlite_registry)
    experiments.away = True
    poller = ConfigPoller(experiments, sqlite_registry.models)  # type: ignore[arg-type]
    with pytest.raises(OperationalError):
        asyncio.run(poller.start())
