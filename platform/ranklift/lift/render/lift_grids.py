"""The lifts: by role, and in segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ranklift.lift.render.grid import (
    Grid,
    Mark,
    Row,
    TrueLift,
    lift_heading,
    mark_of,
    shown_lift,
    title_of,
)
from ranklift.lift.render.rounding import interval_text, p_text, value_texts
from ranklift.lift.values import LiftReport, MetricLift, Role, Unavailable
from ranklift.store.analysis import Direction, Metric

_TITLES = {
    Role.PRIMARY: "Primary metric",
    Role.SECONDARY: "Secondary metrics",
    Role.GUARDRAIL: "Guardrails",
    Role.DIAGNOSTIC: "Diagnostics",
}
_ADJUSTED = {
    Role.PRIMARY: "Adjusted p: corrected for the number of arms (Holm).",
    Role.SECONDARY: "Adjusted p: corrected for the number of secondary metrics and arms (Holm).",
}
_NOTES = {
    Role.GUARDRAIL: "A guardrail passes once its loss is shown to be smaller than its margin.",
    Role.DIAGNOSTIC: "Diagnostics explain; they decide nothing and are not corrected.",
}


def lift_grids(report: LiftReport, true_lift: TrueLift | None = None) -> Iterator[Grid]:
    """Yield the lifts by role, the primary metric first; a role without a metric has no table."""
    for role in Role:
        lifts = [lift for lift in report.lifts if lift.role is role]
        if lifts:
            yield _lift_grid(report, role, lifts, true_lift)


def _lift_grid(
    report: LiftReport, role: Role, lifts: Sequence[MetricLift], true_lift: TrueLift | None
) -> Grid:
    latest = {(look.metric, look.arm): look.sequential_interval for look in report.looks}
    outer = {(lift.metric, lift.arm): latest.get((lift.metric, lift.arm)) for lift in lifts}
    any_look = any(outer.values())
    adjusted = any(lift.adjusted_p_value is not None for lift in lifts)
    columns = ["metric", "arm", report.control, "arm's value", lift_heading(report)]
    columns += ["at any look"] if any_look else []
    # A guardrail is held against its margin: a p-value against zero would only mislead.
    columns += ["must stay", "outcome"] if role is Role.GUARDRAIL else ["p"]
    columns += ["adjusted p"] if adjusted else []
    columns += ["true lift"] if true_lift is not None else []

    def row(lift: MetricLift) -> Row:
        metric, found = report.metric(lift.metric), lift.found
        # "must stay" says which way is good.
        labels = (metric.title if role is Role.GUARDRAIL else title_of(metric), lift.arm)
        if isinstance(found, Unavailable):
            return Row(labels, found.reason)
        sequential, limit = outer[lift.metric, lift.arm], _limit(lift, metric)
        cells = [*labels, *value_texts(found), shown_lift(found)]
        if any_look:
            cells.append("" if sequential is None else interval_text(sequential))
        if role is Role.GUARDRAIL:
            cells += [_must_stay(limit), "" if lift.outcome is None else lift.outcome.value]
        else:
            cells.append(p_text(found.p_value))
        if adjusted:
            cells.append(p_text(lift.adjusted_p_value))
        if true_lift is not None:
            truth = true_lift.get((lift.metric, lift.arm))
            cells.append("" if truth is None else f"{100 * truth:+.2f} %")
        mark = Mark(found.relative_lift, found.relative_lift_interval, sequential, limit)
        return Row(tuple(cells), mark=mark, outcome=lift.outcome)

    note = _ADJUSTED.get(role, "") if adjusted else _NOTES.get(role, "")
    return Grid(_TITLES[role], tuple(columns), 2, tuple(map(row, lifts)), note, role)


def segment_grids(report: LiftReport, *, primary: bool) -> Iterator[Grid]:
    """Yield a table per metric and dimension: of the primary metric, or of the others."""
    kinds = dict.fromkeys((one.metric, one.dimension) for one in report.segments)
    for name, dimension in kinds:
        if (name == report.primary_metric) is not primary:
            continue
        rows = []
        for one in report.segments:
            if (one.metric, one.dimension) != (name, dimension):
                continue
            found = one.found
            if isinstance(found, Unavailable):
                rows.append(Row((one.value, one.arm), found.reason))
                continue
            units = f"{found.control_units + found.arm_units:,}"
            numbers = (units, *value_texts(found), shown_lift(found))
            p_values = (p_text(found.p_value), p_text(one.adjusted_p_value))
            rows.append(Row((one.value, one.arm, *numbers, *p_values), mark=mark_of(found)))
        yield Grid(
            f"{title_of(report.metric(name))} by {dimension}",
            (
                *(dimension, "arm", f"{report.unit}s", report.control, "arm's value"),
                *(lift_heading(report), "p", "adjusted p"),
            ),
            2,
            tuple(rows),
            "Adjusted p: corrected over all segments and arms of the metric (Benjamini-Hochberg).",
        )


def _limit(lift: MetricLift, metric: Metric) -> float | None:
    """Return the lift that a guardrail must stay on the good side of."""
    if lift.margin is None:
        return None
    return lift.margin if metric.direction is Direction.DOWN else -lift.margin


def _must_stay(limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{'below' if limit > 0 else 'above'} {100 * limit:+.4g} %"
