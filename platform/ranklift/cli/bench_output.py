"""The result of `ranklift bench rank` as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ranklift.rankers.bench.outcomes import Summary
from ranklift.rankers.bench.report import BenchReport, EndpointReport
from ranklift.rankers.bench.rounds import Plan, Ratio

FEW_ANSWERS = 100
DASH = "-"


def to_table(report: BenchReport) -> RenderableType:
    """Return the rounds' medians of every server, the ratios, and what to know about them."""
    parts: list[RenderableType] = [_servers(report.endpoints)]
    if len(report.endpoints) > 1:
        parts += ["", _ratios(report.endpoints)]
    return Group(*parts, "", *_notes(report))


def _servers(endpoints: Sequence[EndpointReport]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("server", overflow="fold")
    for title in ("numerics", "answered", "refused", "p50 ms", "p90", "p99", "max", "pairs/s"):
        table.add_column(title, justify="right")
    for title in ("tokens/s", "of peak", "sent late"):
        table.add_column(title, justify="right")
    for each in endpoints:
        latencies = [one.latency for one in each.rounds if one.latency]
        table.add_row(
            escape(each.address),
            "/".join(sorted({n for one in each.rounds for n in one.numerics})) or DASH,
            f"{sum(one.answered for one in each.rounds):,}",
            _refused(each.rounds),
            *(
                _median([getattr(one, name) * 1e3 for one in latencies], "{:,.2f}")
                for name in ("p50", "p90", "p99", "max")
            ),
            _median([one.pairs_per_second for one in each.rounds], "{:,.1f}"),
            _median([one.tokens_per_second for one in each.rounds], "{:,.0f}"),
            _median(each.shares, "{:.1%}"),
            f"{sum(one.late for one in each.rounds):,}",
        )
    return table


def _refused(rounds: Sequence[Summary]) -> str:
    counts: dict[str, int] = {}
    for one in rounds:
        for status, number in one.refused.items():
            counts[status] = counts.get(status, 0) + number
    return ", ".join(f"{number:,} {status}" for status, number in counts.items()) or "0"


def _median(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(statistics.median(known)) if known and len(known) == len(values) else DASH


def _ratios(endpoints: Sequence[EndpointReport]) -> Table:
    first, *others = endpoints
    table = Table(box=None, header_style="bold")
    table.add_column(escape(f"{first.address} divided by"), overflow="fold")
    for title in ("pairs/s", "p50", "p99"):
        table.add_column(title, justify="right")
    for each in others:
        table.add_row(
            escape(each.address),
            *(_ratio(each.ratios.get(name)) for name in ("pairs_per_second", "p50", "p99")),
        )
    return table


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return DASH
    return escape(f"{ratio.median:.2f} [{ratio.min:.2f}..{ratio.max:.2f}]")


def _notes(report: BenchReport) -> Iterator[str]:
    plan, rounds = report.plan, report.plan.rounds
    turns = f"{rounds} rounds of {plan.seconds:g} s" if rounds > 1 else f"{plan.seconds:g} s"
    yield f"{report.questions}; {_load(plan)}, {turns} each after {plan.warm_up:g} s of warm-up."
    if rounds > 1:
        yield (
            "Figures are medians over rounds, counts are sums; ratios are of the same round, "
            "median and range."
        )
    if any(0 < one.answered < FEW_ANSWERS for each in report.endpoints for one in each.rounds):
        yield f"A round with fewer than {FEW_ANSWERS} answers: its p99 is the slowest of them."
    if report.peak is not None:
        reached = ", ".join(
            f"{rate / 1e9:,.0f} GFLOP/s in {numerics}"
            for numerics, rate in report.peak.flops_per_second.items()
        )
        yield f"Peak of matrix multiplication with {report.peak.threads} threads: {reached}."
        if not any(share for each in report.endpoints for share in each.shares):
            yield "No server answered with a given artefact and told its tokens: no share of it."
    late = max(one.latest_seconds for each in report.endpoints for one in each.rounds)
    yield (
        f"Asking took {report.client_seconds:.1f} s of processor time; "
        f"the latest was sent {late * 1e3:.1f} ms late."
    )


def _load(plan: Plan) -> str:
    if plan.clients is not None:
        load = f"{plan.clients} clients that wait for each answer"
    else:
        arrivals = "evenly spaced" if plan.even else f"Poisson arrivals, seed {plan.seed}"
        load = f"{plan.rate:g} requests a second, {arrivals}"
    if plan.deadline_seconds is None:
        return load
    return f"{load}, deadline {plan.deadline_seconds * 1e3:g} ms"
