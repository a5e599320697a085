"""The report as HTML that needs nothing else: styles and drawings are inline, nothing runs.

`to_html` is a page, in the reader's light or dark colours; `html_fragment` of `notebook` is its
body, in the colours of whatever it is put into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ranklift.lift.render import plot, sentences
from ranklift.lift.render.grid import Grid, Mark, title_of
from ranklift.lift.render.lift_grids import lift_grids, segment_grids
from ranklift.lift.render.other_grids import distribution_grid, interaction_grid, traffic_grid
from ranklift.lift.render.plot import Moment, Strips, Timeline, over_time, strips
from ranklift.lift.render.printable import printable
from ranklift.lift.render.rounding import share_text
from ranklift.lift.render.time_grids import look_grids, looks_by_arm, novelty_grids
from ranklift.lift.values import LiftReport, Look, Measured, NoveltyDay, Role


@dataclass(frozen=True, slots=True)
class Section:
    """A table with the plot beside its rows, None where no row has numbers."""

    grid: Grid
    strips: Strips | None


@dataclass(frozen=True, slots=True)
class Course:
    """A metric in one arm over time, with a caption."""

    title: str
    caption: str
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class Courses:
    """Plots over time, with their numbers as tables."""

    plots: list[Course]
    tables: list[Section]


def to_html(report: LiftReport, *, beside: Sequence[Grid] = ()) -> str:
    """Return the report as a self-contained HTML page; `beside` are more tables."""
    return html(report, whole_page=True, beside=beside)


def html(report: LiftReport, *, whole_page: bool, beside: Sequence[Grid] = ()) -> str:
    """Return the report as a page, or as one element to put into a page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    folder = resources.files("ranklift.lift.render")
    template = environment.from_string(folder.joinpath("report.html.j2").read_text("utf-8"))
    report = printable(report)
    lifts = [_section(grid) for grid in lift_grids(report)]
    rendered = template.render(
        whole_page=whole_page,
        style=Markup(folder.joinpath("report.css").read_text("utf-8")),  # noqa: S704 - our file
        report=report,
        say=sentences,
        draw=plot,
        deciding=[section for section in lifts if section.grid.role is not Role.DIAGNOSTIC],
        diagnostics=[section for section in lifts if section.grid.role is Role.DIAGNOSTIC],
        over_time=[_over_time(report, primary=primary) for primary in (True, False)],
        segments=[
            [_section(grid) for grid in segment_grids(report, primary=primary)]
            for primary in (True, False)
        ],
        novelty=Courses(list(_novelty(report)), [Section(g, None) for g in novelty_grids(report)]),
        others=[
            Section(grid, None)
            for grid in (
                distribution_grid(report),
                interaction_grid(report),
                *beside,
                traffic_grid(report),
            )
            if grid is not None
        ],
    )
    return rendered.strip() + "\n"


def _section(grid: Grid) -> Section:
    marks = [row.mark for row in grid.rows]
    return Section(grid, strips(marks) if any(marks) else None)


def _over_time(report: LiftReport, *, primary: bool) -> Courses:
    looks = {
        (name, arm): own
        for (name, arm), own in looks_by_arm(report).items()
        if (name == report.primary_metric) is primary
    }
    plots = []
    for (name, arm), own in looks.items():
        axis = [_look_mark(look) for key, one in looks.items() if key[0] == name for look in one]
        moments = [_look_moment(look) for look in own]
        title = f"{title_of(report.metric(name))} so far, {arm}"
        plots.append(Course(title, _caption(report, own), over_time(moments, axis)))
    return Courses(plots, [Section(grid, None) for grid in look_grids(report, primary=primary)])


def _caption(report: LiftReport, looks: Sequence[Look]) -> str:
    caption = (
        f"All pages until the end of each day, in UTC. Bars: {share_text(report.confidence_level)} "
        "interval for a single look."
    )
    if any(look.sequential_interval for look in looks):
        caption += " Band: the interval that holds at any look. Filled points: it excludes zero."
    return caption


def _look_moment(look: Look) -> Moment:
    label = f"{look.day.day} {look.day:%b}"
    return Moment(look.day.toordinal(), label, _look_mark(look), look.crossed)


def _look_mark(look: Look) -> Mark:
    return Mark(look.relative_lift, look.interval, look.sequential_interval)


def _novelty(report: LiftReport) -> Iterator[Course]:
    level = share_text(report.confidence_level)
    measured = [day for day in report.novelty if isinstance(day.found, Measured)]
    for name, arm in dict.fromkeys((day.metric, day.arm) for day in measured):
        own = _day_moments([day for day in measured if (day.metric, day.arm) == (name, arm)])
        axis = [
            moment.mark for moment in _day_moments([day for day in measured if day.metric == name])
        ]
        yield Course(
            f"{title_of(report.metric(name))} by day since first exposure, {arm}",
            f"Day 0 is a {report.unit}'s first. Bars: {level} interval. An effect that fades was "
            "novelty, one that grows was learned.",
            over_time(own, axis),
        )


def _day_moments(days: Sequence[NoveltyDay]) -> list[Moment]:
    return [
        Moment(
            day.day,
            str(day.day),
            Mark(day.found.relative_lift, day.found.relative_lift_interval),
        )
        for day in days
        if isinstance(day.found, Measured)
    ]
