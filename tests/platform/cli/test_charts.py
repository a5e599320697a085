"""The geometry of calibration plots: what is drawn lies where its numbers say."""

import re

import pytest

from ranklift.cli.simulate.charts import (
    HEIGHT,
    SMALL,
    Chart,
    p_value_chart,
    power_chart,
    rate_chart,
    short,
    sparkline,
)
from ranklift.simulator.calibration.power import Seen
from ranklift.simulator.calibration.rates import Rate
from ranklift.simulator.calibration.truths import Truth

EVEN = [(n + 0.5) / 400 for n in range(400)]


def path(chart: Chart, kind: str) -> str:
    return "".join(line.path for line in chart.lines if line.kind == kind)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_bars_of_even_p_values_reach_the_dashed_line() -> None:
    chart = p_value_chart("m", EVEN)
    tops = {float(top) for top in re.findall(r"M[\d.]+,\d+V([\d.]+)H", path(chart, "band"))}
    level = float(re.findall(r"M\d+,([\d.]+)H", path(chart, "zero"))[0])
    assert tops == {level}


def test_the_curve_of_even_p_values_is_the_diagonal() -> None:
    chart = p_value_chart("m", EVEN)
    (diagonal,) = (
        numbers(one.path) for one in chart.lines if "L" in one.path and one.kind == "zero"
    )
    x0, y0, x1, y1 = diagonal
    points = numbers(path(chart, "trend"))
    for x, y in zip(points[::2], points[1::2], strict=True):
        assert (x - x0) / (x1 - x0) == pytest.approx((y - y0) / (y1 - y0), abs=0.01)


def test_everything_of_small_p_values_stays_on_the_chart() -> None:
    chart = p_value_chart("m", [p / 30 for p in EVEN])
    tops = [float(top) for top in re.findall(r"M[\d.]+,\d+V([\d.]+)H", path(chart, "band"))]
    assert min(tops) >= 8
    assert max(tops) == HEIGHT - 24  # no value, no bar


def test_rates_stand_in_their_rows_by_their_value() -> None:
    chart = rate_chart("r", {"a": Rate(5, 100), "b": Rate(10, 100)}, 0.05, (0.01, 0.12))
    (ax, ay), (bx, by) = chart.dots
    assert ax < bx
    assert [tick.label for tick in chart.y_ticks] == ["a", "b"]
    assert [tick.at for tick in chart.y_ticks] == [ay, by]
    nominal = numbers(path(chart, "zero"))[0]
    assert ax == pytest.approx(nominal)


def test_power_has_a_line_a_lift_and_the_plan_dashed() -> None:
    rows = [
        Seen("m", lift, Truth(lift, 0), 10 * n, 1_000.0 * n, Rate(hits, 100), planned)
        for lift, n, hits, planned in (
            (0.01, 1, 20, 0.2),
            (0.01, 4, 60, 0.5),
            (0.02, 1, 50, None),
            (0.02, 4, 100, None),
        )
    ]
    chart = power_chart("m", rows)
    assert [line.kind for line in chart.lines].count("trend") == 2
    assert [line.kind for line in chart.lines].count("plan") == 1
    plan, seen = numbers(path(chart, "plan")), chart.dots
    assert plan[1] == pytest.approx(seen[0][1])  # as planned
    assert plan[3] > seen[1][1]  # planned less than was seen: further down
    assert [label.text for label in chart.labels] == ["+1 %", "+2 %"]
    assert all(0 < x < SMALL and 0 < y < HEIGHT for x, y in chart.dots)


def test_a_sparkline_of_even_p_values_is_level() -> None:
    assert sparkline(EVEN) == "▅" * 10
    assert sparkline([0.01] * 50) == "█" + "▁" * 9


@pytest.mark.parametrize(
    ("pages", "text"), [(2_500, "2.5 k"), (100_000, "100 k"), (999_999, "1 M"), (1.5e6, "1.5 M")]
)
def test_pages_are_short_on_an_axis(pages: float, text: str) -> None:
    assert short(pages) == text
