"""The schedule that the options of `ranklift simulate replay` ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ranklift.events.frames import read_events
from ranklift.events.journal import FOLDER_NAME
from ranklift.simulator.arrivals import TWO_PEAKS, Bursts, Load, arrivals
from ranklift.simulator.schedule import (
    Schedule,
    in_turn,
    load_schedule,
    own_clock,
    page_times_us,
    read_pages,
    recorded_seconds,
)
from ranklift.simulator.world import World
from ranklift.v1.errors import InvalidRequest, Violation


@dataclass(frozen=True, slots=True)
class WishedSchedule:
    """The options as given; none of them: no schedule.

    Raises:
        InvalidRequest: two of them contradict each other.
    """

    rate: float | None = None
    burst: float | None = None
    day: float | None = None
    speed: float | None = None
    log: Path | None = None
    file: Path | None = None
    saved: Path | None = None
    clients: int | None = None

    def __post_init__(self) -> None:
        violations = list(self._violations())
        if violations:
            raise InvalidRequest(violations)

    def _violations(self) -> Iterator[Violation]:
        sources = {"rate": self.rate, "log": self.log, "schedule": self.file}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) > 1:
            yield Violation(given[1], f"cannot be given with {given[0]}: each says when to send")
        for name, value in (("burst", self.burst), ("day", self.day)):
            if value is not None and self.rate is None:
                yield Violation(name, "changes the rate; give --rate with it")
        if self.speed is not None and given and given[0] != "log":
            yield Violation("speed", f"cannot be given with {given[0]}; a log or users have a pace")
        scheduled = bool(given) or self.speed is not None
        if self.clients is not None and scheduled:
            yield Violation("concurrency", "clients do not wait on a schedule; see --in-flight")
        if self.saved is not None and not scheduled:
            yield Violation("save_schedule", "there is no schedule; give --rate, --speed or --log")

    def of(self, world: World, seed: int) -> Schedule | None:
        """Return the schedule of a world, None for a replay by clients.

        Raises:
            NotFound, InvalidRequest: a file does not hold what it should, or a number is out of
                range.
        """
        if self.file is not None:
            return load_schedule(self.file)
        if self.log is not None:
            seconds = recorded_seconds(_pages(self.log), 1.0 if self.speed is None else self.speed)
            return in_turn(page_times_us(world), seconds)
        if self.rate is not None:
            times = page_times_us(world)
            bursts = None if self.burst is None else Bursts(factor=self.burst)
            load = Load(self.rate, bursts=bursts)
            if self.day is not None:
                load = Load(self.rate, TWO_PEAKS, self.day, bursts)
            return in_turn(times, arrivals(load, len(times), seed))
        return None if self.speed is None else own_clock(world.population, self.speed)


def _pages(log: Path) -> pl.DataFrame:
    if (log / FOLDER_NAME).is_dir():
        return read_events(log).pages.select("page_time").collect()
    return read_pages(log)
