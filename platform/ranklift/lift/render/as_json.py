"""The report as JSON, schema "ranklift.lift_report/2": keys in a fixed order, floats unrounded.

docs/lift-report.schema.json describes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any

from ranklift.lift.preference.values import ArmPreferences
from ranklift.lift.render.grid import TrueLift
from ranklift.lift.shadows import ShadowSummary
from ranklift.lift.values import (
    Distribution,
    LiftReport,
    Measured,
    MetricLift,
    NoveltyDay,
    SegmentLift,
    Unavailable,
)


def to_json(
    report: LiftReport,
    *,
    true_lift: TrueLift | None = None,
    preferences: Sequence[ArmPreferences] = (),
    shadows: Sequence[ShadowSummary] = (),
) -> str:
    """Return the report as JSON text, the same bytes for the same report.

    What is not available is null, with the reason; so is the infinite end of an interval.
    `true_lift`, by (metric, arm), is what a simulated world knows; it is set beside the estimates.
    `preferences` and `shadows` get keys of their own where there are any.
    """
    verdict = report.verdict
    content = {
        "schema": report.schema,
        "version": report.version,
        "experiment": report.experiment,
        "revision": report.revision,
        "control": report.control,
        "unit": report.unit,
        "primary_metric": report.primary_metric,
        "horizon": report.horizon,
        "confidence_level": report.confidence_level,
        "start_time": report.start,
        "end_time": report.end,
        "log_digest": report.log_digest,
        "valid": report.valid,
        "verdict": {**asdict(verdict), "arm": verdict.arm or None},
        "plan": asdict(report.plan),
        "checks": [asdict(check) for check in report.checks],
        "arms": [asdict(arm) for arm in report.arms],
        "metrics": [asdict(metric) for metric in report.metrics],
        "lifts": [_lift(lift, true_lift) for lift in report.lifts],
        "looks": [asdict(look) for look in report.looks],
        "segments": [_found(segment) for segment in report.segments],
        "novelty": [_found(day) for day in report.novelty],
        "distributions": [_distribution(one) for one in report.distributions],
        "interactions": [asdict(one) for one in report.interactions],
        **modes(preferences, shadows),
    }
    return as_text(content)


def modes(
    preferences: Sequence[ArmPreferences], shadows: Sequence[ShadowSummary]
) -> dict[str, Any]:
    """Return what stands beside the lifts of arms that interleave or have shadows."""
    found = {
        "preferences": [asdict(one) for one in preferences],
        "shadows": [asdict(one) for one in shadows],
    }
    return {name: values for name, values in found.items() if values}


def as_text(content: Mapping[str, Any]) -> str:
    """Return a document as JSON text."""
    return json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)


def _lift(lift: MetricLift, true_lift: TrueLift | None) -> dict[str, Any]:
    row = _found(lift)
    if true_lift is not None:
        row["true_lift"] = true_lift.get((lift.metric, lift.arm))
    return row


def _found(part: MetricLift | SegmentLift | NoveltyDay) -> dict[str, Any]:
    """Return a part with its numbers, or with nulls and the reason, in place of `found`."""
    found = part.found
    row = asdict(part)
    del row["found"]
    if isinstance(found, Unavailable):
        numbers = dict.fromkeys(field.name for field in fields(Measured))
        return row | numbers | {"unavailable_reason": found.reason}
    return row | asdict(found) | {"unavailable_reason": None}


def _distribution(one: Distribution) -> dict[str, Any]:
    return asdict(one) | {"unavailable_reason": one.unavailable_reason or None}


def _plain(value: object) -> object:
    """Return a value as JSON can say it: instants as text, in UTC with a Z; no infinity."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isinf(value):
        return None
    return value
