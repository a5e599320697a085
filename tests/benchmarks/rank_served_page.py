"""The page of `rank_served`: tables, ratios, what was wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tests.benchmarks.rank_served_servers import Server

from ranklift.rankers.bench.flops import Peak, Shape, share_of_peak
from ranklift.rankers.bench.outcomes import Window, quantiles, summarize
from ranklift.rankers.bench.rounds import Ratio, ratio

FEW_ANSWERS = 100
SPINNING, QUIET = 0.02, 0.1  # cores
NAIVE, TORCH = "grpc.aio", "infinity, torch"
# Documents in a request, and how many times the pairs a second of the naive server and of the
# better of infinity's torch engines bf16 must reach.
WORKLOADS = {(10, 50): {NAIVE: 5.5, TORCH: 4.0}, (1, 5): {NAIVE: 4.0, TORCH: 4.0}}


@dataclass(frozen=True, slots=True)
class Turn:
    """A window of load on one server, and the processor time that it, the idle servers, and
    programs that are none of ours used meanwhile."""

    window: Window
    cpu_seconds: float
    idle_cpu_seconds: float
    strangers_cpu_seconds: float

    @property
    def pairs_per_second(self) -> float:
        return summarize(self.window).pairs_per_second

    @property
    def pairs_per_cpu_second(self) -> float:
        return sum(each.pairs for each in self.window.answered) / self.cpu_seconds


Turns = Mapping[str, Sequence[Turn]]


@dataclass(frozen=True, slots=True)
class Page:
    """What all parts of the page need: the servers, ranklift's fp32 and bf16 first; the largest
    difference of their scores from the first one's; and what the machine reaches."""

    servers: Sequence[Server]
    errors: Mapping[str, float]
    shapes: Mapping[str, Shape]
    peak: Peak

    def introduction(self, clients: int, rounds: int, seconds: float, warm_up: float) -> str:
        """Return how it was measured."""
        reached = ", ".join(f"{n} {r / 1e9:,.0f}" for n, r in self.peak.flops_per_second.items())
        policy = os.environ.get("OMP_WAIT_POLICY", "not set")
        missing = "" if len(self.servers) > 3 else " **infinity_emb is not installed: not run.**"
        return (
            "# Rankers under concurrent clients\n\n"
            "all-MiniLM-L6-v2 with one logit from a seeded head, the same weights in every server; "
            f"{clients} clients that wait for each answer; made-up requests, pairs of 73 tokens on "
            "average. Every server is a process of its own on the same cores, and one of them has "
            f"load at a time: {rounds} rounds of {seconds:g} s each in turns, after {warm_up:g} s "
            "that are not counted. A window ends with its last answer. No document repeats within "
            "1,000 requests. Figures are medians over rounds [least..most], ratios are of the same "
            "round, latencies of all rounds together. CPU time is that of the server's process "
            f"and its children.{missing}\n\n"
            "Score error: the largest difference from the first row's on 20 documents; the head is "
            "random and its scores lie close together. infinity's ONNX engine gives all tokens one "
            "type, and its optimizer approximates GELU.\n\n"
            f"Largest matrix multiplication just before, GFLOP/s with {self.peak.threads} threads: "
            f"{reached}. OMP_WAIT_POLICY: {policy}."
        )

    def section(self, documents: tuple[int, int], turns: Turns) -> str:
        """Return the tables of one workload."""
        ours, others = self.servers[:2], self.servers[2:]
        ratios = " | ".join(f"{our.numerics}: pairs/s | pairs/CPU-s" for our in ours)
        titles = "pairs/s | pairs/CPU-s | p50 / p99 ms | answers | of peak | score error"
        return "\n".join(
            [
                f"## {documents[0]} to {documents[1]} documents",
                "",
                f"| server | numerics | {titles} |",
                "|---|---|---|---|---|---|---|---|",
                *(self._row(server, turns[server.name]) for server in self.servers),
                "",
                f"| ratio to | {ratios} |",
                "|---|---|---|---|---|",
                *(_ratios(ours, other, turns) for other in others),
                "",
                *_verdicts(WORKLOADS[documents], ours[1], others, turns),
                "",
                _caveats(turns),
            ]
        )

    def _row(self, server: Server, turns: Sequence[Turn]) -> str:
        latency = quantiles([o.latency for turn in turns for o in turn.window.answered])
        answers = sum(len(turn.window.answered) for turn in turns)
        shares = [share_of_peak(turn.window, self.shapes, self.peak) for turn in turns]
        known = [share for share in shares if share is not None]
        cells = [
            server.name,
            server.numerics,
            _spread([turn.pairs_per_second for turn in turns]),
            _spread([turn.pairs_per_cpu_second for turn in turns]),
            f"{latency.p50 * 1e3:,.0f} / {latency.p99 * 1e3:,.0f}"
            + ("\\*" if answers < FEW_ANSWERS else ""),
            f"{answers:,}",
            f"{np.median(known):.0%}" if known else "-",
            f"{self.errors[server.name]:.0e}",
        ]
        return f"| {' | '.join(cells)} |"


