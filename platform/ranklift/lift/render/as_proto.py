"""The report as its protocol message; numbers that are not available stay unset."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.plan_messages import HORIZONS, metric_message
from ranklift.lift.preference.values import ArmPreferences
from ranklift.lift.values import (
    ArmTraffic,
    Check,
    Decision,
    Distribution,
    Interaction,
    Interval,
    LiftReport,
    Look,
    Measured,
    MetricLift,
    NoveltyDay,
    Outcome,
    Role,
    SegmentLift,
    Unavailable,
    Verdict,
)
from ranklift.store.values import InterleavingMethod
from ranklift.v1 import experiments_pb2
from ranklift.v1 import lift_pb2 as pb

ROLES = {
    Role.PRIMARY: pb.METRIC_ROLE_PRIMARY,
    Role.SECONDARY: pb.METRIC_ROLE_SECONDARY,
    Role.GUARDRAIL: pb.METRIC_ROLE_GUARDRAIL,
    Role.DIAGNOSTIC: pb.METRIC_ROLE_DIAGNOSTIC,
}
OUTCOMES = {
    Outcome.PASSED: pb.GUARDRAIL_OUTCOME_PASSED,
    Outcome.BREACHED: pb.GUARDRAIL_OUTCOME_BREACHED,
    Outcome.OPEN: pb.GUARDRAIL_OUTCOME_OPEN,
}
ADVICE = {
    Decision.SHIP: pb.ADVICE_SHIP,
    Decision.ROLL_BACK: pb.ADVICE_ROLL_BACK,
    Decision.KEEP_RUNNING: pb.ADVICE_KEEP_RUNNING,
    Decision.NO_DIFFERENCE: pb.ADVICE_NO_DIFFERENCE,
    Decision.INVALID: pb.ADVICE_INVALID,
}
METHODS = {
    InterleavingMethod.TEAM_DRAFT: experiments_pb2.INTERLEAVING_METHOD_TEAM_DRAFT,
    InterleavingMethod.BALANCED: experiments_pb2.INTERLEAVING_METHOD_BALANCED,
    InterleavingMethod.PROBABILISTIC: experiments_pb2.INTERLEAVING_METHOD_PROBABILISTIC,
    InterleavingMethod.OPTIMIZED: experiments_pb2.INTERLEAVING_METHOD_OPTIMIZED,
}


def to_proto(report: LiftReport) -> pb.LiftReport:
    """Return the message of a report."""
    return pb.LiftReport(
        schema=report.schema,
        experiment=report.experiment,
        revision=report.revision,
        control=report.control,
        unit=report.unit,
        primary_metric=report.primary_metric,
        verdict=_verdict(report.verdict),
        horizon=HORIZONS[report.horizon],
        confidence_level=report.confidence_level,
        start_time=_timestamp(report.start),
        end_time=_timestamp(report.end),
        valid=report.valid,
        checks=[_check(check) for check in report.checks],
        arms=[_arm(arm) for arm in report.arms],
        metrics=[metric_message(metric) for metric in report.metrics],
        lifts=[_lift(lift) for lift in report.lifts],
        looks=[_look(look) for look in report.looks],
        segments=[_segment(segment) for segment in report.segments],
        novelty=[_novelty(day) for day in report.novelty],
        distributions=[_distribution(one) for one in report.distributions],
        interactions=[_interaction(one) for one in report.interactions],
        log_digest=report.log_digest,
        version=report.version,
    )


def preference_message(arm: ArmPreferences) -> pb.PreferenceReport:
    """Return the message of an arm's preferences."""
    return pb.PreferenceReport(
        arm=arm.arm,
        method=METHODS[InterleavingMethod(arm.method)],
        preferences=[
            pb.Preference(
                model_a=one.model_a,
                model_b=one.model_b,
                wins_a=one.wins_a,
                wins_b=one.wins_b,
                ties=one.ties,
                preference=one.preference,
                interval=_interval(one.interval),
                confidence_level=arm.confidence_level,
                p_value=one.p_value,
                overlap=one.overlap,
            )
            for one in arm.preferences
        ],
        pages=arm.pages,
        degraded_pages=arm.degraded_pages,
        units=arm.units,
    )


