"""Where scores lie, teacher's and students': as a line of text, and as a plot."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.cli.reproduce.results import mean_of
from ranklift.cli.reproduce.tables import mean_text
from ranklift.cli.simulate.charts import HEIGHT, SMALL, Chart, Line
from ranklift.lift.render.grid import Grid, Row
from ranklift.lift.render.plot import Scale, Tick

# In the teacher's standard deviations around its mean; what lies outside goes into the first bin
# or the last.
BINS = np.linspace(-3, 3, 25)
Scores = Sequence[NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Scores of held-out queries, on the scale on which the teacher's have mean 0 and deviation 1.

    `counts` by the bins of `BINS`. The distance to the teacher is in two parts, root mean squares
    over queries: `offset`, of the mean of a query's documents, and `within`, around that mean.
    """

    counts: tuple[int, ...]
    mean: float
    deviation: float
    offset: float
    within: float


def distribution_of(scores: Scores, wanted: Scores) -> Distribution:
    """Return how `scores` are distributed, and how far they are from the teacher's, `wanted`;
    one array of shape (documents,) a query."""
    pooled = np.concatenate(scores)
    counts, _ = np.histogram(pooled.clip(BINS[0], BINS[-1]), BINS)
    errors = [found - right for found, right in zip(scores, wanted, strict=True)]
    return Distribution(
        counts=tuple(counts.tolist()),
        mean=float(pooled.mean()),
        deviation=float(pooled.std()),
        offset=float(np.sqrt(np.mean([error.mean() ** 2 for error in errors]))),
        within=float(np.sqrt(np.mean([error.var() for error in errors]))),
    )


def distributions_grid(found: Mapping[str, Sequence[Distribution]]) -> Grid:
    """Return a line of text a system, with the means of its figures over seeds."""
    rows = tuple(
        Row(
            (
                system,
                bars(pooled(each)),
                *(
                    mean_text(mean_of([getattr(one, name) for one in each]))
                    for name in ("mean", "deviation", "offset", "within")
                ),
            )
        )
        for system, each in found.items()
    )
    return Grid(
        "(e) Score distributions",
        (
            *("", f"{BINS[0]:g} to {BINS[-1]:g}", "mean", "deviation"),
            *("distance: offset of a query", "distance: within a query"),
        ),
        2,
        rows,
        "Held-out queries of all seeds, in the teacher's standard deviations around its mean; "
        "beyond the ends counts as the end. The distance to the teacher is in two parts, root "
        "mean squares over queries: margin losses do not see the first, and losses of order see "
        "neither, so that their scores have a scale of their own.",
    )


def distribution_chart(
    title: str, student: Sequence[Distribution], teacher: Sequence[Distribution]
) -> Chart:
    """Return a student's histogram as bars under the teacher's as a line."""
    left, bottom = 34, HEIGHT - 24
    own, others = (pooled(each) for each in (student, teacher))
    shares = [counts / max(1, counts.sum()) for counts in (own, others)]
    x = Scale(float(BINS[0]), float(BINS[-1]), left, SMALL - 8)
    y = Scale(0, max(float(share.max()) for share in shares), bottom, 8)
    edges = list(itertools.pairwise(BINS.tolist()))
    drawn = "".join(
        f"M{x.at(low):g},{bottom}V{y.at(share):g}H{x.at(high) - 1:g}V{bottom}Z"
        for (low, high), share in zip(edges, shares[0], strict=True)
    )
    line = "L".join(
        f"{x.at((low + high) / 2):g},{y.at(share):g}"
        for (low, high), share in zip(edges, shares[1], strict=True)
    )
    return Chart(
        title=title,
        width=SMALL,
        height=HEIGHT,
        left=left,
        x_ticks=tuple(Tick(x.at(value), f"{value:g}") for value in (-3, -2, -1, 0, 1, 2, 3)),
        y_ticks=(Tick(y.at(0), "0"), Tick(y.at(y.high), f"{100 * y.high:.0f} %")),
        lines=(Line("band", drawn), Line("trend", f"M{line}")),
    )


def pooled(found: Sequence[Distribution]) -> NDArray[np.int64]:
    """Return the counts of several distributions together, shape (bins,)."""
    total: NDArray[np.int64] = np.array([each.counts for each in found], np.int64).sum(0)
    return total


def bars(counts: NDArray[np.int64]) -> str:
    """Return a histogram as a line of text; an empty bin is a dot."""
    top = max(1, int(counts.max()))
    return "".join("▁▂▃▄▅▆▇█"[min(7, 8 * int(count) // top)] if count else "·" for count in counts)
