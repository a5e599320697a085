"""The geometry of an evaluation's plots, in pixels: a template only has to draw it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ranklift.cli.evaluate.report import EvaluationReport
from ranklift.cli.simulate.charts import HEIGHT, SMALL, Chart, Line
from ranklift.lift.render.plot import Scale, Tick
from ranklift.rankers.calibration import Reliability
from ranklift.rankers.evaluation.distributions import Histogram

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, SMALL - 8, 8, HEIGHT - 24


def distribution_charts(report: EvaluationReport) -> Iterator[Chart]:
    """Yield every system's scores over the baseline's, as they are and standardised."""
    first = report.systems[0].name
    for name, each in report.distances.items():
        yield histogram_chart(f"Scores: {first} (filled), {name} (line)", each.histogram)
        if each.standardised is not None:
            title = f"Standardised: {first} (filled), {name} (line)"
            yield histogram_chart(title, each.standardised)


def separation_charts(report: EvaluationReport) -> Iterator[Chart]:
    """Yield every system's scores of relevant documents over those of the others."""
    for system in report.systems:
        if system.separation is not None:
            title = f"{system.name}: not relevant (filled), relevant (line)"
            yield histogram_chart(title, system.separation)


def reliability_charts(report: EvaluationReport) -> Iterator[Chart]:
    """Yield what probabilities said against what was, a plot a map."""
    for system in report.systems:
        for each in system.calibrated:
            title = f"{system.name}, {each.name}: relevant share by probability"
            yield reliability_chart(title, each.reliability)


def histogram_chart(title: str, histogram: Histogram) -> Chart:
    """Return two histograms: the first filled, the second a line."""
    edges = histogram.edges.tolist()
    x = Scale(edges[0], edges[-1], _LEFT, _RIGHT)
    highest = float(max(histogram.first.max(), histogram.second.max()))
    y = Scale(0, highest, _BOTTOM, _TOP)
    middle = (edges[0] + edges[-1]) / 2
    return Chart(
        title=title,
        width=SMALL,
        height=HEIGHT,
        left=_LEFT,
        x_ticks=tuple(Tick(x.at(v), f"{v:.3g}") for v in (edges[0], middle, edges[-1])),
        y_ticks=tuple(Tick(y.at(v), f"{100 * v:.2g} %") for v in (0, highest / 2, highest)),
        lines=(
            Line("band", _steps(edges, histogram.first.tolist(), x, y)),
            Line("trend", _steps(edges, histogram.second.tolist(), x, y)),
        ),
    )


def reliability_chart(title: str, found: Reliability) -> Chart:
    """Return the share of relevant documents by probability, with the diagonal."""
    # Few candidates are relevant: an axis up to 1 would show a corner.
    highest = max(max(b.probability, b.relevant) for b in found.bins) or 1.0
    x, y = Scale(0, highest, _LEFT, _RIGHT), Scale(0, highest, _BOTTOM, _TOP)
    points = [(x.at(b.probability), y.at(b.relevant)) for b in found.bins]
    ticks = (0, highest / 2, highest)
    return Chart(
        title=title,
        width=SMALL,
        height=HEIGHT,
        left=_LEFT,
        x_ticks=tuple(Tick(x.at(v), f"{v:.2g}") for v in ticks),
        y_ticks=tuple(Tick(y.at(v), f"{v:.2g}") for v in ticks),
        lines=(
            Line("zero", f"M{x.at(0)},{y.at(0)}L{x.at(highest)},{y.at(highest)}"),
            Line("trend", "M" + "L".join(f"{px:g},{py:g}" for px, py in points)),
        ),
        dots=tuple(points),
    )


def _steps(edges: Sequence[float], shares: Sequence[float], x: Scale, y: Scale) -> str:
    """Return the outline of a histogram, from the axis and back to it."""
    path = [f"M{x.at(edges[0]):g},{_BOTTOM}"]
    for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
        path.append(f"L{x.at(left):g},{y.at(share):g}H{x.at(right):g}")
    return "".join([*path, f"V{_BOTTOM}"])
