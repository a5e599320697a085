"""The report as JSON, schema "ranklift.lift_report/1": keys in a fixed order, floats unrounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime

from ranklift.lift.metrics import METRICS
from ranklift.lift.ratio import Unavailable
from ranklift.lift.report import LiftReport, Measured, MetricLift


def to_json(report: LiftReport, *, true_lift: Mapping[tuple[str, str], float] | None = None) -> str:
    """Return the report as JSON text, the same bytes for the same report.

    What is not available is null, with the reason. `true_lift`, by (metric, arm), is what a
    simulated world knows; it is set beside the estimates.
    """
    return json.dumps(
        {
            "schema": report.schema,
            "experiment": report.experiment,
            "revision": report.revision,
            "control": report.control,
            "unit": report.unit,
            "primary_metric": report.primary_metric,
            "confidence_level": report.confidence_level,
            "start_time": _instant(report.start),
            "end_time": _instant(report.end),
            "valid": report.valid,
            "checks": [asdict(check) for check in report.checks],
            "arms": [asdict(arm) for arm in report.arms],
            "lifts": [_lift(lift, true_lift) for lift in report.lifts],
        },
        indent=2,
        allow_nan=False,
        ensure_ascii=False,
    )


def _lift(lift: MetricLift, true_lift: Mapping[tuple[str, str], float] | None) -> dict[str, object]:
    metric, found = METRICS[lift.metric], lift.found
    numbers: dict[str, object] = (
        dict.fromkeys(field.name for field in fields(Measured))
        if isinstance(found, Unavailable)
        else asdict(found)
    )
    row: dict[str, object] = {
        "metric": metric.name,
        "arm": lift.arm,
        "metric_unit": metric.unit,
        "definition": metric.definition,
        **numbers,
        "unavailable_reason": found.reason if isinstance(found, Unavailable) else None,
    }
    if true_lift is not None:
        row["true_lift"] = true_lift.get((lift.metric, lift.arm))
    return row


def _instant(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
