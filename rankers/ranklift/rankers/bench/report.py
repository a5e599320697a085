"""What a run of load showed, as one value and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ranklift.rankers.bench.flops import Peak, Shape, share_of_peak
from ranklift.rankers.bench.outcomes import Summary, Window, summarize
from ranklift.rankers.bench.rounds import Plan, Ratio, ratios

SCHEMA = "ranklift.rank_bench/1"


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """The rounds of one endpoint, and its shares of the machine's peak where they can be told.

    `ratios` are the first endpoint's quantities divided by this one's; empty for the first itself.
    """

    address: str
    rounds: Sequence[Summary]
    shares: Sequence[float | None]
    ratios: Mapping[str, Ratio]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The load, what it was made of, and what every endpoint did.

    `client_seconds` is the processor time that asking itself took.
    """

    plan: Plan
    questions: str
    peak: Peak | None
    client_seconds: float
    endpoints: Sequence[EndpointReport]


def report_of(
    plan: Plan,
    questions: str,
    windows: Mapping[str, Sequence[Window]],
    *,
    client_seconds: float,
    shapes: Mapping[str, Shape],
    peak: Peak | None,
) -> BenchReport:
    """Return the report of the windows of every endpoint by its address, the first one's first."""
    summaries = {address: [summarize(each) for each in ws] for address, ws in windows.items()}
    ours, *_ = summaries.values()
    return BenchReport(
        plan,
        questions,
        peak,
        client_seconds,
        [
            EndpointReport(
                address,
                theirs,
                [share_of_peak(each, shapes, peak) if peak else None for each in windows[address]],
                {} if theirs is ours else ratios(ours, theirs),
            )
            for address, theirs in summaries.items()
        ],
    )


def as_json(report: BenchReport) -> dict[str, Any]:
    """Return the report as what JSON can say; times in seconds, unknown values null."""
    return {"schema": SCHEMA, **asdict(report)}
