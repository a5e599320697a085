"""How well rankers order judged lists: PNR, pair accuracy and measures of rankings.

Over all pairs of one query with different grades, C are in the right order and
D in the wrong one; tied scores are in neither, or half in each. Pairs are
pooled over queries:

    PNR           = (C + 0.5) / (D + 0.5)
    pair accuracy = (C + 0.5) / (C + D + 1) = PNR / (1 + PNR)
    NDCG@k        = DCG@k / ideal DCG@k,   DCG@k = sum_{r <= k} g(y_r) / log2(r + 1)

The gain g(y) is the grade itself, as in trec_eval, or 2^y - 1; the ideal ranking
covers all judged documents that are known; equal scores rank by document id,
ascending; a query without a relevant document has no NDCG, MRR, MAP, P or recall
and is left out of their means.
"""

from ranklift.rankers.evaluation.comparing import (
    Comparison,
    Difference,
    compare,
    compare_with_baseline,
)
from ranklift.rankers.evaluation.evaluating import (
    Evaluation,
    best_order,
    evaluate,
    evaluate_scores,
)
from ranklift.rankers.evaluation.per_query import PerQuery
from ranklift.rankers.evaluation.ratios import LEVEL, RESAMPLES, Estimate
from ranklift.rankers.evaluation.rules import DEFAULT_MEASURES, Measure, Rules, parse_measures

__all__ = [
    "DEFAULT_MEASURES",
    "LEVEL",
    "RESAMPLES",
    "Comparison",
    "Difference",
    "Estimate",
    "Evaluation",
    "Measure",
    "PerQuery",
    "Rules",
    "best_order",
    "compare",
    "compare_with_baseline",
    "evaluate",
    "evaluate_scores",
    "parse_measures",
]
