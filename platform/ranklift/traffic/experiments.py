"""The definition of an experiment: checked once, then a value that needs no more checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.plan_checks import plan_violations
from ranklift.lift.plan_messages import plan_value
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Experiment,
    ModelRef,
    Unit,
)
from ranklift.traffic.checks import check_name, check_version, quoted
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import Violation, refuse_if_any

PRIMARY_METRIC = "page_ctr"
DEFAULT_LAYER = "default"
MAX_SALT_CHARS = 128

UNITS = {
    pb.UNIT_UNSPECIFIED: Unit.USER,
    pb.UNIT_USER: Unit.USER,
    pb.UNIT_SESSION: Unit.SESSION,
}


def check_experiment(definition: pb.Experiment, *, now: datetime) -> Experiment:
    """Return the experiment that a message defines, with its defaults filled in.

    Output-only fields are ignored.

    Raises:
        InvalidRequest: with everything that is wrong at once.
    """
    refuse_if_any(_violations(definition, now))
    layer = definition.layer or DEFAULT_LAYER
    return Experiment(
        name=definition.name,
        arms=tuple(
            Arm(arm.name, round(arm.share * BUCKETS), ModelRef(arm.model.name, arm.model.version))
            for arm in definition.arms
        ),
        control=definition.control or definition.arms[0].name,
        salt=definition.salt or f"{layer}/{definition.name}",
        layer=layer,
        unit=UNITS[definition.unit],
        traffic_share=round(definition.traffic_share * BUCKETS) or BUCKETS,
        primary_metric=definition.primary_metric or PRIMARY_METRIC,
        owner=definition.owner,
        hypothesis=definition.hypothesis,
        planned_end=_planned_end(definition),
        analysis=plan_value(definition.analysis),
    )


def _violations(definition: pb.Experiment, now: datetime) -> Iterator[Violation]:
    yield from check_name("name", definition.name)
    if definition.layer:
        yield from check_name("layer", definition.layer)
    if definition.unit not in UNITS:
        yield Violation("unit", f"{definition.unit} is no unit, must be UNIT_USER or UNIT_SESSION")
    yield from _arm_violations(definition.arms)
    names = [arm.name for arm in definition.arms]
    if definition.control and definition.control not in names:
        yield Violation("control", f"{quoted(definition.control)} is no arm, must name one of them")
    if definition.traffic_share:
        yield from _share_violations("traffic_share", definition.traffic_share)
    if len(definition.salt) > MAX_SALT_CHARS:
        yield Violation(
            "salt", f"has {len(definition.salt)} characters, must have at most {MAX_SALT_CHARS}"
        )
    yield from plan_violations(
        plan_value(definition.analysis),
        definition.primary_metric or PRIMARY_METRIC,
        has_planned_end=definition.HasField("planned_end_time"),
    )
    try:
        planned_end = _planned_end(definition)
    except ValueError:
        yield Violation("planned_end_time", "is no valid instant, must be in years 1 to 9999")
    else:
        if planned_end is not None and planned_end <= now:
            yield Violation(
                "planned_end_time", f"{planned_end.isoformat()} is past, must be in the future"
            )


def _arm_violations(arms: Sequence[pb.Arm]) -> Iterator[Violation]:
    if len(arms) < 2:
        yield Violation("arms", f"has {len(arms)} arms, must have 2 or more")
    first_of: dict[str, int] = {}
    shares_fit = True
    for i, arm in enumerate(arms):
        yield from check_name(f"arms[{i}].name", arm.name)
        if arm.name and first_of.setdefault(arm.name, i) != i:
            yield Violation(
                f"arms[{i}].name",
                f"{quoted(arm.name)} names arms[{first_of[arm.name]}] too, names must be unique",
            )
        of_share = list(_share_violations(f"arms[{i}].share", arm.share))
        shares_fit = shares_fit and not of_share
        yield from of_share
        # An arm is pinned: "the newest version" would change what is measured.
        yield from check_name(f"arms[{i}].model.name", arm.model.name)
        yield from check_version(f"arms[{i}].model.version", arm.model.version)
    total = sum(round(arm.share * BUCKETS) for arm in arms) if arms and shares_fit else BUCKETS
    if total != BUCKETS:
        yield Violation("arms", f"arm shares sum to {total / BUCKETS:g}, must sum to 1")


def _share_violations(field: str, share: float) -> Iterator[Violation]:
    if not 0 < share <= 1:  # nor is NaN
        yield Violation(field, f"{share:g} is no share, must be above 0 and at most 1")
    # A decimal such as 0.3333 is not a double: its product is whole up to rounding.
    elif abs(share * BUCKETS - round(share * BUCKETS)) > 1e-6 or round(share * BUCKETS) == 0:
        yield Violation(field, f"{share!r} is too fine, must be a multiple of {1 / BUCKETS}")


def _planned_end(definition: pb.Experiment) -> datetime | None:
    if not definition.HasField("planned_end_time"):
        return None
    return to_datetime(definition.planned_end_time)


def to_datetime(timestamp: Timestamp) -> datetime:
    """Return the instant of a timestamp, in UTC.

    Raises:
        ValueError: out of range.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error
