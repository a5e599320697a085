"""What experiments leave behind, and what they say together: means, paired differences, claims.

A result is one system measured once: on one seed of the synthetic world, or on
one fold of a collection. Every interval is over these units, never over
queries: with Student's t, since units are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from scipy import stats

from ranklift.v1.errors import InvalidRequest

if TYPE_CHECKING:
    from ranklift.rankers.evaluation import Evaluation

LEVEL = 0.95
PNR, LOG_PNR, PAIR_ACCURACY = "pnr", "log_pnr", "pair_accuracy"
NDCG_5, NDCG_10 = "ndcg@5", "ndcg@10"


@dataclass(frozen=True, slots=True)
class Result:
    """One system measured on one unit, "seed 3" or "fold 1"; `figures` by metric."""

    system: str
    unit: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a figure over units with its 95 % t interval; one unit alone has no interval."""

    value: float
    lower: float | None
    upper: float | None
    units: int


@dataclass(frozen=True, slots=True)
class Paired:
    """How much `better` exceeds `other` in `metric`, unit by unit, and on average."""

    better: str
    other: str
    metric: str
    differences: Mapping[str, float]
    mean: Mean


@dataclass(frozen=True, slots=True)
class Claim:
    """What a paper says: `better` exceeds each of `others` in each of `metrics`."""

    sentence: str
    better: str
    others: tuple[str, ...]
    metrics: tuple[str, ...] = (LOG_PNR, PAIR_ACCURACY, NDCG_5)


class Verdict(StrEnum):
    """What results say of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NOT_SHOWN = "not shown at these sizes"


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim, every comparison that it makes, and what they come to."""

    claim: Claim
    comparisons: tuple[Paired, ...]
    verdict: Verdict


def figures_of(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of an evaluation that tables show."""
    return {
        PNR: evaluation.pnr.value,
        LOG_PNR: math.log(evaluation.pnr.value),
        PAIR_ACCURACY: evaluation.pair_accuracy.value,
        NDCG_5: evaluation.ndcg[5].value,
        NDCG_10: evaluation.ndcg[10].value,
    }


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of one value a unit, at least one, with its interval."""
    count = len(values)
    value = math.fsum(values) / count
    if count == 1:
        return Mean(value, None, None, 1)
    variance = math.fsum((each - value) ** 2 for each in values) / (count - 1)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * math.sqrt(variance / count)
    return Mean(value, value - reach, value + reach, count)


def by_unit(results: Iterable[Result], system: str, metric: str) -> dict[str, float]:
    """Return a system's figure by unit.

    Raises:
        InvalidRequest: the system was not measured, or twice on one unit.
    """
    found: dict[str, float] = {}
    for result in results:
        if result.system != system:
            continue
        if result.unit in found:
            raise InvalidRequest.of(
                "results", f'"{system}" is there twice on {result.unit}; keep one of them'
            )
        found[result.unit] = result.figures[metric]
    if not found:
        raise InvalidRequest.of("results", f'"{system}" was not measured')
    return found


def mean(results: Iterable[Result], system: str, metric: str) -> Mean:
    """Return a system's figure over all its units."""
    return mean_of(list(by_unit(results, system, metric).values()))


def paired(results: Sequence[Result], better: str, other: str, metric: str) -> Paired:
    """Return `better` minus `other` on the same units: what makes a unit hard cancels.

    Raises:
        InvalidRequest: the two were measured on different units.
    """
    first, second = by_unit(results, better, metric), by_unit(results, other, metric)
    if first.keys() != second.keys():
        lacking = ", ".join(sorted(first.keys() ^ second.keys()))
        raise InvalidRequest.of(
            "results", f'"{better}" and "{other}" are not both measured on {lacking}; go on first'
        )
    differences = {unit: first[unit] - second[unit] for unit in first}
    return Paired(better, other, metric, differences, mean_of(list(differences.values())))


def judge(claim: Claim, results: Sequence[Result]) -> Judged:
    """Return what the results say of a claim.

    It holds when every comparison's interval lies above 0. It does not hold
    when one lies at or below 0. Otherwise it is not shown: the sizes, or the
    units, are too few to tell.
    """
    comparisons = tuple(
        paired(results, claim.better, other, metric)
        for other in claim.others
        for metric in claim.metrics
    )
    means = [each.mean for each in comparisons]
    if all(each.lower is not None and each.lower > 0 for each in means):
        verdict = Verdict.HOLDS
    elif any(each.upper is not None and each.upper <= 0 for each in means):
        verdict = Verdict.DOES_NOT_HOLD
    else:
        verdict = Verdict.NOT_SHOWN
    return Judged(claim, comparisons, verdict)
