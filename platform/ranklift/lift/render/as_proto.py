"""The report as its protocol message."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.ratio import Unavailable
from ranklift.lift.report import LiftReport, MetricLift
from ranklift.v1 import lift_pb2


def to_proto(report: LiftReport) -> lift_pb2.LiftReport:
    """Return the message of a report; numbers that are not available stay unset."""
    return lift_pb2.LiftReport(
        schema=report.schema,
        experiment=report.experiment,
        revision=report.revision,
        control=report.control,
        unit=report.unit,
        primary_metric=report.primary_metric,
        confidence_level=report.confidence_level,
        start_time=_timestamp(report.start),
        end_time=_timestamp(report.end),
        valid=report.valid,
        checks=[
            lift_pb2.Check(
                name=check.name,
                passed=check.passed,
                p_value=check.p_value,
                detail=check.detail,
            )
            for check in report.checks
        ],
        arms=[
            lift_pb2.ArmTraffic(
                arm=arm.arm,
                assigned_units=arm.assigned_units,
                exposed_units=arm.exposed_units,
                pages=arm.pages,
                fallback_pages=arm.fallback_pages,
                clicks=arm.clicks,
                planned_share=arm.planned_share,
            )
            for arm in report.arms
        ],
        lifts=[_lift(lift) for lift in report.lifts],
    )


def _lift(lift: MetricLift) -> lift_pb2.MetricLift:
    found = lift.found
    if isinstance(found, Unavailable):
        return lift_pb2.MetricLift(
            metric=lift.metric, arm=lift.arm, unavailable_reason=found.reason
        )
    interval = found.relative_lift_interval
    return lift_pb2.MetricLift(
        metric=lift.metric,
        arm=lift.arm,
        control_value=found.control_value,
        arm_value=found.arm_value,
        relative_lift=found.relative_lift,
        relative_lift_interval=lift_pb2.Interval(lower=interval.lower, upper=interval.upper),
        p_value=found.p_value,
    )


def _timestamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message
