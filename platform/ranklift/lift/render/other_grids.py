"""What stands beside the lifts: the dwell's distribution, other experiments, traffic."""

from __future__ import annotations

from ranklift.lift.render.grid import Grid, Row, title_of
from ranklift.lift.render.rounding import estimate_text, number_text, p_text, share_text
from ranklift.lift.values import Distribution, LiftReport


def distribution_grid(report: LiftReport) -> Grid | None:
    """Return the properties of the dwell per click, None without any."""
    if not report.distributions:
        return None
    level = share_text(report.confidence_level)
    return Grid(
        "Distribution of the dwell per click",
        ("property", "arm", report.control, "arm's value", f"difference ({level} interval)", "p"),
        2,
        tuple(map(_distribution, report.distributions)),
        "A chance of 0.5 says that nothing differs.",
    )


def _distribution(one: Distribution) -> Row:
    if one.unavailable_reason:
        return Row((one.title, one.arm), one.unavailable_reason)
    values = (number_text(value, one.interval) for value in (one.control_value, one.arm_value))
    # A chance has no sign.
    signed = one.statistic != "mann_whitney"
    difference = estimate_text(one.difference, one.interval, signed=signed)
    return Row((one.title, one.arm, *values, difference, p_text(one.p_value)))


def interaction_grid(report: LiftReport) -> Grid | None:
    """Return how the lifts depend on other experiments, None where none overlaps."""
    if not report.interactions:
        return None
    level = share_text(report.confidence_level)
    return Grid(
        "Overlapping experiments",
        (
            *("metric", "arm", "with", "of"),
            *(f"difference of differences ({level} interval)", "p", "adjusted p"),
        ),
        4,
        tuple(
            Row(
                (
                    title_of(report.metric(one.metric)),
                    one.arm,
                    one.other_arm,
                    one.other_experiment,
                    estimate_text(one.difference, one.interval),
                    p_text(one.p_value),
                    p_text(one.adjusted_p_value),
                )
            )
            for one in report.interactions
        ),
        "How much larger the arm's difference, in the metric's unit, is among those who also met "
        "the other arm.",
    )


def traffic_grid(report: LiftReport) -> Grid:
    """Return what the arms' metrics rest on."""
    units = f"{report.unit}s"
    return Grid(
        "Traffic",
        ("arm", "planned", f"assigned {units}", "exposed", "pages", "fallback pages", "clicks"),
        1,
        tuple(
            Row(
                (
                    arm.arm,
                    f"{100 * arm.planned_share:.2f} %",
                    *map(
                        _count,
                        (
                            arm.assigned_units,
                            arm.exposed_units,
                            arm.pages,
                            arm.fallback_pages,
                            arm.clicks,
                        ),
                    ),
                )
            )
            for arm in report.arms
        ),
    )


def _count(count: int | None) -> str:
    return "not counted" if count is None else f"{count:,}"
