"""A registry that is down, locked or hangs: the last good configuration serves, and it is told."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.platform.traffic.postgres_gate import Gate
from tests.platform.traffic.registry_lock import locked

from ranklift.store.registry import Registry, open_registry, open_unchecked
from ranklift.store.values import ModelRef, ModelVersion
from ranklift.traffic.config import MAX_HANGING_READS, ConfigPoller
from ranklift.traffic.kept_config import KeptConfig
from ranklift.traffic.routing import ServingConfig
from ranklift.v1.errors import NotReady

CHAMPION = ModelRef("bm25", "1")
CHALLENGER = ModelRef("student", "1")
Version = Callable[[ModelRef], ModelVersion]


@pytest.fixture
def behind_gate(gate: Gate, postgres_url: str, version: Version) -> Iterator[Registry]:
    """PostgreSQL behind the gate, with a champion."""
    with_gate = re.sub(r"host=.*", f"host={gate.folder}", postgres_url)
    opened = open_registry(with_gate)
    fill(opened, version)
    yield opened
    gate.passing.set()
    opened.close()


def fill(registry: Registry, version: Version) -> None:
    for ref in (CHAMPION, CHALLENGER):
        registry.models.register(version(ref))
    registry.models.set_champion(CHAMPION, actor="ann", reason="")


class Told:
    """What a poller told of the registry, in order."""

    def __init__(self) -> None:
        self.readable: list[bool] = []

    async def __call__(self, readable: bool) -> None:
        self.readable.append(readable)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def close(poller: ConfigPoller) -> None:
    """Close it, and wait for its threads too: they use the registry of the test."""
    await poller.close()
    await until(lambda: not readers())


def readers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "registry-reader"]


def poller_of(registry: Registry, **options: Any) -> ConfigPoller:
    return ConfigPoller(
        registry.experiments,
        registry.models,
        **{"interval_seconds": 0.02, "read_seconds": 20.0, **options},
    )


def test_postgres_that_stops_leaves_the_configuration_and_comes_back(
    gate: Gate, behind_gate: Registry
) -> None:
    async def scenario() -> None:
        poller, told = poller_of(behind_gate), Told()
        await poller.start()
        await poller.follow(told)
        gate.shut_down()
        await until(lambda: not poller.status.readable)
        assert poller.current() == ServingConfig(champion=CHAMPION)
        gate.shut = False
        await until(lambda: poller.status.readable)
        await asyncio.to_thread(behind_gate.models.set_champion, CHALLENGER, actor="ann", reason="")
        await until(lambda: poller.current().champion == CHALLENGER)
        assert told.readable == [True, False, True]
        await close(poller)

    asyncio.run(scenario())


def test_reads_that_hang_are_few_and_stop_no_later_ones(gate: Gate, behind_gate: Registry) -> None:
    async def scenario() -> None:
        poller = poller_of(behind_gate, read_seconds=0.2)
        await poller.start()
        gate.passing.clear()
        await until(lambda: not poller.status.readable)
        age = poller.status.age_seconds
        await asyncio.wait_for(poller.refresh(), 5)  # nobody who asks for it hangs along
        for _ in range(20):
            await poller.refresh()
        assert len(readers()) == MAX_HANGING_READS
        assert poller.status.age_seconds > age
        assert poller.current() == ServingConfig(champion=CHAMPION)
        gate.passing.set()
        await until(lambda: poller.status.readable)
        await asyncio.to_thread(behind_gate.models.set_champion, CHALLENGER, actor="ann", reason="")
        await until(lambda: poller.current().champion == CHALLENGER)
        await close(poller)

    asyncio.run(scenario())


def test_a_locked_sqlite_file_leaves_the_configuration(
    sqlite_url: str, tmp_path: Path, version: Version
) -> None:
    async def scenario() -> None:
        registry = open_registry(sqlite_url)
        fill(registry, version)
        poller = poller_of(registry, read_seconds=0.5)
        await poller.start()
        with locked(tmp_path / "registry.db"):
            await until(lambda: not poller.status.readable)
            assert poller.current() == ServingConfig(champion=CHAMPION)
        await until(lambda: poller.status.readable)
        await close(poller)
        registry.close()

    asyncio.run(scenario())


def test_a_registry_that_is_slow_is_read_all_the_same(gate: Gate, behind_gate: Registry) -> None:
    """Every read takes longer than anybody waits for it."""

    async def scenario() -> None:
        poller = poller_of(behind_gate, read_seconds=0.0)
        await poller.start()
        await asyncio.to_thread(behind_gate.models.set_champion, CHALLENGER, actor="ann", reason="")
        await until(lambda: poller.current().champion == CHALLENGER)
        await close(poller)

    asyncio.run(scenario())


def test_what_was_kept_serves_when_the_registry_is_down_at_the_start(
    gate: Gate, behind_gate: Registry, tmp_path: Path
) -> None:
    async def scenario() -> None:
        kept = KeptConfig(tmp_path / "cache" / "serving.json", "")
        first = poller_of(behind_gate, kept=kept)
        await first.start()
        await close(first)
        gate.shut_down()
        behind_gate.close()
        down = open_unchecked(behind_gate.engine.url.render_as_string())
        told = Told()
        second = poller_of(down, kept=kept)
        with structlog.testing.capture_logs() as logged:
            await second.start()
        assert [line["event"] for line in logged] == ["registry_unreadable", "kept_config_serves"]
        await second.follow(told)
        assert second.current() == first.current() == ServingConfig(champion=CHAMPION)
        gate.shut = False
        await until(lambda: told.readable == [False, True])
        await close(second)
        down.close()

    asyncio.run(scenario())


def test_nothing_was_kept_and_nothing_starts(gate: Gate, behind_gate: Registry) -> None:
    gate.shut_down()
    behind_gate.close()
    kept = KeptConfig(gate.folder / "serving.json", "")
    with pytest.raises(Exception, match="connection"):
        asyncio.run(poller_of(behind_gate, kept=kept).start())


def test_a_schema_that_is_not_ours_is_refused_whatever_was_kept(
    sqlite_url: str, tmp_path: Path, version: Version
) -> None:
    async def scenario() -> None:
        registry = open_registry(sqlite_url)
        fill(registry, version)
        kept = KeptConfig(tmp_path / "serving.json", "")

        def refuse() -> None:
            raise NotReady.of("", "the registry is at a newer schema")

        first = poller_of(registry, kept=kept)
        await first.start()
        await close(first)
        with pytest.raises(NotReady):
            await poller_of(registry, kept=kept, check=refuse).start()
        registry.close()

    asyncio.run(scenario())
