"""Results as tables and sentences, for the terminal, Markdown and HTML alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranklift.cli.reproduce.results import (
    LEVEL,
    LOG_PNR,
    NDCG_5,
    NDCG_10,
    PAIR_ACCURACY,
    PNR,
    Judged,
    Mean,
    Result,
    by_unit,
    mean,
    paired,
)
from ranklift.cli.reproduce.speed import Speed
from ranklift.cli.reproduce.tuning import Tuned
from ranklift.lift.render.grid import Grid, Row
from ranklift.lift.render.rounding import estimate_text
from ranklift.lift.values import Interval

TITLES: Mapping[str, str] = {
    PNR: "PNR",
    LOG_PNR: "log PNR",
    PAIR_ACCURACY: "pair accuracy",
    NDCG_5: "NDCG@5",
    NDCG_10: "NDCG@10",
}
SHOWN = (PAIR_ACCURACY, PNR, LOG_PNR, NDCG_5)


def results_grid(
    title: str,
    systems: Sequence[str],
    results: Sequence[Result],
    *,
    against: str = "",
    note: str = "",
) -> Grid:
    """Return a table of systems, a mean over units with its interval a cell.

    With `against`, two more columns: how much each system exceeds that one, unit by unit.
    """
    columns = ["", *(TITLES[metric] for metric in SHOWN)]
    if against:
        columns += [f"{TITLES[metric]} minus {against}'s" for metric in (LOG_PNR, NDCG_5)]
    rows = []
    for system in systems:
        cells = [system, *(mean_text(mean(results, system, metric)) for metric in SHOWN)]
        if against and system != against:
            cells += [
                mean_text(paired(results, system, against, metric).mean, signed=True)
                for metric in (LOG_PNR, NDCG_5)
            ]
        elif against:
            cells += ["", ""]
        rows.append(Row(tuple(cells)))
    return Grid(title, tuple(columns), 1, tuple(rows), note)


def claims_grid(judged: Judged) -> Grid:
    """Return the comparisons that a claim makes, every unit's difference among them."""
    units = list(judged.comparisons[0].differences)
    rows = tuple(
        Row(
            (
                f"{each.better} - {each.other}",
                TITLES[each.metric],
                mean_text(each.mean, signed=True),
                f"{sum(d > 0 for d in each.differences.values())} of {each.mean.units}",
                *(f"{each.differences[unit]:+.4f}" for unit in units),
            )
        )
        for each in judged.comparisons
    )
    return Grid(
        f"{judged.claim.sentence}: {judged.verdict}",
        ("difference", "metric", f"mean ({100 * LEVEL:g} % interval)", "above 0", *units),
        2,
        rows,
    )


def units_grid(
    title: str, systems: Sequence[str], results: Sequence[Result], metric: str = PAIR_ACCURACY
) -> Grid:
    """Return a figure of every system on every unit: nothing is left out of a mean."""
    found = {system: by_unit(results, system, metric) for system in systems}
    units = list(dict.fromkeys(unit for own in found.values() for unit in own))
    rows = tuple(
        Row((system, *(f"{own[unit]:.4f}" if unit in own else "-" for unit in units)))
        for system, own in found.items()
    )
    return Grid(title, ("", *units), 1, rows)


def rates_grid(tuned: Sequence[Tuned], seeds: Sequence[int]) -> Grid:
    """Return the learning rates that were tried, and those taken."""
    rates = sorted({rate for each in tuned for rate in each.tried})
    rows = tuple(
        Row(
            (
                each.system,
                f"{each.rate:g}{' (at the edge)' if each.at_edge else ''}",
                *(f"{each.tried[rate]:.3f}" if rate in each.tried else "" for rate in rates),
            )
        )
        for each in tuned
    )
    return Grid(
        "Learning rates",
        ("", "taken", *(f"log PNR at {rate:g}" for rate in rates)),
        1,
        rows,
        "Each system's own, by its mean log PNR on the held-out queries of worlds that are in no "
        f"other table: seeds {', '.join(map(str, seeds))}.",
    )


def speed_grid(speeds: Sequence[Speed]) -> Grid:
    """Return what rankers cost; the first is the one that others are held against."""
    rows = tuple(
        Row(
            (
                each.system,
                f"{each.parameters:,}",
                _spread(each.milliseconds, "{:.1f}"),
                _spread(each.pairs_per_second, "{:,.0f}"),
                _spread(each.tokens_per_second, "{:,.0f}"),
                _spread(each.cost_against(speeds[0]), "{:.1%}"),
            )
        )
        for each in speeds
    )
    return Grid(
        "(d) Throughput and cost",
        (
            *("", "parameters", "ms per 50 documents", "pairs/s", "tokens/s"),
            f"cost, {speeds[0].system} = 100 %",
        ),
        1,
        rows,
        "Median [lower quartile, upper quartile] over rounds; in each round every ranker "
        "tokenises and scores the same query with 50 documents, one after another. Cost: the "
        "time of a round against that of the first ranker in the same round.",
    )


def verdict_sentence(judged: Judged) -> str:
    """Return a claim, what the results say of it, and the differences that say so."""
    means = "; ".join(
        f"{TITLES[each.metric]} {mean_text(each.mean, signed=True)} over {each.other}"
        for each in judged.comparisons
    )
    units = ", ".join(judged.comparisons[0].differences)
    return f"{judged.claim.sentence}: {judged.verdict.upper()}. {means}. On {units}."


def mean_text(found: Mean, *, signed: bool = False) -> str:
    """Return a mean with its interval: "0.947 (0.940 to 0.953)"."""
    if found.lower is None or found.upper is None:
        return f"{found.value:{'+' if signed else ''}.4f}"
    return estimate_text(found.value, Interval(found.lower, found.upper), signed=signed)


def _spread(values: tuple[float, float, float], form: str) -> str:
    low, middle, high = (form.format(value) for value in values)
    return f"{middle} [{low}, {high}]"
