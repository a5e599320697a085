"""What can be wrong with an analysis plan, all of it at once."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ranklift.lift.measures import MEASURES
from ranklift.lift.metrics import METRICS
from ranklift.store.analysis import MAX_WHOLE, AnalysisPlan, Form, Horizon, Metric
from ranklift.v1.errors import Violation

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Text that a person reads in a table or on a page.
MAX_CHARS = 500
# An experiment may declare more than a refusal should list.
MAX_NAMES = 50
WITHOUT_DENOMINATOR = (Form.MEAN, Form.SHARE)


def plan_violations(
    plan: AnalysisPlan,
    primary_metric: str,
    *,
    has_planned_end: bool,
    sums: Sequence[str] = tuple(MEASURES),
) -> Iterator[Violation]:
    """Return what is wrong, by field path; a declared metric may be made of `sums`."""
    known = {*METRICS, *(metric.name for metric in plan.metrics)}
    if primary_metric not in known:
        yield _unknown("primary_metric", primary_metric, known)
    for i, metric in enumerate(plan.metrics):
        yield from _metric_violations(f"analysis.metrics[{i}]", metric, sums)
    yield from _repeated("analysis.metrics", [metric.name for metric in plan.metrics])
    guarded = [guardrail.metric for guardrail in plan.guardrails]
    for i, name in enumerate(plan.secondary_metrics):
        field = f"analysis.secondary_metrics[{i}]"
        if name not in known:
            yield _unknown(field, name, known)
        # A metric has one role; its number of tests depends on which.
        if name == primary_metric:
            yield Violation(field, "is the primary metric, must be another one")
        elif name in guarded:
            yield Violation(field, f'"{name[:64]}" is a guardrail too, must be one of the two')
    yield from _repeated("analysis.secondary_metrics", plan.secondary_metrics)
    for i, guardrail in enumerate(plan.guardrails):
        field = f"analysis.guardrails[{i}]"
        if guardrail.metric not in known:
            yield _unknown(f"{field}.metric", guardrail.metric, known)
        if guardrail.metric == primary_metric:
            yield Violation(f"{field}.metric", "is the primary metric, must be another one")
        if not 0 < guardrail.margin < 1:
            yield _outside(f"{field}.margin", guardrail.margin, "above 0 and below 1, e.g. 0.01")
    yield from _repeated("analysis.guardrails", guarded)
    yield from _number_violations(plan, has_planned_end)


def _number_violations(plan: AnalysisPlan, has_planned_end: bool) -> Iterator[Violation]:
    if not 0 < plan.alpha <= 0.5:
        yield _outside("analysis.alpha", plan.alpha, "above 0 and at most 0.5, e.g. 0.05")
    if not 0.5 <= plan.power < 1:
        yield _outside("analysis.power", plan.power, "at least 0.5 and below 1, e.g. 0.8")
    if not (math.isfinite(plan.minimal_lift) and plan.minimal_lift >= 0):
        yield _outside("analysis.minimal_lift", plan.minimal_lift, "0 or more, e.g. 0.01")
    for name in ("planned_units", "bot_pages_per_day"):
        if not 0 <= getattr(plan, name) <= MAX_WHOLE:
            yield _outside(f"analysis.{name}", getattr(plan, name), f"0 to {MAX_WHOLE:,}")
    if plan.horizon is Horizon.GROUP_SEQUENTIAL and not (plan.planned_units or has_planned_end):
        yield Violation(
            "analysis.horizon",
            "group_sequential needs an end; set planned_units or planned_end_time",
        )


def _metric_violations(field: str, metric: Metric, sums: Sequence[str]) -> Iterator[Violation]:
    if not NAME.fullmatch(metric.name):
        yield Violation(
            f"{field}.name",
            f'"{metric.name[:64]}" is no name, must be lower-case letters, digits and "_", a '
            "letter first, 64 at most",
        )
    elif metric.name in METRICS:
        yield Violation(f"{field}.name", f'"{metric.name}" is built in; choose another name')
    for part in ("title", "unit", "definition"):
        text = getattr(metric, part)
        if not text.strip() or len(text) > MAX_CHARS:
            yield Violation(f"{field}.{part}", f"must have 1 to {MAX_CHARS} characters")
    for part in ("numerator", "denominator"):
        name = getattr(metric, part)
        if name is not None and name not in sums:
            yield _unknown(f"{field}.{part}", name, sums)
    if metric.form in WITHOUT_DENOMINATOR and metric.denominator is not None:
        yield Violation(f"{field}.denominator", f'a "{metric.form}" has none, leave it out')
    if metric.form not in WITHOUT_DENOMINATOR and metric.denominator is None:
        yield Violation(f"{field}.denominator", f'is missing, a "{metric.form}" needs one')
    if metric.cap_quantile is not None and not 0 < metric.cap_quantile < 1:
        yield _outside(
            f"{field}.cap_quantile", metric.cap_quantile, "above 0 and below 1, e.g. 0.999"
        )
    if not 1 <= metric.parts_per_unit <= MAX_WHOLE:
        yield _outside(f"{field}.parts_per_unit", metric.parts_per_unit, f"1 to {MAX_WHOLE:,}")


def _repeated(field: str, names: Sequence[str]) -> Iterator[Violation]:
    for name, times in Counter(names).items():
        if times > 1:
            yield Violation(field, f'"{name[:64]}" stands there {times} times, must once')


def _unknown(field: str, name: str, known: Sequence[str] | set[str]) -> Violation:
    names = [one[:64] for one in sorted(known)[:MAX_NAMES]]
    more = ", ..." if len(known) > MAX_NAMES else ""
    return Violation(field, f'"{name[:64]}" is unknown, must be one of {", ".join(names)}{more}')


def _outside(field: str, value: float, wanted: str) -> Violation:
    return Violation(field, f"{value:g} is not allowed, must be {wanted}")