def _verdict(verdict: Verdict) -> pb.Verdict:
    return pb.Verdict(
        advice=ADVICE[verdict.decision],
        arm=verdict.arm,
        sentence=verdict.sentence,
        reasons=verdict.reasons,
    )


def _check(check: Check) -> pb.Check:
    return pb.Check(
        name=check.name, passed=check.passed, p_value=check.p_value, detail=check.detail
    )


def _arm(arm: ArmTraffic) -> pb.ArmTraffic:
    return pb.ArmTraffic(
        arm=arm.arm,
        assigned_units=arm.assigned_units,
        exposed_units=arm.exposed_units,
        pages=arm.pages,
        fallback_pages=arm.fallback_pages,
        clicks=arm.clicks,
        planned_share=arm.planned_share,
    )


def _lift(lift: MetricLift) -> pb.MetricLift:
    return pb.MetricLift(
        metric=lift.metric,
        arm=lift.arm,
        role=ROLES[lift.role],
        found=_measurement(lift.found),
        unavailable_reason=_reason(lift.found),
        adjusted_p_value=lift.adjusted_p_value,
        margin=lift.margin,
        outcome=OUTCOMES[lift.outcome] if lift.outcome else pb.GUARDRAIL_OUTCOME_UNSPECIFIED,
    )


def _measurement(found: Measured | Unavailable) -> pb.Measurement | None:
    if isinstance(found, Unavailable):
        return None
    return pb.Measurement(
        control_value=found.control_value,
        arm_value=found.arm_value,
        difference=found.difference,
        difference_interval=_interval(found.difference_interval),
        relative_lift=found.relative_lift,
        relative_lift_interval=_interval(found.relative_lift_interval),
        standard_error=found.standard_error,
        p_value=found.p_value,
        control_units=found.control_units,
        arm_units=found.arm_units,
        variance_ratio=found.variance_ratio,
        design_effect=found.design_effect,
    )


def _reason(found: Measured | Unavailable) -> str:
    return found.reason if isinstance(found, Unavailable) else ""


def _look(look: Look) -> pb.Look:
    return pb.Look(
        metric=look.metric,
        arm=look.arm,
        day=look.day.isoformat(),
        units=look.units,
        relative_lift=look.relative_lift,
        interval=_interval(look.interval),
        sequential_interval=_interval(look.sequential_interval),
        information=look.information,
        crossed=look.crossed,
    )


def _segment(segment: SegmentLift) -> pb.SegmentLift:
    return pb.SegmentLift(
        dimension=segment.dimension,
        value=segment.value,
        metric=segment.metric,
        arm=segment.arm,
        found=_measurement(segment.found),
        unavailable_reason=_reason(segment.found),
        adjusted_p_value=segment.adjusted_p_value,
    )


def _novelty(day: NoveltyDay) -> pb.NoveltyDay:
    return pb.NoveltyDay(
        metric=day.metric,
        arm=day.arm,
        day=day.day,
        found=_measurement(day.found),
        unavailable_reason=_reason(day.found),
    )


def _distribution(one: Distribution) -> pb.Distribution:
    return pb.Distribution(
        statistic=one.statistic,
        title=one.title,
        arm=one.arm,
        control_value=one.control_value,
        arm_value=one.arm_value,
        difference=one.difference,
        interval=_interval(one.interval),
        p_value=one.p_value,
        unavailable_reason=one.unavailable_reason,
    )


def _interaction(one: Interaction) -> pb.Interaction:
    return pb.Interaction(
        other_experiment=one.other_experiment,
        other_arm=one.other_arm,
        metric=one.metric,
        arm=one.arm,
        difference=one.difference,
        interval=_interval(one.interval),
        p_value=one.p_value,
        adjusted_p_value=one.adjusted_p_value,
    )


def _interval(interval: Interval | None) -> pb.Interval | None:
    return None if interval is None else pb.Interval(lower=interval.lower, upper=interval.upper)


def _timestamp(instant: datetime | None) -> Timestamp | None:
    if instant is None:
        return None
    message = Timestamp()
    message.FromDatetime(instant)
    return message
