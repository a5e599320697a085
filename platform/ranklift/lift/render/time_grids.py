"""The lifts over time: by look, and by day since exposure."""

from __future__ import annotations

from collections.abc import Iterator

from ranklift.lift.render.grid import Grid, Row, lift_heading, mark_of, shown_lift, title_of
from ranklift.lift.render.rounding import interval_text, lift_text, p_text, value_texts
from ranklift.lift.values import LiftReport, Look, Unavailable


def look_grids(report: LiftReport, *, primary: bool, last: int | None = None) -> Iterator[Grid]:
    """Yield a table per arm of the looks, or of the `last` ones: at the primary metric, or at the
    others."""
    for (name, arm), looks in looks_by_arm(report).items():
        if (name == report.primary_metric) is not primary:
            continue
        shown = looks if last is None else looks[-last:]
        omitted = len(looks) - len(shown)
        yield Grid(
            f"{title_of(report.metric(name))} over time, {arm}",
            (
                *("until the end of", f"{report.unit}s", "planned information"),
                *(lift_heading(report), "at any look", "crossed zero"),
            ),
            1,
            tuple(
                Row(
                    (
                        look.day.isoformat(),
                        f"{look.units:,}",
                        "" if look.information is None else f"{100 * look.information:.0f} %",
                        lift_text(look.relative_lift, look.interval),
                        ""
                        if look.sequential_interval is None
                        else interval_text(look.sequential_interval),
                        "yes" if look.crossed else "",
                    )
                )
                for look in shown
            ),
            f"{omitted} earlier looks are not shown." if omitted else "",
        )


def looks_by_arm(report: LiftReport) -> dict[tuple[str, str], list[Look]]:
    """Return the looks of each metric and arm."""
    grouped: dict[tuple[str, str], list[Look]] = {}
    for look in report.looks:
        grouped.setdefault((look.metric, look.arm), []).append(look)
    return grouped


def novelty_grids(report: LiftReport) -> Iterator[Grid]:
    """Yield a table per metric and arm of the lift by day since a unit's first exposure."""
    for name, arm in dict.fromkeys((one.metric, one.arm) for one in report.novelty):
        yield Grid(
            f"{title_of(report.metric(name))} by day since first exposure, {arm}",
            ("day", report.control, "arm's value", lift_heading(report), "p"),
            1,
            tuple(
                Row((str(one.day),), one.found.reason)
                if isinstance(one.found, Unavailable)
                else Row(
                    (
                        str(one.day),
                        *value_texts(one.found),
                        shown_lift(one.found),
                        p_text(one.found.p_value),
                    ),
                    mark=mark_of(one.found),
                )
                for one in report.novelty
                if (one.metric, one.arm) == (name, arm)
            ),
        )
