"""The queries that a system serves worst: where to look first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Worst:
    """A query by its row, with the value of the measure."""

    row: int
    value: float


def worst_queries(evaluation: Evaluation, measure: str, count: int) -> Sequence[Worst]:
    """Return the queries with the lowest values; equal ones by the share of pairs in the right
    order, then in their order. Queries without a value are left out."""
    values = evaluation.per_query.measures[measure]
    right = np.nan_to_num(evaluation.per_query.pair_accuracy(evaluation.rules.ties), nan=1.0)
    order = np.lexsort((right, values))  # NaN comes last
    known = int((~np.isnan(values)).sum())
    return [Worst(int(row), float(values[row])) for row in order[: min(count, known)]]
