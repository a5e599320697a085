"""What goes wrong during a soak: rankers die, the registry is locked, the disk is full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.platform.traffic.registry_lock import locked

from ranklift.cli.processes import Child, wait_until_serving
from ranklift.v1.errors import Unreachable

DISK_BYTES = 768 * 1024 * 1024


@dataclass
class Faults:
    """What was done, for the page; the spans in seconds since the start."""

    kills: dict[str, int] = field(default_factory=dict)
    locked: list[tuple[float, float]] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Victim:
    """A ranker process that may be killed, and how it is started again."""

    name: str
    address: str
    start: Callable[[], Child]
    child: Child


async def kill_and_restart(
    victims: list[Victim],
    faults: Faults,
    rng: random.Random,
    *,
    pause_seconds: tuple[float, float],
    stop: asyncio.Event,
) -> None:
    """Kill one ranker after the other, each once the one before serves again."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), rng.uniform(*pause_seconds))
            return
        victim = rng.choice(victims)
        victim.child.kill()
        faults.kills[victim.name] = faults.kills.get(victim.name, 0) + 1
        await asyncio.sleep(rng.uniform(0.2, 2.0))
        while True:
            victim.child = await asyncio.to_thread(victim.start)
            try:
                await asyncio.to_thread(wait_until_serving, victim.child, victim.address)
                break
            except Unreachable:
                # It reads the registry when it starts, which may be locked.
                await asyncio.sleep(1.0)


async def lock_registry(
    registry: Path, faults: Faults, began: float, *, after: float, seconds: float
) -> None:
    """Lock the registry once, from another process, for readers and writers."""
    await asyncio.sleep(began + after - time.monotonic())
    with locked(registry):
        since = time.monotonic() - began
        await asyncio.sleep(seconds)
    faults.locked.append((since, time.monotonic() - began))


class Disk(Protocol):
    """Where events are written, and what takes its room."""

    what: str

    def fill(self) -> None: ...
    def free(self) -> None: ...


async def fill_disk(
    disk: Disk, faults: Faults, began: float, *, after: float, seconds: float
) -> None:
    """Leave no room on the disk for a while."""
    await asyncio.sleep(began + after - time.monotonic())
    disk.fill()
    since = time.monotonic() - began
    try:
        # Whoever frees an old file makes room, and it is to be full all the time.
        for _ in range(max(1, int(seconds))):
            await asyncio.sleep(min(seconds, 1.0))
            disk.fill()
    finally:
        disk.free()
    faults.full.append((since, time.monotonic() - began))


class SmallDisk:
    """A file system of its own, filled by a file."""

    what = f"a tmpfs of {DISK_BYTES >> 20} MiB, filled to the last byte by another file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fillers: list[Path] = []

    def fill(self) -> None:
        room = os.statvfs(self._folder)
        if not room.f_bavail:
            return
        filler = self._folder / f"filler-{len(self._fillers)}"
        self._fillers.append(filler)
        with filler.open("wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize)

    def free(self) -> None:
        for filler in self._fillers:
            filler.unlink()
        self._fillers.clear()


class Quota:
    """No file of one process may grow beyond 64 KiB: what a test can do without being root."""

    what = "a quota (RLIMIT_FSIZE of the gateway) that lets no file grow"
    ROOM = 65_536

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def fill(self) -> None:
        _, most = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (self.ROOM, most))

    def free(self) -> None:
        _, most = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (most, most))


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Mount a small file system at `folder`; None for whoever may not mount."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
