"""When each page of a replay is to be sent, whatever happens.

A schedule holds the world's clock against the replay's: the page that a user asks for `world_us[i]`
after the world began is due `seconds[i]` after the replay began, and one between two of them in
between. Pages of users who react are not known beforehand, and each arm has others; a clock gives
all of them their place. The same schedule, saved as a file, is the same load for every arm and
ranker, and on another day: worlds that differ in their start only have the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.simulator.users import EPOCH, MICROSECOND, Population
from ranklift.simulator.waves import play
from ranklift.simulator.world import World, shown_by_query
from ranklift.v1.errors import InvalidRequest, NotFound

COLUMNS = ("world_us", "send_seconds")


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Microseconds since the world began, and when the pages of then are due, in seconds.

    Both have shape (times,) with at least two; `world_us` rises, `seconds` never falls, from 0 on.

    Raises:
        InvalidRequest: they do not; row numbers count from 1.
    """

    world_us: NDArray[np.int64]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.world_us) != len(self.seconds) or len(self.world_us) < 2:
            raise InvalidRequest.of(
                "schedule",
                f"has {len(self.world_us)} times and {len(self.seconds)} sends; "
                "it takes as many of both, at least 2",
            )
        wrong = {
            COLUMNS[0]: np.diff(self.world_us) <= 0,
            COLUMNS[1]: ~(np.diff(self.seconds) >= 0) | ~np.isfinite(self.seconds[1:]),
        }
        for column, rows in wrong.items():
            if rows.any():
                row = int(rows.argmax()) + 2
                raise InvalidRequest.of(
                    f"schedule.{column}", f"row {row} is not after the row before; sort by time"
                )
        if not self.seconds[0] >= 0:
            raise InvalidRequest.of(f"schedule.{COLUMNS[1]}", "row 1 is below 0")

    def due(self, world_us: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return when pages so many microseconds into the world are due, in seconds.

        Pages after the last time go on at the mean pace.
        """
        right = np.clip(self.world_us.searchsorted(world_us), 1, len(self.world_us) - 1)
        left = right - 1
        width = self.world_us[right] - self.world_us[left]
        part = np.clip((world_us - self.world_us[left]) / width, 0.0, 1.0)
        between = self.seconds[left] + part * (self.seconds[right] - self.seconds[left])
        after = np.maximum(world_us - self.world_us[-1], 0)
        return np.asarray(between + after / (self.world_us[-1] - self.world_us[0]) * self._length)

    @property
    def _length(self) -> float:
        return float(self.seconds[-1] - self.seconds[0])

    def check_for(self, first_us: int) -> None:
        """Raise InvalidRequest unless a world whose first page comes so late fits."""
        begins, ends = int(self.world_us[0]), int(self.world_us[-1])
        if not begins <= first_us <= ends:
            raise InvalidRequest.of(
                "schedule",
                f"goes from {begins / 1e6:,.1f} s to {ends / 1e6:,.1f} s after the world began, "
                f"whose first page comes at {first_us / 1e6:,.1f} s: it was made for another world",
            )


def own_clock(population: Population, speed: float) -> Schedule:
    """Return the schedule that plays a world `speed` times as fast as its users live.

    Raises:
        InvalidRequest: `speed` is not positive.
    """
    _check_speed(speed)
    seconds = population.span.total_seconds()
    return Schedule(np.array([0, population.span // MICROSECOND]), np.array([0.0, seconds / speed]))


def in_turn(page_times_us: NDArray[np.int64], seconds: NDArray[np.float64]) -> Schedule:
    """Return the schedule that sends the nth page, in the order of their times, at the nth of
    `seconds`, ascending; sends that are left over are not made.

    Raises:
        InvalidRequest: there are more pages than sends, or only one.
    """
    pages = len(page_times_us)
    if pages > len(seconds):
        raise InvalidRequest.of(
            "schedule",
            f"has {len(seconds):,} sends for {pages:,} pages; take fewer users or a longer log",
        )
    # Users who search in the same microsecond are sent together.
    times, first = np.unique(np.sort(page_times_us), return_index=True)
    return Schedule(times, np.asarray(seconds, dtype=np.float64)[first])


def page_times_us(world: World) -> NDArray[np.int64]:
    """Return how many microseconds into a world its pages are asked for.

    Users who react are shown the candidates as they are; another ranker makes for a few pages more
    or fewer, all of which a schedule made from these times has a place for.
    """
    start = start_us(world)
    if world.sessions is None:
        return world.pages().time_us - start
    played = play(
        world,
        shown_by_query(world, world.candidates),
        lambda pages: pages.query,
        np.arange(world.population.users),
    )
    return np.concatenate([part.pages.time_us for part in played]) - start


def start_us(world: World) -> int:
    """Return when a world begins, in microseconds since 1970."""
    return (world.population.start - EPOCH) // MICROSECOND


def recorded_seconds(pages: pl.DataFrame, speed: float = 1.0) -> NDArray[np.float64]:
    """Return when the pages of a log (`page_time`) were shown, in seconds after the first one, at
    `speed` times the pace.

    Raises:
        InvalidRequest: `speed` is not positive, or the log has no `page_time` or no page.
    """
    _check_speed(speed)
    if "page_time" not in pages.columns or not pages.schema["page_time"].is_temporal():
        raise InvalidRequest.of(
            "log.page_time", "is not a column of times; give the pages of an event log"
        )
    times = pages["page_time"].drop_nulls().dt.epoch("us").sort().to_numpy()
    if not len(times):
        raise InvalidRequest.of("log", "holds no page")
    return np.asarray((times - times[0]) / (1e6 * speed))


def read_pages(path: Path) -> pl.DataFrame:
    """Return the page times of a Parquet file, or of all those in a folder.

    Raises:
        NotFound: there is none.
        InvalidRequest: they are no Parquet with a `page_time`.
    """
    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not found or not all(file.exists() for file in found):
        raise NotFound.of("log", f'no Parquet file is at "{path}"')
    try:
        return pl.concat([pl.read_parquet(file, columns=["page_time"]) for file in found])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidRequest.of("log", f'"{path}" is no log of pages: {_first(error)}') from error


def save_schedule(schedule: Schedule, path: Path) -> None:
    """Write a schedule as Parquet: `world_us` (Int64) and `send_seconds` (Float64)."""
    columns = zip(COLUMNS, (schedule.world_us, schedule.seconds), strict=True)
    pl.DataFrame(dict(columns)).write_parquet(path)


def load_schedule(path: Path) -> Schedule:
    """Return the schedule in a file that `save_schedule` wrote.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it holds no schedule; the column and the row are named.
    """
    if not path.exists():
        raise NotFound.of("schedule", f'no file is at "{path}"')
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidRequest.of("schedule", f'"{path}" is no Parquet: {_first(error)}') from error
    for column, kind in zip(COLUMNS, (pl.Int64, pl.Float64), strict=True):
        if column not in frame.columns:
            raise InvalidRequest.of(f"schedule.{column}", f'is no column of "{path}"')
        if frame.schema[column] != kind:
            raise InvalidRequest.of(
                f"schedule.{column}", f"is of type {frame.schema[column]}, must be {kind}"
            )
        nulls = frame[column].is_null()
        if nulls.any():
            row = int(nulls.arg_max() or 0) + 1
            raise InvalidRequest.of(f"schedule.{column}", f"row {row} is empty")
    return Schedule(frame[COLUMNS[0]].to_numpy(), frame[COLUMNS[1]].to_numpy())


def _check_speed(speed: float) -> None:
    if not 0 < speed < np.inf:
        raise InvalidRequest.of("speed", f"{speed}, must be above 0")


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
