"""A table of a report as text, whatever draws it: terminal, Markdown or page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ranklift.lift.render.rounding import lift_text, share_text
from ranklift.lift.values import Interval, LiftReport, Measured, Outcome, Role
from ranklift.store.analysis import Direction, Metric

# What a simulated world knows: the true relative lift, by metric and arm.
TrueLift = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a row looks like in an interval plot, in parts of control's value.

    `outer` is the interval that holds at any look, `limit` a guardrail's margin with its sign.
    """

    point: float
    interval: Interval
    outer: Interval | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table. With a `reason`, `cells` are the labels only: there are no numbers."""

    cells: tuple[str, ...]
    reason: str = ""
    mark: Mark | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the first `labels` columns are words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    labels: int
    rows: tuple[Row, ...]
    note: str = ""
    role: Role | None = None

    def full(self, row: Row) -> tuple[str, ...]:
        """Return the cells of a row, one a column; "not available" stands where numbers lack."""
        if not row.reason:
            return row.cells
        blanks = len(self.columns) - self.labels - 1
        return (*row.cells, "not available", *[""] * blanks)

    @property
    def outcome_column(self) -> int:
        """Return where the outcomes stand; arms may be called like any column."""
        return max(i for i, name in enumerate(self.columns) if name == "outcome")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why rows have no numbers, a sentence each."""
        return tuple(f"{', '.join(row.cells)}: {row.reason}" for row in self.rows if row.reason)


def title_of(metric: Metric) -> str:
    """Return a metric's title, saying so where less is better."""
    return metric.title + (" (less is better)" if metric.direction is Direction.DOWN else "")


def lift_heading(report: LiftReport) -> str:
    """Return the heading over lifts with their intervals."""
    return f"lift ({share_text(report.confidence_level)} interval)"


def shown_lift(found: Measured) -> str:
    """Return a lift with its interval."""
    return lift_text(found.relative_lift, found.relative_lift_interval)


def mark_of(found: Measured) -> Mark:
    """Return what a lift looks like in a plot."""
    return Mark(found.relative_lift, found.relative_lift_interval)
