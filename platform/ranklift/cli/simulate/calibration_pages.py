"""Calibration's reports as sentences, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranklift.cli.simulate.charts import p_value_chart, power_chart, rate_chart, sparkline
from ranklift.cli.simulate.pages import Page
from ranklift.lift.render.grid import Grid, Row
from ranklift.lift.render.rounding import p_text
from ranklift.simulator.calibration.aa import LEAST_UNIFORMITY, AaReport
from ranklift.simulator.calibration.coverage import CoverageReport
from ranklift.simulator.calibration.matrix import Matrix
from ranklift.simulator.calibration.power import Seen
from ranklift.simulator.calibration.rates import Rate
from ranklift.simulator.calibration.truths import Truth


def aa_page(report: AaReport, about: str) -> Page:
    """Return the page of A/A experiments; `about` says what they were."""
    low, high = report.wanted
    failing = [metric.metric for metric in report.metrics if not metric.honest]
    rows = tuple(
        Row(
            (
                metric.metric,
                per_cent(metric.rejected.value),
                interval_of(metric.rejected),
                p_text(metric.uniformity),
                sparkline(metric.p_values),
                "" if metric.honest else "NOT HONEST",
            )
        )
        for metric in report.metrics
    )
    rejected = f"p < {report.alpha:g}"
    return Page(
        f"{report.experiments:,} A/A experiments",
        (
            about,
            _verdict(failing, "rejects too often, too seldom, or not evenly"),
        ),
        (
            Grid(
                "False positives by metric",
                ("metric", rejected, "95 % interval", "uniformity p", "p-values 0 to 1", ""),
                1,
                rows,
                f"Nothing differs between the arms, so {rejected} should happen in "
                f"{per_cent(report.alpha)}; 99.9 % of honest tests show {per_cent(low)} to "
                f"{per_cent(high)} in so many experiments. Uniformity: Kolmogorov and Smirnov's "
                f"test; below {LEAST_UNIFORMITY:g} is not honest.{_missing(report.unavailable)}",
            ),
            alarm_grid(report.alarms),
        ),
        (
            rate_chart(
                f"How often {rejected}",
                {metric.metric: metric.rejected for metric in report.metrics},
                report.alpha,
                report.wanted,
            ),
            *(p_value_chart(metric.metric, metric.p_values) for metric in report.metrics),
        ),
        "Rates: points with their Monte-Carlo intervals; the band is that of honest tests. "
        "p-values: bars should be level with the dashed line, the curve should follow the "
        "diagonal.",
    )


def coverage_page(report: CoverageReport, about: str) -> Page:
    """Return the page of experiments whose true lifts are known."""
    low, high = report.wanted
    failing = [metric.metric for metric in report.metrics if not metric.honest]
    level = per_cent(report.level)
    rows = tuple(
        Row(
            (
                one.metric,
                truth_text(one.truth),
                per_cent(one.held.value),
                interval_of(one.held),
                f"{100 * one.bias:+.3f} ± {100 * one.bias_error:.3f} %",
                f"{one.z_mean:+.3f}",
                f"{one.z_spread:.3f}",
                f"{one.truth_in_errors:.3f}",
                "" if one.honest else "NOT HONEST",
            )
        )
        for one in report.metrics
    )
    return Page(
        f"Do the intervals hold the truth? {report.experiments:,} experiments",
        (about, _verdict(failing, "holds the true lift too seldom, or too often")),
        (
            Grid(
                f"Coverage of the {level} intervals by metric",
                (
                    *("metric", "true lift", "held", "95 % interval", "bias"),
                    *("mean z", "spread of z", "truth's error", ""),
                ),
                1,
                rows,
                f"99.9 % of honest intervals hold the truth {per_cent(low)} to {per_cent(high)} of "
                "so many times. Bias: the mean of log(1 + estimate) - log(1 + truth). z: that in "
                "standard errors, of mean 0 and spread 1 when all is well. Truth's error: the "
                "standard error of the true lift in those of one experiment; 0 where it is known "
                f"in closed form.{_missing(report.unavailable)}",
            ),
            alarm_grid(report.alarms),
        ),
        (
            rate_chart(
                "How often the interval holds the true lift",
                {metric.metric: metric.held for metric in report.metrics},
                report.level,
                report.wanted,
            ),
        ),
        "Points with their Monte-Carlo intervals; the band is that of honest intervals.",
    )


def power_page(rows: Sequence[Seen], about: str) -> Page:
    """Return the page of power by metric, lift and traffic."""
    metrics = dict.fromkeys(row.metric for row in rows)
    judged = [row.as_planned for row in rows if row.as_planned is not None]
    grids = tuple(
        Grid(
            f"Planted: {100 * planted:+.3g} % in PageCTR and dwell per click",
            ("metric", "true lift", "pages", "users", "power", "95 % interval", "planned"),
            1,
            tuple(
                Row(
                    (
                        row.metric,
                        truth_text(row.truth),
                        f"{row.pages:,.0f}",
                        f"{row.users:,}",
                        per_cent(row.seen.value),
                        interval_of(row.seen),
                        "" if row.planned is None else per_cent(row.planned),
                    )
                )
                for metric in metrics
                for row in rows
                if row.metric == metric and row.planted == planted
            ),
        )
        for planted in dict.fromkeys(row.planted for row in rows)
    )
    return Page(
        "Would these experiments see the lift?",
        (
            about,
            f"Planned is what `ranklift power` predicts for the metric's own true lift from a log "
            f"of as many users; {sum(judged)} of {len(judged)} plans lie in the 95 % interval of "
            "what happened.",
        ),
        grids,
        tuple(
            power_chart(metric, [row for row in rows if row.metric == metric]) for metric in metrics
        ),
        "Power against pages, a line for each planted lift; dashed: planned.",
    )


def matrix_page(matrix: Matrix, about: str) -> Page:
    """Return the page of one experiment in the worlds of several click models."""
    decisions = tuple(dict.fromkeys(name for one in matrix.outcomes for name in one.decisions))
    models = tuple(matrix.outcomes[0].forecasts)
    decided = Grid(
        f"The experiment in each world, {matrix.experiments:,} times",
        ("generated by", "decision", "true lift", "mean estimate", *map(_spoken, decisions)),
        2,
        tuple(
            Row(
                (
                    one.generated_by,
                    _spoken(one.decision),
                    f"{100 * one.truth:+.3f} %",
                    f"{100 * one.mean_lift:+.3f} %",
                    *(
                        per_cent(one.decisions[name].value) if name in one.decisions else ""
                        for name in decisions
                    ),
                )
            )
            for one in matrix.outcomes
        ),
        "PageCTR. The decision is what most of the reports advise.",
    )
    forecast = Grid(
        "What models forecast before the experiment, from control's log with its order disturbed",
        ("generated by", "true lift", *(f"fitted: {model}" for model in models)),
        1,
        tuple(
            Row(
                (
                    one.generated_by,
                    f"{100 * one.truth:+.3f} %",
                    *(f"{100 * one.forecasts[model]:+.3f} %" for model in models),
                )
            )
            for one in matrix.outcomes
        ),
        "PageCTR, by the direct method of off-policy evaluation: what the fitted model says of the "
        "arm's pages.",
    )
    share = per_cent(matrix.least_share)
    return Page(
        "Does the decision rest on the click model?",
        (
            about,
            (
                f"Robust: most experiments decide the same in every world, {share} of them or more."
                if matrix.robust
                else "Not robust: the decision depends on which click model is true."
            ),
            (
                "Every forecast has the sign of the true lift."
                if not matrix.misled
                else "Forecasts with the wrong sign: "
                + ", ".join(f"{model} in {world}" for world, model in matrix.misled)
                + "."
            ),
        ),
        (decided, forecast),
    )


def alarm_grid(alarms: Mapping[str, Rate]) -> Grid:
    """Return how often each check of the report failed; the sample ratio's stands there always."""
    return Grid(
        "Alarms: checks that failed",
        ("check", "failed", "95 % interval"),
        1,
        tuple(
            Row((name, f"{rate.hits:,} of {rate.count:,}", interval_of(rate)))
            for name, rate in alarms.items()
        ),
        "A report whose check failed calls itself invalid; its numbers count here all the same.",
    )


def interval_of(rate: Rate) -> str:
    """Return the 95 % interval of a rate: "3.8 to 6.6 %"."""
    low, high = rate.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def per_cent(share: float) -> str:
    """Return a share with one decimal: "5.1 %"."""
    return f"{100 * share:.1f} %"


def truth_text(truth: Truth) -> str:
    """Return a true lift, with its standard error where it has one."""
    error = f" ± {100 * truth.error:.3f}" if truth.error else ""
    return f"{100 * truth.lift:+.3f}{error} %"


def _verdict(failing: Sequence[str], what: str) -> str:
    if not failing:
        return "Every metric is as it should be."
    return f"{', '.join(failing)}: {what}."


def _missing(unavailable: Mapping[str, str]) -> str:
    return "".join(f" {name}: not available, {why}." for name, why in unavailable.items())


def _spoken(decision: str) -> str:
    return decision.replace("_", " ")
