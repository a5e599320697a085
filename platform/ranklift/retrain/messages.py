"""Schedules and runs between the protocol's messages and the registry's values."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.retrain.timing import cron_trigger, next_run_time
from ranklift.store.values import BUCKETS, Run, RunState, Schedule
from ranklift.v1 import retraining_pb2 as pb
from ranklift.v1.errors import InvalidRequest, Violation

MIN_INTERVAL = timedelta(minutes=1)
MAX_SPAN = timedelta(days=3_650)
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_NAME_RULE = 'must be 1 to 64 lower-case letters, digits, "-" and "_"'


def to_schedule(message: pb.Schedule) -> Schedule:
    """Return the schedule that a request describes, unset fields at their defaults.

    Raises:
        InvalidRequest: names every field that is wrong, under "schedule.".
    """
    default = Schedule(name="", student="", teacher="")
    wrong = [*_check_names(message), *_check_timing(message), *_check_numbers(message)]
    if wrong:
        raise InvalidRequest([Violation(f"schedule.{v.field}", v.description) for v in wrong])
    return Schedule(
        name=message.name,
        student=message.student,
        teacher=message.teacher,
        cron=" ".join(message.cron.split()),
        interval=_span(message.interval) if message.HasField("interval") else None,
        window=_span(message.window) if message.HasField("window") else default.window,
        min_clicked_pages=message.min_clicked_pages or default.min_clicked_pages,
        layer=message.layer or default.layer,
        challenger_share=round(message.challenger_share * BUCKETS) or default.challenger_share,
        paused=message.paused,
    )


def from_schedule(schedule: Schedule, now: datetime) -> pb.Schedule:
    """Return the message of a schedule as it stands `now`."""
    upcoming = next_run_time(schedule, now)
    return pb.Schedule(
        name=schedule.name,
        student=schedule.student,
        teacher=schedule.teacher,
        cron=schedule.cron,
        interval=_duration(schedule.interval),
        window=_duration(schedule.window),
        min_clicked_pages=schedule.min_clicked_pages,
        layer=schedule.layer,
        challenger_share=schedule.challenger_share / BUCKETS,
        paused=schedule.paused,
        next_run_time=_timestamp(upcoming),
    )


def from_run(run: Run) -> pb.Run:
    """Return the message of a run."""
    return pb.Run(
        run_id=run.run_id,
        schedule=run.schedule,
        state=_state(run.state),
        steps=[
            pb.RunStep(
                name=step.name,
                state=_state(step.state),
                start_time=_timestamp(step.started),
                end_time=_timestamp(step.ended),
                detail=step.detail,
            )
            for step in run.steps
        ],
        reason=run.reason,
        model_version=run.model_version,
        experiment=run.experiment,
        comparisons=[
            pb.OfflineComparison(
                metric=c.metric,
                champion_value=c.champion_value,
                challenger_value=c.challenger_value,
                difference=c.difference,
                difference_lower=c.difference_lower,
                difference_upper=c.difference_upper,
                queries=c.queries,
                source=c.source,
            )
            for c in run.comparisons
        ],
        create_time=_timestamp(run.created),
        end_time=_timestamp(run.ended),
    )


def _check_names(message: pb.Schedule) -> list[Violation]:
    given = (
        ("name", message.name),
        ("student", message.student),
        ("teacher", message.teacher),
        ("layer", message.layer or "default"),
    )
    wrong = [
        Violation(field, f'"{name[:80]}", {_NAME_RULE}' if name else f"is empty, {_NAME_RULE}")
        for field, name in given
        if not _NAME.fullmatch(name)
    ]
    if message.teacher and message.teacher == message.student:
        wrong.append(Violation("teacher", f'"{message.teacher}" is the student itself'))
    return wrong


def _check_timing(message: pb.Schedule) -> list[Violation]:
    wrong = []
    if bool(message.cron) == message.HasField("interval"):
        both = "both are set" if message.cron else "neither is set"
        wrong.append(Violation("cron", f"of cron and interval {both}; set one of them"))
    if message.cron:
        try:
            cron_trigger(message.cron)
        except ValueError as error:
            wrong.append(Violation("cron", str(error)))
    for field, least in (("interval", MIN_INTERVAL), ("window", timedelta(microseconds=1))):
        if not message.HasField(field):  # type: ignore[arg-type]
            continue
        try:
            span = _span(getattr(message, field))
        except ValueError as error:
            wrong.append(Violation(field, str(error)))
            continue
        if not least <= span <= MAX_SPAN:
            wrong.append(
                Violation(
                    field,
                    f"{span.total_seconds():g} s is not between {least.total_seconds():g} s "
                    f"and {MAX_SPAN.days} days",
                )
            )
    return wrong


def _check_numbers(message: pb.Schedule) -> list[Violation]:
    wrong = []
    if message.min_clicked_pages < 0:
        wrong.append(
            Violation("min_clicked_pages", f"{message.min_clicked_pages}, must be 0 or more")
        )
    share = message.challenger_share
    steps = share * BUCKETS
    if not (math.isfinite(share) and 0 <= share <= 0.5 and math.isclose(steps, round(steps))):
        wrong.append(
            Violation(
                "challenger_share", f"{share:g} is not in (0, 0.5] in steps of {1 / BUCKETS:g}"
            )
        )
    return wrong


def _span(duration: Duration) -> timedelta:
    """Return a duration to the microsecond.

    Raises:
        ValueError: its parts contradict each other or the bounds of a duration.
    """
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > 315_576_000_000 or abs(nanos) > 999_999_999 or seconds * nanos < 0:
        raise ValueError(f"{seconds} s and {nanos} ns are no duration")
    return timedelta(seconds=seconds, microseconds=nanos // 1_000)


def _duration(span: timedelta | None) -> Duration | None:
    if span is None:
        return None
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _timestamp(instant: datetime | None) -> Timestamp | None:
    if instant is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def _state(state: RunState) -> pb.RunState.ValueType:
    return pb.RunState.Value(f"RUN_STATE_{state.name}")
