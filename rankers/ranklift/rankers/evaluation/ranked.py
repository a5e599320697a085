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
    for measure in rules.measures:
        # A query of which the peer says nothing has found nothing.
        values = np.zeros(len(lists))
        peer = _peer(measure, rules, grades, longest)
        for metric in ir_measures.iter_calc([peer], grades, run):
            values[int(metric.query_id)] = metric.value
        least = {"judged": 0, "ndcg": 1}.get(measure.name, rules.relevant)
        defined = [max(judged.values(), default=0) >= least for judged in judgments]
        found[measure] = np.where(defined, values, np.nan)
    return found


def _peer(
    measure: Measure, rules: Rules, grades: Mapping[str, Judgments], longest: int
) -> Any:  # ir-measures has no types
    # Its recall needs a cutoff: that of the longest list reads all of every list.
    cutoff = measure.cutoff or (max(1, longest) if measure.name == "recall" else None)
    peer = {
        "ndcg": _ndcg(rules, grades),
        "mrr": RR(rel=rules.relevant),
        "map": AP(rel=rules.relevant),
        "p": P(rel=rules.relevant),
        "recall": R(rel=rules.relevant),
        "judged": Judged,
    }[measure.name]
    return peer if cutoff is None else peer @ cutoff


def _ndcg(rules: Rules, grades: Mapping[str, Judgments]) -> Any:
    if rules.gain == "linear":
        return nDCG
    return nDCG(gains={g: 2**g - 1 for judged in grades.values() for g in judged.values()})
