"""The report as sentences, tables and plots, for a terminal or a page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ranklift.cli.evaluate.calibration_grids import calibration_grid, reliability_grid
from ranklift.cli.evaluate.charts import distribution_charts, reliability_charts, separation_charts
from ranklift.cli.evaluate.report import EvaluationReport
from ranklift.cli.evaluate.rounded import number, p_text, percent, signed
from ranklift.cli.evaluate.words import definitions, lead, title_of
from ranklift.cli.evaluate.worst import worst_queries
from ranklift.cli.simulate.pages import Page
from ranklift.lift.render.grid import Grid, Row
from ranklift.rankers.evaluation import Estimate, Evaluation

_TEXT = 60
_SCORES = (
    "Scores: the filled area is the first one named, the line the second; heights are shares of "
    "its documents, in equally wide bins."
)
_RELIABILITY = "Calibration: a point a bin; on the dashed diagonal probabilities are what they say."


def page_of(report: EvaluationReport) -> Page:
    """Return the whole report; every number is read from it, none is computed here."""
    charts = (
        *distribution_charts(report),
        *separation_charts(report),
        *reliability_charts(report),
    )
    return Page(
        "How well do they rank?",
        lead(report),
        tuple(_grids(report)),
        charts,
        " ".join(
            legend
            for legend, wanted in (
                (_SCORES, report.wanted.distributions),
                (_RELIABILITY, report.wanted.calibrate),
            )
            if wanted
        ),
    )


def _grids(report: EvaluationReport) -> Iterator[Grid]:
    yield _figures(report)
    yield _pairs(report)
    if report.comparisons:
        yield _comparisons(report)
    if report.distances:
        yield from _distances(report)
    if report.wanted.calibrate:
        yield calibration_grid(report)
        yield reliability_grid(report)
    if report.wanted.worst:
        yield _worst(report)
    yield Grid(
        "What the figures mean",
        ("figure", "meaning"),
        2,
        tuple(Row(each) for each in definitions(report)),
    )


def _figures(report: EvaluationReport) -> Grid:
    def row(metric: str) -> Row:
        measured = [each.evaluation for each in report.systems]
        queries = measured[0].measured.get(metric, measured[0].queries)
        return Row(
            (
                title_of(metric),
                f"{queries:,}",
                *(_cell(_estimate(each, metric)) for each in measured),
                number(_estimate(report.ceiling, metric).value),
            )
        )

    metrics = ("pair_accuracy", "pnr", *map(str, report.wanted.rules.measures))
    return Grid(
        "Figures with 95 % intervals",
        ("figure", "queries", *(each.name for each in report.systems), "best order"),
        1,
        tuple(row(metric) for metric in metrics),
        "Intervals of two systems may overlap although one is better on the same queries: "
        "read the differences.",
    )


def _pairs(report: EvaluationReport) -> Grid:
    def row(name: str, found: Evaluation) -> Row:
        return Row(
            (
                name,
                f"{found.pairs:,}",
                percent(found.tied),
                _cell(found.pnr_unsmoothed),
                f"{found.judged_pairs:,}",
                _cell(found.judged_pnr),
                _cell(found.judged_pair_accuracy),
            )
        )

    return Grid(
        "Pairs",
        (
            *("system", "pairs", "tied", "plain C / D", "both judged"),
            *("their PNR", "their pair accuracy"),
        ),
        1,
        tuple(row(each.name, each.evaluation) for each in report.systems),
        "Both judged: the pairs of which nobody has to guess.",
    )


def _comparisons(report: EvaluationReport) -> Grid:
    return Grid(
        f"Differences to {report.systems[0].name} on the same queries",
        (
            *("system", "figure", "baseline", "system's", "difference", "95 % interval"),
            *("p", "Holm p"),
        ),
        2,
        tuple(
            Row(
                (
                    each.system,
                    title_of(each.found.metric),
                    number(each.found.a),
                    number(each.found.b),
                    signed(each.found.difference),
                    f"{signed(each.found.lower)} to {signed(each.found.upper)}",
                    p_text(each.found.p_value) + (" exact" if each.found.exact else ""),
                    p_text(each.p_holm),
                )
            )
            for each in sorted(report.comparisons, key=lambda one: _place(report, one.system))
        ),
    )


def _place(report: EvaluationReport, system: str) -> int:
    return [each.name for each in report.systems].index(system)


def _distances(report: EvaluationReport) -> Iterator[Grid]:
    first = next(iter(report.distances.values())).first
    spreads = {report.systems[0].name: first}
    spreads |= {name: each.second for name, each in report.distances.items()}
    yield Grid(
        "Scores of all candidates",
        ("system", "mean", "standard deviation", "5 %", "median", "95 %"),
        1,
        tuple(
            Row((name, *map(number, (s.mean, s.deviation, s.low, s.median, s.high))))
            for name, s in spreads.items()
        ),
    )
    yield Grid(
        f"How far from the scores of {report.systems[0].name}",
        (
            *("system", "KS", "overlap", "KS, standardised", "overlap, standardised"),
            *("Kendall tau", "top 1"),
        ),
        1,
        tuple(
            Row(
                (
                    name,
                    number(each.ks),
                    number(each.histogram.overlap),
                    number(each.standardised_ks),
                    number(each.standardised.overlap if each.standardised else None),
                    number(each.agreement.kendall_tau),
                    percent(each.agreement.top_1),
                )
            )
            for name, each in report.distances.items()
        ),
    )


def _worst(report: EvaluationReport) -> Grid:
    measure = str(report.wanted.rules.measures[0])
    rows = []
    for system in report.systems:
        found = system.evaluation
        for each in worst_queries(found, measure, report.wanted.worst):
            baseline = report.systems[0].evaluation.per_query.measures[measure][each.row]
            rows.append(
                Row(
                    (
                        system.name,
                        report.ground.query_ids[each.row],
                        _short(report.ground.lists[each.row].query),
                        number(each.value),
                        number(float(baseline)),
                        number(float(found.per_query.pair_accuracy(found.rules.ties)[each.row])),
                    )
                )
            )
    return Grid(
        f"Worst queries by {title_of(measure)}",
        ("system", "query", "text", title_of(measure), "baseline's", "pair accuracy"),
        3,
        tuple(rows),
        "The JSON has all queries.",
    )


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}..."


def _estimate(found: Evaluation, metric: str) -> Estimate:
    return {"pnr": found.pnr, "pair_accuracy": found.pair_accuracy, **found.measures}[metric]


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or math.isnan(estimate.value):
        return "-"
    return f"{number(estimate.value)} [{number(estimate.lower)}, {number(estimate.upper)}]"
