"""The report as one HTML page that needs nothing else: styles and drawings are inline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined

from ranklift.lift.metrics import METRICS, Metric
from ranklift.lift.ratio import Unavailable
from ranklift.lift.render.plot import Plot, interval_plot
from ranklift.lift.render.rounding import level_text, lift_text, p_phrase, p_text, value_texts
from ranklift.lift.report import LiftReport, Measured, MetricLift


@dataclass(frozen=True, slots=True)
class Row:
    """One arm's line in a metric's table, as text."""

    arm: str
    control_value: str
    arm_value: str
    lift: str
    p_value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Section:
    """A metric with its arms and, when any number is available, its plot."""

    metric: Metric
    primary: bool
    rows: tuple[Row, ...]
    plot: Plot | None


def to_html(report: LiftReport) -> str:
    """Return the report as a self-contained HTML page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("ranklift.lift.render").joinpath("report.html.j2").read_text("utf-8")
    template = environment.from_string(source)
    return template.render(
        report=report,
        sections=list(_sections(report)),
        level=level_text(report.confidence_level),
        p_phrase=p_phrase,
    )


def _sections(report: LiftReport) -> Iterator[Section]:
    for name in dict.fromkeys(lift.metric for lift in report.lifts):
        lifts = [lift for lift in report.lifts if lift.metric == name]
        measured = [(lift.arm, lift.found) for lift in lifts if isinstance(lift.found, Measured)]
        yield Section(
            metric=METRICS[name],
            primary=name == report.primary_metric,
            rows=tuple(_row(lift) for lift in lifts),
            plot=interval_plot(measured) if measured else None,
        )


def _row(lift: MetricLift) -> Row:
    found = lift.found
    if isinstance(found, Unavailable):
        return Row(lift.arm, "", "", "", "", found.reason)
    control_value, arm_value = value_texts(found)
    p_value = p_text(found.p_value)
    return Row(lift.arm, control_value, arm_value, lift_text(found), p_value, "")
