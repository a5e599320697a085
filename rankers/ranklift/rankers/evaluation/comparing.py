"""Rankers against a baseline on the same queries: differences, intervals, p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.base import Values
from ranklift.rankers.evaluation.evaluating import Evaluation
from ranklift.rankers.evaluation.per_query import ratio_of
from ranklift.rankers.evaluation.randomisation import ASSIGNMENTS, randomisation_test
from ranklift.rankers.evaluation.ratios import RESAMPLES, percentiles, resampled_shares
from ranklift.v1.errors import InvalidRequest

COMPARED = ("pair_accuracy", "ndcg@10")


@dataclass(frozen=True, slots=True)
class Difference:
    """`difference` is `b` minus `a` on the same queries, with its 95 % interval.

    `p_value` is that of the paired randomisation test, `exact` if all
    assignments were tried.
    """

    metric: str
    a: float
    b: float
    difference: float
    lower: float
    upper: float
    queries: int
    p_value: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system against the baseline; `p_holm` is corrected for the number of systems compared."""

    system: str
    baseline: str
    found: Difference
    p_holm: float


def compare(
    a: Evaluation,
    b: Evaluation,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    metrics: Sequence[str] = COMPARED,
    assignments: int = ASSIGNMENTS,
) -> tuple[Difference, ...]:
    """Return the differences of two rankers on the same lists, by metric.

    Metrics are measures ("ndcg@10"), "pair_accuracy" and "log_pnr"; differences
    of PNR itself mean more the lower it is. Every resample draws the same queries for
    both, so that what makes a query hard cancels.

    Raises:
        InvalidRequest: the evaluations are of different queries or rules, or a metric was not
            measured.
    """
    _check(a, b, metrics)
    first = [ratio_of(a.per_query, metric, a.rules.ties) for metric in metrics]
    second = [ratio_of(b.per_query, metric, b.rules.ties) for metric in metrics]
    resampled = resampled_shares([*first, *second], seed=seed, resamples=resamples)
    found = []
    for i, metric in enumerate(metrics):
        ours, theirs = first[i], second[i]
        apart = theirs.through(resampled[len(metrics) + i]) - ours.through(resampled[i])
        lower, upper = percentiles(apart)
        test = randomisation_test(ours, theirs, seed=seed, assignments=assignments)
        found.append(
            Difference(
                metric=metric,
                a=ours.value,
                b=theirs.value,
                difference=theirs.value - ours.value,
                lower=lower,
                upper=upper,
                # Those that the metric is defined on: what the interval rests on.
                queries=int(np.count_nonzero((ours.bottom > 0) | (theirs.bottom > 0))),
                p_value=test.p_value,
                exact=test.exact,
            )
        )
    return tuple(found)


def compare_with_baseline(
    baseline: tuple[str, Evaluation],
    others: Mapping[str, Evaluation],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    metrics: Sequence[str] = COMPARED,
    assignments: int = ASSIGNMENTS,
) -> tuple[Comparison, ...]:
    """Return every other system against the baseline, metric by metric.

    The p-values of one metric are corrected for the number of systems; metrics
    are read one by one, so choose the one that decides beforehand.

    Raises:
        InvalidRequest: as `compare`.
    """
    name, evaluation = baseline
    found = {
        other: compare(
            evaluation,
            each,
            seed=seed,
            resamples=resamples,
            metrics=metrics,
            assignments=assignments,
        )
        for other, each in others.items()
    }
    compared = []
    for i in range(len(metrics) if found else 0):
        of_metric = {other: differences[i] for other, differences in found.items()}
        corrected = holm([each.p_value for each in of_metric.values()])
        compared += [
            Comparison(other, name, difference, p_holm)
            for (other, difference), p_holm in zip(of_metric.items(), corrected, strict=True)
        ]
    return tuple(compared)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values that bound the chance of any false finding, in the given order.

    The i-th smallest of m becomes max over j <= i of (m - j + 1) p_(j), at most 1: Holm, "A simple
    sequentially rejective multiple test procedure", 1979.
    """
    values: Values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return tuple(corrected.tolist())


def _check(a: Evaluation, b: Evaluation, metrics: Sequence[str]) -> None:
    if a.per_query.queries != b.per_query.queries:
        raise InvalidRequest.of(
            "evaluations", "are of different queries; evaluate both rankers on the same lists"
        )
    # Documents may come in another order, but pairs of a query are what they are.
    if (
        a.rules != b.rules
        or a.per_query.judgments != b.per_query.judgments
        or (a.per_query.pairs.all != b.per_query.pairs.all).any()
    ):
        raise InvalidRequest.of(
            "evaluations",
            "are of different candidates, grades or rules; evaluate both rankers alike",
        )
    known = (*a.per_query.measures, "pair_accuracy", "log_pnr")
    for metric in metrics:
        if metric not in known:
            raise InvalidRequest.of(
                "metrics", f'"{metric}" is not compared; there are {", ".join(known)}'
            )
