"""What a report says in words, beside its tables."""

from __future__ import annotations

from collections.abc import Iterator
from math import erfc, sqrt
from statistics import NormalDist

from ranklift.lift.render.rounding import p_phrase, share_text
from ranklift.lift.values import Check, Decision, LiftReport, Measured, Unavailable
from ranklift.store.analysis import Horizon

DECISIONS = {
    Decision.SHIP: "SHIP",
    Decision.ROLL_BACK: "ROLL BACK",
    Decision.KEEP_RUNNING: "KEEP RUNNING",
    Decision.NO_DIFFERENCE: "NO DIFFERENCE SHOWN",
    Decision.INVALID: "INVALID",
}
MEANINGLESS = "This report is invalid: the lifts below mean nothing until the cause is found."
# Below it, pages are as good as independent and nobody would have been misled.
_WORTH_SAYING = 1.05


def subject(report: LiftReport) -> str:
    """Return what is reported: "title-boost: lift over control"."""
    return f"{report.experiment}: lift over {report.control}"


def window(report: LiftReport) -> str:
    """Return the time that the report covers, and what was randomised."""
    if report.start is None or report.end is None:
        covered = "A log without times"
    else:
        covered = f"{report.start:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC"
    revision = f", revision {report.revision}" if report.revision else ""
    return f"{covered}, randomised by {report.unit}{revision}"


def check_text(check: Check) -> str:
    """Return what a check found, with its p-value where it has one."""
    p_value = "" if check.p_value is None else f" ({p_phrase(check.p_value)})"
    return f"{check.name}{p_value}: {check.detail}"


def how_to_read(report: LiftReport) -> str:
    """Return which interval may be acted on, and when."""
    single = (
        f"The {share_text(report.confidence_level)} intervals and p-values hold for a single look, "
        "chosen beforehand: who looks again and again is misled more often than they say."
    )
    if all(look.sequential_interval is None for look in report.looks):
        return single
    until = " until the planned end" if report.horizon is Horizon.GROUP_SEQUENTIAL else ""
    return f'The interval "at any look" holds however often it is looked at{until}. {single}'


def findings(report: LiftReport) -> Iterator[str]:
    """Yield what units and their past did to the variance of the primary metric."""
    found = [
        lift.found
        for lift in report.lifts
        if lift.metric == report.primary_metric and not isinstance(lift.found, Unavailable)
    ]
    if not found:
        return
    title = report.metric(report.primary_metric).title
    effects = [one.design_effect for one in found if one.design_effect is not None]
    if effects and max(effects) > _WORTH_SAYING:
        yield (
            f"A page-level test of {title} would have understated the variance "
            f"{_from_to(effects)} times: it would call "
            f"{share_text(round(_naive_rate(report, max(effects)), 2))} of comparisons without a "
            f"difference significant, not {share_text(report.plan.alpha)}."
        )
    saved = [1 - one.variance_ratio for one in found if one.variance_ratio < 1]
    if saved:
        yield (
            f"What {report.unit}s did before the experiment explains "
            f"{share_text(round(max(saved), 2))} of the variance of {title}. It is taken off, arm "
            "by arm, which moves the values a little away from plain averages."
        )


def _from_to(values: list[float]) -> str:
    lower, upper = f"{min(values):.1f}", f"{max(values):.1f}"
    return upper if lower == upper else f"{lower} to {upper}"


def _naive_rate(report: LiftReport, design_effect: float) -> float:
    """Return how often a test that takes pages for independent finds a difference where none is.

    Its z is sqrt(design effect) times too wide: 2 (1 - Phi(z_alpha / sqrt(design effect))).
    """
    z = NormalDist().inv_cdf(1 - report.plan.alpha / 2)
    return erfc(z / sqrt(2 * design_effect))


def definitions(report: LiftReport) -> Iterator[tuple[str, str, str]]:
    """Yield title, unit and definition of every metric, in the order of the report."""
    for metric in report.metrics:
        cap = metric.cap_quantile
        capped = "" if cap is None else f", capped at the {share_text(cap)} quantile"
        yield metric.title, metric.unit + capped, metric.definition


def provenance(report: LiftReport) -> str:
    """Return how the numbers were made, in one line."""
    adjusted = any(
        isinstance(lift.found, Measured) and lift.found.variance_ratio != 1 for lift in report.lifts
    )
    planned = (
        f" of {report.plan.planned_units:,} {report.unit}s" if report.plan.planned_units else ""
    )
    parts = (
        f"delta method over {report.unit}s",
        "adjusted for behaviour before the experiment" if adjusted else "",
        "intervals of lifts symmetric on the log scale",
        f"horizon {report.horizon.value.replace('_', ' ')}{planned}, alpha {report.plan.alpha:g}",
        f"log {report.log_digest}" if report.log_digest else "",
        f"ranklift {report.version}" if report.version else "",
        report.schema,
    )
    return "; ".join(part for part in parts if part)


def methods(report: LiftReport) -> Iterator[str]:
    """Yield what a reader who wants to check the numbers has to know, a paragraph each."""
    unit = report.unit
    yield (
        f"The {unit} was randomised, so the {unit} is the observation: variances come from the "
        f"sums per {unit} (delta method), not from pages. The lift is the relative difference to "
        "control; its interval is symmetric on the log scale. The p-value is two-sided and tests "
        "the absolute difference."
    )
    yield (
        f"A {unit} is exposed once its arm's own ranker served it a page. Pages that the champion "
        f"answered in place of an arm's ranker (fallback pages) count in no metric, and neither "
        f"do {unit}s that saw two arms."
    )
    yield (
        "The metrics' definitions are ranklift's own. Numbers are rounded to two significant "
        "digits of their interval's half-width."
    )
