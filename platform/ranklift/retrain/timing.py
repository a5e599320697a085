"""When a schedule fires, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from ranklift.store.values import Schedule

# Intervals are counted from here, so that every process and every restart agrees.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def trigger_of(schedule: Schedule) -> Any:
    """Return the APScheduler trigger of a schedule.

    Raises:
        ValueError: the cron line is wrong; says how.
    """
    if schedule.interval is not None:
        seconds = schedule.interval / timedelta(seconds=1)
        return IntervalTrigger(seconds=seconds, start_date=EPOCH, timezone=UTC)
    return cron_trigger(schedule.cron)


def next_run_time(schedule: Schedule, now: datetime) -> datetime | None:
    """Return when the schedule fires next after `now`; None while paused or when it never does."""
    if schedule.paused:
        return None
    fires: datetime | None = trigger_of(schedule).get_next_fire_time(None, now)
    return fires


def cron_trigger(line: str) -> Any:
    """Return the trigger of five cron fields: minute, hour, day of month, month, day of week.

    Days of the week are numbered as in crontab(5): 0 and 7 are Sunday. (APScheduler
    numbers them from Monday.)

    Raises:
        ValueError: not five fields, or one of them is wrong; says how.
    """
    fields = line.split()
    if len(fields) != 5:
        raise ValueError(
            f'"{line}" has {len(fields)} fields, must have 5: '
            'minute hour day month weekday, e.g. "0 3 * * *" for 03:00 UTC every day'
        )
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        # crontab(5) fires when either matches, APScheduler when both do.
        raise ValueError(f'"{line}" sets the day of the month and of the week; set one of them')
    try:
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=_weekdays(weekday),
            timezone=UTC,
        )
    except ValueError as error:
        raise ValueError(f'"{line}" is no cron line: {error}') from error


def _weekdays(field: str) -> str:
    """Return a crontab weekday field as names: "1-5/2" -> "mon,wed,fri"."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = 0, 6
        else:
            start = _weekday(first)
            end = _weekday(last) if dash else 6 if slash else start
        if end < start or (slash and not (step.isdecimal() and int(step) > 0)):
            raise ValueError(f'weekdays "{part}"')
        days.update(day % 7 for day in range(start, end + 1, int(step) if slash else 1))
    return ",".join(DAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    if text.lower() in DAYS:
        return DAYS.index(text.lower())
    if text.isascii() and text.isdecimal() and int(text) <= 7:
        return int(text)
    raise ValueError(f'weekday "{text}", must be 0 to 7 or sun to sat')
