"""A ranker, or its scores, on judged lists: figures with their intervals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.base import ListRanker, Ranker, RankingList, SizedP, Values, score_texts
from ranklift.rankers.evaluation.pairs import count_pairs
from ranklift.rankers.evaluation.per_query import PerQuery, by_cutoff, ratio_of, rows_of
from ranklift.rankers.evaluation.ranked import Judgments, measure_rankings
from ranklift.rankers.evaluation.ratios import RESAMPLES, Estimate, estimates
from ranklift.rankers.evaluation.rules import Rules
from ranklift.v1.errors import InvalidRequest

DEFAULT_RULES = Rules()
# 2^y - 1 of a higher grade leaves nothing for the others to say.
_HIGHEST_EXPONENT = 20
_PAIR_FIGURES = ("pnr", "pnr_unsmoothed", "pair_accuracy")
_JUDGED_FIGURES = ("judged_pnr", "judged_pair_accuracy")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a ranker orders judged lists; `tied` is the share of tied pairs.

    `pnr` is pooled and smoothed, `pnr_unsmoothed` the plain C / D: infinite
    when nothing is in the wrong order. The figures of the `judged_pairs` pairs
    leave out pairs with a document that nobody judged; without any they are
    None. `measures` are means over the queries that have them, by name
    ("ndcg@10"), `measured` the number of these queries.
    """

    queries: int
    pairs: int
    tied: float
    pnr: Estimate
    pnr_unsmoothed: Estimate
    pair_accuracy: Estimate
    judged_pairs: int
    judged_pnr: Estimate | None
    judged_pair_accuracy: Estimate | None
    measures: Mapping[str, Estimate]
    measured: Mapping[str, int]
    rules: Rules
    per_query: PerQuery

    @property
    def ndcg(self) -> Mapping[int, Estimate]:
        """NDCG by cutoff."""
        return by_cutoff(self.measures)


def evaluate(
    ranker: Ranker[SizedP] | ListRanker,
    lists: Sequence[RankingList],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    rules: Rules = DEFAULT_RULES,
    judgments: Sequence[Judgments] | None = None,
) -> Evaluation:
    """Return how well `ranker` orders `lists`, whose targets are grades: whole, at least 0.

    Arguments and errors as of `evaluate_scores`.
    """
    scores = [score_texts(ranker, each.query, each.documents).values for each in lists]
    return evaluate_scores(
        scores, lists, seed=seed, resamples=resamples, rules=rules, judgments=judgments
    )


def evaluate_scores(
    scores: Sequence[Values],
    lists: Sequence[RankingList],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    rules: Rules = DEFAULT_RULES,
    judgments: Sequence[Judgments] | None = None,
) -> Evaluation:
    """Return how well `scores`, one array of shape (documents,) per list, order `lists`.

    `judgments` holds for each list the grades of all documents that were judged
    for its query, candidates or not: the ideal ranking, recall and the judged
    share then know them. Without, the lists are taken as judged throughout and
    as all there is to find.

    Raises:
        InvalidRequest: no lists, a document twice in one, no two documents of a
            query with different grades, grades that are none or contradict
            `judgments`, scores that are missing or not finite, or rules that do
            not suit the grades.
    """
    _check_lists(lists)
    _check_scores(scores, lists)
    if judgments is None:
        judgments = [_own_judgments(each) for each in lists]
    else:
        _check_judgments(lists, judgments)
    _check_rules(rules, judgments)
    grades = [np.array(each.targets) for each in lists]
    judged = [
        np.array([document.id in known for document in each.documents], bool)
        for each, known in zip(lists, judgments, strict=True)
    ]
    per_query = PerQuery(
        queries=tuple(each.query for each in lists),
        pairs=rows_of([count_pairs(s, g) for s, g in zip(scores, grades, strict=True)]),
        judged_pairs=rows_of(
            [count_pairs(s[j], g[j]) for s, g, j in zip(scores, grades, judged, strict=True)]
        ),
        measures={
            str(measure): values
            for measure, values in measure_rankings(scores, lists, judgments, rules).items()
        },
        judgments=_digest(judgments),
    )
    return _summary(per_query, rules, seed, resamples)


def best_order(
    lists: Sequence[RankingList],
    *,
    rules: Rules = DEFAULT_RULES,
    judgments: Sequence[Judgments] | None = None,
) -> Evaluation:
    """Return what a ranker would reach that knew the grades: the ceiling of these candidates.

    Raises:
        InvalidRequest: as `evaluate_scores`.
    """
    scores = [np.array(each.targets, np.float64) for each in lists]
    return evaluate_scores(scores, lists, resamples=1, rules=rules, judgments=judgments)


