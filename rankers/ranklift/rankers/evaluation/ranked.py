"""Measures of rankings, query by query, through ir-measures.

MacAvaney, Macdonald and Ounis, "Streamlining evaluation with ir-measures",
ECIR 2022; most of what it offers is trec_eval's own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ir_measures
import numpy as np
from ir_measures import AP, RR, Judged, P, R, nDCG

from ranklift.rankers.base import RankingList, Values
from ranklift.rankers.evaluation.rules import Measure, Rules

# The grades of one query's judged documents by id, candidates or not.
Judgments = Mapping[str, int]


def ranked_ids(scores: Values, each: RankingList) -> list[str]:
    """Return the ids of a list by descending score; equal scores by ascending id."""
    ids = [document.id for document in each.documents]
    return [ids[j] for j in sorted(range(len(ids)), key=lambda j: (-scores[j], ids[j]))]


def measure_rankings(
    scores: Sequence[Values],
    lists: Sequence[RankingList],
    judgments: Sequence[Judgments],
    rules: Rules,
) -> dict[Measure, Values]:
    """Return each measure's values, shape (queries,), NaN where a query has none.

    A query has no NDCG without a judged document of positive grade, and no
    other measure but `judged` without a relevant one.
    """
    # Ranks instead of scores: the peers would break ties each their own way.
    run = {
        str(i): {id_: float(-rank) for rank, id_ in enumerate(ranked_ids(values, each))}
        for i, (values, each) in enumerate(zip(scores, lists, strict=True))
        if each.documents
    }
    grades = {str(i): dict(judged) for i, judged in enumerate(judgments)}
    longest = max((len(each.documents) for each in lists), default=0)
    found = {}
    peers = {}
    for measure in rules.measures:
        peers[measure] = _peer(measure, rules, grades, longest)
        least = {"judged": 0, "ndcg": 1}.get(measure.name, rules.relevant)
        found[measure] = np.array([_start(measure, judged, least) for judged in grades.values()])
    for name in dict.fromkeys(measure.name for measure in rules.measures):
        # One call a name: the peers' invocations of several do not mix well.
        own = {peers[measure]: measure for measure in rules.measures if measure.name == name}
        for metric in ir_measures.iter_calc(list(own), grades, run):
            values, row = found[own[metric.measure]], int(metric.query_id)
            if not np.isnan(values[row]) or name == "judged":
                values[row] = metric.value
    return found


def _start(measure: Measure, judged: Judgments, least: int) -> float:
    """Return a query's value as long as nothing is found: NaN where nothing can be."""
    if measure.name == "judged":
        return 0.0 if not judged else np.nan
    return 0.0 if any(grade >= least for grade in judged.values()) else np.nan


def _peer(
    measure: Measure, rules: Rules, grades: Mapping[str, Judgments], longest: int
) -> Any:  # ir-measures has no types
    match measure.name:
        case "ndcg":
            gains = {
                grade: _gain(grade, rules) for each in grades.values() for grade in each.values()
            }
            peer = nDCG(gains=gains) if rules.gain == "exponential" else nDCG
        case "mrr":
            peer = RR(rel=rules.relevant)
        case "map":
            peer = AP(rel=rules.relevant)
        case "p":
            peer = P(rel=rules.relevant)
        case "recall":
            peer = R(rel=rules.relevant) @ max(1, measure.cutoff or longest)
            return peer
        case _:
            peer = Judged
    return peer if measure.cutoff is None else peer @ measure.cutoff


def _gain(grade: int, rules: Rules) -> int:
    return grade if rules.gain == "linear" else 2**grade - 1
