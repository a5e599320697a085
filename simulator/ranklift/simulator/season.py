"""Seasons: how many search, and how readily they click, by hour, weekday and holiday."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.results import Floats
from ranklift.simulator.checks import refuse

# Monday to Sunday.
WEEKDAY_TRAFFIC = (1.05, 1.05, 1.03, 1.02, 0.98, 0.92, 0.95)
WEEKDAY_ODDS = (1.00, 1.01, 1.02, 1.01, 1.00, 0.98, 0.98)
# By hour: peaks before noon and in the evening.
HOURLY_TRAFFIC = (
    *(0.45, 0.30, 0.22, 0.20, 0.22, 0.32, 0.55, 0.85, 1.15, 1.38, 1.48, 1.45),
    *(1.32, 1.28, 1.30, 1.30, 1.28, 1.27, 1.32, 1.42, 1.50, 1.42, 1.15, 0.77),
)
_MICROSECOND = timedelta(microseconds=1)
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Season:
    """Multipliers of traffic and of the odds of a click, in UTC; all values are assumed.

    Visits keep their order and their users; only when they begin changes. `weekday_*` go from
    Monday to Sunday, and `holidays` have multipliers in place of their weekday's.
    """

    weekday_traffic: tuple[float, ...] = WEEKDAY_TRAFFIC
    hourly_traffic: tuple[float, ...] = HOURLY_TRAFFIC
    weekday_odds: tuple[float, ...] = WEEKDAY_ODDS
    holidays: tuple[date, ...] = ()
    holiday_traffic: float = 0.6
    holiday_odds: float = 0.95

    def __post_init__(self) -> None:
        def right(values: tuple[float, ...], size: int) -> tuple[bool, str]:
            return len(values) == size and min(values) > 0, f"{size} numbers above 0"

        refuse(
            "season",
            self,
            {
                "weekday_traffic": right(self.weekday_traffic, 7),
                "hourly_traffic": right(self.hourly_traffic, 24),
                "weekday_odds": right(self.weekday_odds, 7),
                "holiday_traffic": (self.holiday_traffic > 0, "above 0"),
                "holiday_odds": (self.holiday_odds > 0, "above 0"),
            },
        )

    def log_odds(self, time_us: NDArray[np.int64]) -> Floats:
        """Return what the day adds to the log odds of a click, at times since 1970."""
        days = time_us // (24 * _HOUR_US)
        return np.log(self._by_day(days, self.weekday_odds, self.holiday_odds))

    def clock(self, start: datetime, span: timedelta) -> Clock:
        """Return how time runs from `start` on."""
        start_us = (start - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
        end_us = start_us + span // _MICROSECOND
        first = start_us // _HOUR_US
        hours = np.arange(first, -(-end_us // _HOUR_US))
        rate = np.array(self.hourly_traffic)[hours % 24] * self._by_day(
            hours // 24, self.weekday_traffic, self.holiday_traffic
        )
        real = np.concatenate([[start_us], hours[1:] * _HOUR_US, [end_us]]) - start_us
        passed = np.concatenate([[0.0], np.cumsum(np.diff(real) * rate)])
        return Clock(real.astype(np.float64), passed / passed[-1] * real[-1])

    def _by_day(
        self, days: NDArray[np.int64], weekday: tuple[float, ...], holiday: float
    ) -> NDArray[np.float64]:
        """Return the multiplier of each day, counted from 1970-01-01, a Thursday."""
        known = np.array(weekday)[(days + 3) % 7]
        free = [(day - date(1970, 1, 1)).days for day in self.holidays]
        return np.where(np.isin(days, free), holiday, known) if free else known


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """Even time, in which visits come at a constant rate, against real time.

    Both are in microseconds from the start of the world and end with its span: `even` is the
    cumulated intensity of traffic, straight between the knots.
    """

    knots_real: Floats
    knots_even: Floats

    def real(self, even: Floats) -> Floats:
        """Return the real time of an even time; what is beyond the span ends with it."""
        return np.interp(even, self.knots_even, self.knots_real)

    def even(self, real: Floats) -> Floats:
        return np.interp(real, self.knots_real, self.knots_even)