def _summary(per_query: PerQuery, rules: Rules, seed: int, resamples: int) -> Evaluation:
    pairs, tied = per_query.pairs.all.sum(), per_query.tied.sum()
    if not pairs:
        raise InvalidRequest.of(
            "lists", "no query has two documents of different grades; judge more documents"
        )
    names = [*_PAIR_FIGURES, *per_query.measures]
    judged_pairs = int(per_query.judged_pairs.all.sum())
    if judged_pairs:
        names += _JUDGED_FIGURES
    ratios = [ratio_of(per_query, name, rules.ties) for name in names]
    found = dict(zip(names, estimates(ratios, seed=seed, resamples=resamples), strict=True))
    return Evaluation(
        queries=len(per_query.queries),
        pairs=int(pairs),
        tied=float(tied / pairs),
        pnr=found["pnr"],
        pnr_unsmoothed=found["pnr_unsmoothed"],
        pair_accuracy=found["pair_accuracy"],
        judged_pairs=judged_pairs,
        judged_pnr=found.get("judged_pnr"),
        judged_pair_accuracy=found.get("judged_pair_accuracy"),
        measures={name: found[name] for name in per_query.measures},
        measured={
            name: int((~np.isnan(values)).sum()) for name, values in per_query.measures.items()
        },
        rules=rules,
        per_query=per_query,
    )


def _digest(judgments: Sequence[Judgments]) -> str:
    known = [sorted(each.items()) for each in judgments]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _own_judgments(each: RankingList) -> Judgments:
    return {
        document.id: int(grade)
        for document, grade in zip(each.documents, each.targets, strict=True)
    }


def _check_lists(lists: Sequence[RankingList]) -> None:
    if not lists:
        raise InvalidRequest.of("lists", "there is nothing to evaluate on; give at least one list")
    for i, each in enumerate(lists):
        if any(not grade >= 0 or grade % 1 for grade in each.targets):
            raise InvalidRequest.of(
                f"lists[{i}].targets", "must be grades: whole numbers of at least 0"
            )
        ids = [document.id for document in each.documents]
        if len(set(ids)) < len(ids):
            twice = next(id_ for i, id_ in enumerate(ids) if id_ in ids[:i])
            raise InvalidRequest.of(
                f"lists[{i}].documents", f'"{twice}" is there twice; keep one of them'
            )


def _check_scores(scores: Sequence[Values], lists: Sequence[RankingList]) -> None:
    if len(scores) != len(lists):
        raise InvalidRequest.of("scores", f"are of {len(scores)} lists, must be of {len(lists)}")
    for i, (values, each) in enumerate(zip(scores, lists, strict=True)):
        if values.shape != (len(each.documents),) or not np.isfinite(values).all():
            raise InvalidRequest.of(
                f"scores[{i}]",
                f"must be {len(each.documents)} finite numbers, one a document",
            )


def _check_judgments(lists: Sequence[RankingList], judgments: Sequence[Judgments]) -> None:
    if len(judgments) != len(lists):
        raise InvalidRequest.of(
            "judgments", f"are of {len(judgments)} lists, must be of {len(lists)}"
        )
    for i, (each, judged) in enumerate(zip(lists, judgments, strict=True)):
        if min(judged.values(), default=0) < 0:
            raise InvalidRequest.of(f"judgments[{i}]", "must be grades of at least 0")
        for document, grade in zip(each.documents, each.targets, strict=True):
            if judged.get(document.id, 0) != grade:
                raise InvalidRequest.of(
                    f"judgments[{i}]",
                    f'give "{document.id}" grade {judged.get(document.id, 0)}, '
                    f"its list gives it {grade:g}; grade it once",
                )


def _check_rules(rules: Rules, judgments: Sequence[Judgments]) -> None:
    if rules.relevant < 1:
        raise InvalidRequest.of("relevant", f"is {rules.relevant}, must be at least 1")
    highest = max((max(judged.values(), default=0) for judged in judgments), default=0)
    if 0 < highest < rules.relevant:
        raise InvalidRequest.of(
            "relevant", f"is {rules.relevant}, and no grade is above {highest}; lower it"
        )
    if rules.gain == "exponential" and highest > _HIGHEST_EXPONENT:
        raise InvalidRequest.of(
            "gain", f"2^y - 1 is too much for grade {highest}; take the linear one, or grade anew"
        )
