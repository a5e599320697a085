"""Calibration as tables."""

from __future__ import annotations

from ranklift.cli.evaluate.report import EvaluationReport
from ranklift.cli.evaluate.rounded import number, percent
from ranklift.lift.render.grid import Grid, Row
from ranklift.rankers.calibration import Calibrated, Isotonic, Logistic


def calibration_grid(report: EvaluationReport) -> Grid:
    """Return how much each map is worth on queries that it was not fitted on."""
    return Grid(
        "Calibration, judged crosswise",
        ("system", "map", "fitted on all", "ECE", "Brier", "pairs it ties"),
        3,
        tuple(
            Row(
                (
                    system.name,
                    each.name,
                    _parameters(each),
                    number(each.reliability.ece),
                    number(each.reliability.brier),
                    percent(each.ties),
                )
            )
            for system in report.systems
            for each in system.calibrated
        ),
    )


def reliability_grid(report: EvaluationReport) -> Grid:
    """Return what probabilities said and what was, bin by bin."""
    return Grid(
        "Reliability, judged crosswise",
        ("system", "map", "probabilities", "candidates", "mean probability", "relevant"),
        3,
        tuple(
            Row(
                (
                    system.name,
                    each.name,
                    f"{number(one.low)} to {number(one.high)}",
                    f"{one.count:,}",
                    number(one.probability),
                    number(one.relevant),
                )
            )
            for system in report.systems
            for each in system.calibrated
            for one in each.reliability.bins
        ),
        "A row a bin of equal mass; where probabilities are what they say, the last two are alike.",
    )


def _parameters(each: Calibrated) -> str:
    match each.name, each.found:
        case "temperature", Logistic() as found:
            limit = " (limit)" if found.at_limit else ""
            return f"T = {found.temperature:.4g}{limit}"
        case "affine", Logistic() as found:
            return f"a = {found.slope:.4g}, b = {found.offset:.4g}"
        case _, Isotonic() as found:
            return f"{len(found.scores)} corners"
    return "nothing"