def _ratios(ours: Sequence[Server], other: Server, turns: Turns) -> str:
    cells = [other.name]
    for our in ours:
        wall, cpu = _compared(turns[our.name], turns[other.name])
        cells += [_written(wall), _written(cpu)]
    return f"| {' | '.join(cells)} |"


def _compared(ours: Sequence[Turn], theirs: Sequence[Turn]) -> tuple[Ratio, Ratio]:
    """Return the ratios of pairs a second and of pairs a CPU second."""
    return (
        ratio([t.pairs_per_second for t in ours], [t.pairs_per_second for t in theirs]),
        ratio([t.pairs_per_cpu_second for t in ours], [t.pairs_per_cpu_second for t in theirs]),
    )


def _verdicts(
    wanted: Mapping[str, float], ours: Server, others: Sequence[Server], turns: Turns
) -> Iterator[str]:
    def pairs(server: Server) -> float:
        return float(np.median([turn.pairs_per_second for turn in turns[server.name]]))

    for prefix, least in wanted.items():
        rivals = [each for each in others if each.name.startswith(prefix)]
        if not rivals:
            yield f"- {prefix}: did not run, wanted {least}."
            continue
        rival = max(rivals, key=pairs)
        wall, cpu = _compared(turns[ours.name], turns[rival.name])
        verdict = "reached" if wall.median >= least else "**falls short**"
        if _median_strangers(turns) > QUIET:
            verdict = "**not judged: other programs were busy**"
        yield (
            f"- {ours.name} by {rival.name}, pairs/s: {_written(wall)}, wanted {least}: {verdict}. "
            f"By CPU time {_written(cpu)}."
        )


def _caveats(turns: Turns) -> str:
    everything = [turn for each in turns.values() for turn in each]
    idle = max(turn.idle_cpu_seconds / turn.window.seconds for turn in everything)
    spin = "they do not spin" if idle <= SPINNING else "**they disturb the busy one**"
    answers = [sum(len(turn.window.answered) for turn in each) for each in turns.values()]
    few = (
        "\\* Fewer than 100 answers: p99 is the slowest of them and means little. "
        if min(answers) < FEW_ANSWERS
        else ""
    )
    strangers = [_strangers(turn) for turn in everything]
    return (
        f"{few}All idle servers together used at most {idle:.1%} of a core: {spin}. Programs that "
        f"have no part in this used {np.median(strangers):.2f} cores in the median window, "
        f"{max(strangers):.2f} in the worst."
    )


def _median_strangers(turns: Turns) -> float:
    """Return how many cores other programs used in the median window.

    They slow servers that wait for all their threads more than others, so ratios of pairs a second
    are too high then; those by CPU time suffer less.
    """
    return float(np.median([_strangers(turn) for each in turns.values() for turn in each]))


def _strangers(turn: Turn) -> float:
    return turn.strangers_cpu_seconds / turn.window.seconds


def _spread(values: Sequence[float]) -> str:
    return f"{np.median(values):.1f} [{min(values):.0f}..{max(values):.0f}]"


def _written(found: Ratio) -> str:
    return f"{found.median:.2f} [{found.min:.2f}..{found.max:.2f}]"
