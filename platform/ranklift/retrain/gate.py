"""Whether a new version may serve: it must not be worse than the champion."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ranklift.store.values import Comparison

METRIC = "pair_accuracy"
# How much worse than the champion a new version may be, with 97.5 % confidence.
MARGIN = 0.01
# A bootstrap over fewer queries ends too narrow; over one it has no width at all.
LEAST_QUERIES = 10
# Scores of one list that differ by less than this do not rank it.
COLLAPSED = 1e-6


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The new version against the champion on held-out queries.

    `score_spread` is the median over queries of the difference between the
    highest and the lowest score that the new version gives to one list.
    """

    comparisons: tuple[Comparison, ...]
    score_spread: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the new version may serve, whether it looks better, and why in one sentence."""

    passed: bool
    better: bool
    reason: str


def judge(evaluation: Evaluation, margin: float = MARGIN) -> Verdict:
    """Return the verdict on a new version.

    It passes when it is non-inferior in pair accuracy wherever that was
    compared: the lower end of the 95 % interval of the difference lies above
    -`margin`. It is better when every difference is positive as well. What
    cannot be computed does not pass.
    """
    compared = [c for c in evaluation.comparisons if c.metric == METRIC]
    refusal = _refusal(evaluation, compared, margin)
    if refusal:
        return Verdict(passed=False, better=False, reason=refusal)
    better = all(c.difference > 0 for c in compared)
    word = "better than" if better else "not worse than"
    return Verdict(True, better, f"{word} the champion: {'; '.join(map(_describe, compared))}")


def is_finite(comparison: Comparison) -> bool:
    """Return whether a comparison consists of numbers."""
    return all(
        math.isfinite(value)
        for value in (
            comparison.champion_value,
            comparison.challenger_value,
            comparison.difference,
            comparison.difference_lower,
            comparison.difference_upper,
        )
    )


def _refusal(evaluation: Evaluation, compared: list[Comparison], margin: float) -> str:
    if not evaluation.score_spread > COLLAPSED:
        return (
            f"the new version gives all documents of a query the same score "
            f"(spread {evaluation.score_spread:.2g})"
        )
    if not compared:
        return f"{METRIC} was not compared with the champion"
    for c in compared:
        if c.queries < LEAST_QUERIES:
            return (
                f"{METRIC} on {c.source} could be compared on {c.queries} queries only, as others "
                f"have no two documents of different grades; must be {LEAST_QUERIES} or more"
            )
        if not is_finite(c):
            return f"{METRIC} on {c.source} could not be computed on {c.queries} queries"
        if c.difference_lower <= -margin:
            return (
                f"the new version may be worse than the champion by more than {margin:g}: "
                f"{_describe(c)}"
            )
    return ""


def _describe(c: Comparison) -> str:
    return (
        f"{c.metric} on {c.source} {c.difference:+.4f} "
        f"[{c.difference_lower:+.4f}, {c.difference_upper:+.4f}] over {c.queries} queries"
    )
