"""The report's message has all that the report has, and what is not available is not there."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import pytest
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tests.platform.lift.reports import bare_report, broken_report, full_report, hostile_report

from ranklift.lift.plan_messages import DIRECTIONS, FORMS, HORIZONS, ZERO_RULES
from ranklift.lift.render.as_proto import ADVICE, OUTCOMES, ROLES, to_proto
from ranklift.lift.values import Decision, LiftReport, Outcome, Role, Unavailable
from ranklift.v1 import lift_pb2 as pb

# Where the protocol has another word for it.
NAMES = {"decision": "advice", "start": "start_time", "end": "end_time"}
# The experiment's plan is GetExperiment's to return, of the same revision.
NOT_SENT = {("LiftReport", "plan")}
ENUMS: dict[Any, int] = {
    **ROLES,
    **OUTCOMES,
    **ADVICE,
    **HORIZONS,
    **FORMS,
    **DIRECTIONS,
    **ZERO_RULES,
}


def assert_same(value: Any, message: Message, path: str) -> None:
    """Walk a dataclass and its message side by side."""
    assert is_dataclass(value), path
    sent = set()
    for field in fields(value):
        if (type(value).__name__, field.name) in NOT_SENT:
            continue
        name = NAMES.get(field.name, field.name)
        sent.add(name)
        assert_part(getattr(value, field.name), message, name, f"{path}.{name}")
    derived = {"valid", "unavailable_reason"}
    assert {field.name for field in message.DESCRIPTOR.fields} - derived <= sent, path


def assert_part(value: Any, message: Message, name: str, path: str) -> None:
    if isinstance(value, Unavailable):
        assert not message.HasField(name), path
        assert message.unavailable_reason == value.reason, path  # type: ignore[attr-defined]
        return
    found = getattr(message, name)
    if value is None:
        field = message.DESCRIPTOR.fields_by_name[name]
        unset = not message.HasField(name) if field.has_presence else not found
        assert unset, path
    elif isinstance(value, tuple):
        assert len(found) == len(value), path
        for i, (one, other) in enumerate(zip(value, found, strict=True)):
            if is_dataclass(one):
                assert_same(one, other, f"{path}[{i}]")
            else:
                assert one == other, path
    elif is_dataclass(value):
        assert message.HasField(name), path
        assert_same(value, found, path)
    elif isinstance(value, StrEnum):
        assert found == ENUMS[value], path
    elif isinstance(found, Timestamp):
        assert found.ToDatetime(tzinfo=UTC) == value, path
    elif isinstance(value, date):
        assert found == value.isoformat(), path
    else:
        assert found == value, path


@pytest.mark.parametrize("make", [full_report, broken_report, bare_report, hostile_report])
def test_every_field_of_the_report_is_in_its_message(make: Any) -> None:
    report: LiftReport = make()
    sent = pb.LiftReport.FromString(to_proto(report).SerializeToString())
    assert_same(report, sent, "report")
    assert sent.valid == report.valid


def test_every_field_of_the_message_is_filled_by_a_full_report() -> None:
    """What the walk above cannot see: a field of the protocol that nobody sets."""
    filled: dict[str, set[str]] = {}

    def walk(message: Message) -> None:
        for field, value in message.ListFields():
            filled.setdefault(message.DESCRIPTOR.name, set()).add(field.name)
            if field.message_type is not None:
                for one in value if field.is_repeated else [value]:
                    walk(one)

    walk(to_proto(full_report()))
    for name, found in filled.items():
        descriptor = pb.DESCRIPTOR.message_types_by_name.get(name)
        if descriptor is not None:
            assert found == {field.name for field in descriptor.fields}, name


def test_numbers_that_are_not_available_are_unset() -> None:
    sent = to_proto(broken_report())
    lift = sent.lifts[0]
    assert not lift.HasField("found")
    assert lift.unavailable_reason == "arm: <nothing> to see"
    assert not sent.checks[1].HasField("p_value")
    bare = to_proto(bare_report())
    assert not bare.HasField("start_time")
    assert not bare.HasField("end_time")
    assert not bare.lifts[0].HasField("margin")
    assert not bare.lifts[0].HasField("adjusted_p_value")


def test_a_zero_is_not_an_unset_number() -> None:
    report = bare_report()
    lift = replace(report.lifts[0], adjusted_p_value=0.0)
    arm = replace(report.arms[0], fallback_pages=0, clicks=0)
    sent = to_proto(replace(report, lifts=(lift,), arms=(arm,)))
    assert sent.lifts[0].HasField("adjusted_p_value")
    assert sent.arms[0].HasField("fallback_pages")
    assert sent.arms[0].HasField("clicks")


@pytest.mark.parametrize(
    ("values", "sent", "enum"),
    [
        (Role, ROLES, pb.MetricRole.DESCRIPTOR),
        (Outcome, OUTCOMES, pb.GuardrailOutcome.DESCRIPTOR),
        (Decision, ADVICE, pb.Advice.DESCRIPTOR),
    ],
)
def test_every_value_has_its_own_number_and_every_number_its_value(
    values: type[StrEnum], sent: dict[Any, int], enum: EnumDescriptor
) -> None:
    assert list(sent) == list(values)
    assert sorted(sent.values()) == sorted(enum.values_by_number)[1:]


def test_instants_are_exact() -> None:
    instant = datetime(2025, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    assert (
        to_proto(replace(bare_report(), start=instant)).start_time.ToDatetime(tzinfo=UTC) == instant
    )
