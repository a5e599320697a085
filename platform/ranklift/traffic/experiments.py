"""The definition of an experiment: checked once, then a value that needs no more checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.plan_checks import plan_violations
from ranklift.lift.plan_messages import plan_value
from ranklift.store.values import Experiment
from ranklift.traffic.arm_checks import arm_violations
from ranklift.traffic.checks import check_name, quoted
from ranklift.traffic.experiment_values import (
    HARM_ACTIONS,
    PRIMARY_METRIC,
    UNITS,
    experiment_value,
    salt_of,
)
from ranklift.traffic.shares import bucket_violations, share_of, share_violations
from ranklift.traffic.targeting_checks import (
    condition_violations,
    forced_violations,
    prerequisite_violations,
)
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import Violation, refuse_if_any

MAX_SALT_CHARS = 128
MAX_STEPS = 100
MAX_HOLD_DAYS = 3_650

# The salts of layers. An experiment with one of them would have its arms where the layer has its
# slots or its holdout, and not all over it.
_OF_LAYERS = re.compile(r".*/(holdout|slots/\d+)", re.DOTALL)


def check_experiment(definition: pb.Experiment, *, now: datetime) -> Experiment:
    """Return the experiment that a message defines, with its defaults filled in.

    Output-only fields are ignored.

    Raises:
        InvalidRequest: with everything that is wrong at once.
    """
    refuse_if_any(violations(definition, now))
    return experiment_value(definition)


def violations(definition: pb.Experiment, now: datetime) -> Iterator[Violation]:
    """Return everything that is wrong with a definition, whatever else is registered."""
    yield from check_name("name", definition.name)
    if definition.layer:
        yield from check_name("layer", definition.layer)
    if definition.unit not in UNITS:
        yield Violation("unit", f"{definition.unit} is no unit, must be UNIT_USER or UNIT_SESSION")
    yield from arm_violations(definition.arms, definition.control)
    names = [arm.name for arm in definition.arms]
    if definition.control and definition.control not in names:
        yield Violation("control", f"{quoted(definition.control)} is no arm, must name one of them")
    yield from _traffic_violations(definition)
    if definition.layer_share:
        yield from share_violations("layer_share", definition.layer_share)
    yield from _salt_violations(definition)
    yield from condition_violations(definition)
    yield from prerequisite_violations(definition)
    yield from forced_violations(definition.forced_units, names)
    yield from plan_violations(
        plan_value(definition.analysis),
        definition.primary_metric or PRIMARY_METRIC,
        has_planned_end=definition.HasField("planned_end_time"),
    )
    if definition.HasField("planned_end_time"):
        yield from _end_violations(definition.planned_end_time, now)


def to_datetime(timestamp: Timestamp) -> datetime:
    """Return the instant of a timestamp, in UTC.

    Raises:
        ValueError: out of range.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _end_violations(planned_end: Timestamp, now: datetime) -> Iterator[Violation]:
    try:
        end = to_datetime(planned_end)
    except ValueError:
        yield Violation("planned_end_time", "is no valid instant, must be in years 1 to 9999")
        return
    if end <= now:
        yield Violation("planned_end_time", f"{end.isoformat()} is past, must be in the future")


def _traffic_violations(definition: pb.Experiment) -> Iterator[Violation]:
    found: list[Violation] = []
    if definition.traffic_share:
        found += share_violations("traffic_share", definition.traffic_share)
    if definition.HasField("ramp"):
        found += _ramp_violations(definition.ramp)
    yield from found
    if found or any(list(share_violations("", arm.share)) for arm in definition.arms):
        return
    arms = [(arm.name, share_of(arm.share)) for arm in definition.arms]
    share = share_of(definition.traffic_share)
    if share:
        yield from bucket_violations("traffic_share", share, arms)
    steps = [share_of(step.traffic_share) for step in definition.ramp.steps]
    for i, step in enumerate(steps):
        yield from bucket_violations(f"ramp.steps[{i}].traffic_share", step, arms)
    if share and steps and share != steps[0]:
        yield Violation(
            "traffic_share",
            f"{definition.traffic_share:g} is not the ramp's first step, must be left out or be "
            f"{definition.ramp.steps[0].traffic_share:g}",
        )


def _ramp_violations(ramp: pb.Ramp) -> Iterator[Violation]:
    if ramp.on_harm not in HARM_ACTIONS:
        yield Violation("ramp.on_harm", f"{ramp.on_harm} is no action")
    if not 0 < len(ramp.steps) <= MAX_STEPS:
        yield Violation("ramp.steps", f"has {len(ramp.steps)} steps, must have 1 to {MAX_STEPS}")
    before = 0.0
    for i, step in enumerate(ramp.steps[:MAX_STEPS]):
        field = f"ramp.steps[{i}]"
        yield from share_violations(f"{field}.traffic_share", step.traffic_share)
        if step.traffic_share <= before:
            yield Violation(
                f"{field}.traffic_share",
                f"{step.traffic_share:g} is not above the {before:g} of the step before, must grow",
            )
        before = step.traffic_share
        most = MAX_HOLD_DAYS * 86_400
        if not (0 <= step.hold.seconds <= most and 0 <= step.hold.nanos < 1_000_000_000):
            yield Violation(f"{field}.hold", f"must be in [0, {MAX_HOLD_DAYS} days]")
        if step.min_units < 0:
            yield Violation(f"{field}.min_units", f"{step.min_units} is negative")


def _salt_violations(definition: pb.Experiment) -> Iterator[Violation]:
    if len(definition.salt) > MAX_SALT_CHARS:
        yield Violation(
            "salt", f"has {len(definition.salt)} characters, must have at most {MAX_SALT_CHARS}"
        )
    elif _OF_LAYERS.fullmatch(salt_of(definition)):
        field = "salt" if definition.salt else "name"
        yield Violation(
            field, f"makes the salt {quoted(salt_of(definition))}, which is a layer's own"
        )
