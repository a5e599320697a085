"""The geometry of an evaluation's plots: what is drawn lies where its numbers say."""

import re

import numpy as np
import pytest

from ranklift.cli.evaluate.charts import histogram_chart, reliability_chart
from ranklift.cli.simulate.charts import HEIGHT, SMALL, Chart
from ranklift.rankers.calibration import reliability
from ranklift.rankers.evaluation.distributions import histogram_of


def path(chart: Chart, kind: str) -> str:
    return "".join(line.path for line in chart.lines if line.kind == kind)


def heights(steps: str) -> list[float]:
    return [float(y) for y in re.findall(r"L[\d.]+,([\d.]+)H", steps)]


def test_bars_are_as_high_as_their_shares_and_end_on_the_axis() -> None:
    histogram = histogram_of(np.array([0.0, 0, 0, 4]), np.array([2.5, 2.5, 4, 4]), bins=4)
    chart = histogram_chart("scores", histogram)
    bottom, top = HEIGHT - 24, 8
    first, second = heights(path(chart, "band")), heights(path(chart, "trend"))
    assert first == [top, bottom, bottom, pytest.approx(bottom - (bottom - top) / 3)]
    highest = bottom - (bottom - top) * 2 / 3  # half of the documents, where 3/4 reach the top
    assert second[:2] == [bottom, bottom]
    assert second[2] == second[3] == pytest.approx(highest, abs=0.01)
    assert path(chart, "band").endswith(f"V{bottom}")
    assert [tick.label for tick in chart.x_ticks] == ["0", "2", "4"]
    assert [tick.label for tick in chart.y_ticks] == ["0 %", "38 %", "75 %"]
    assert chart.x_ticks[-1].at == SMALL - 8


def test_constant_scores_have_a_plot_too() -> None:
    chart = histogram_chart("scores", histogram_of(np.zeros(3), np.zeros(2)))
    assert "nan" not in path(chart, "band") + path(chart, "trend")


def test_honest_probabilities_lie_on_the_diagonal() -> None:
    said = np.repeat([0.2, 0.4, 0.8], 10)
    was = np.concatenate([np.arange(10) < 10 * share for share in (0.2, 0.4, 0.8)])
    chart = reliability_chart("honest", reliability(said, was.astype(np.float64), bins=3))
    x0, y0, x1, y1 = (float(n) for n in re.findall(r"[\d.]+", path(chart, "zero")))
    assert len(chart.dots) == 3
    for x, y in chart.dots:
        assert (x - x0) / (x1 - x0) == pytest.approx((y - y0) / (y1 - y0), abs=0.01)
    assert chart.dots[-1] == (x1, y1)


def test_probabilities_that_say_too_much_lie_below_it() -> None:
    chart = reliability_chart("bold", reliability(np.full(10, 0.9), np.repeat([0.0, 1.0], [7, 3])))
    ((x, y),) = chart.dots
    assert x == SMALL - 8
    assert HEIGHT - 24 - y == pytest.approx((HEIGHT - 32) / 3, abs=0.01)
