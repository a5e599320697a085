"""Documents that stand for "not relevant", where people judged little but what is.

Three sources. **Lexical** ones are drawn from the first stage's best candidates, e.g. BM25's:
alike in words. **Hard** ones are those that a model scores highest: what it confuses.
**Random** ones are drawn from all documents: what is plainly about something else.

The danger is a document that nobody judged and that is relevant all the same. Where a model's
scores are known, a document it scores too near the positives is taken from no source:

    absolute margin   s(d) <  min s(positives) - margin
    relative margin   s(d) <  p - margin * |p|,  p = min s(positives)

with the lowest of a query's positives, so that the margin holds for every pair of positive and
negative in the list. The two margins are those of Moreira et al., "NV-Retriever" (2024, arXiv
2407.15831, section 4: TopK-MarginPos and TopK-PercPos); |p| keeps the relative one a margin for
logits below 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from ranklift.clicks.keys import hash_id
from ranklift.rankers.base import RankingList
from ranklift.rankers.data.judged import Judged
from ranklift.v1.errors import Violation, refuse_if_any

ModelScores = Mapping[str, Mapping[str, float]]  # by query id, then document id


@dataclass(frozen=True, slots=True)
class Mix:
    """How many negatives of each source a query gets, at most.

    Lexical ones are drawn from the first `depth` candidates. `margin`, at least 0, is how far
    below the lowest positive a model's score must lie.
    """

    lexical: int = 4
    hard: int = 0
    random: int = 1
    depth: int = 100
    margin: float = 0.0
    margin_kind: Literal["absolute", "relative"] = "absolute"


@dataclass(frozen=True, slots=True)
class Negatives:
    """The negatives by query id, for every query that has a positive.

    `doubtful` counts the documents that were no negatives for being scored too near the
    positives, `short` how many negatives the sources could not give.
    """

    by_query: Mapping[str, tuple[str, ...]]
    doubtful: int
    short: int


def negatives(
    judged: Judged, mix: Mix, *, scores: ModelScores | None = None, seed: int = 0
) -> Negatives:
    """Return the negatives of every query with a positive: hard, lexical, then random ones.

    No document is one twice, and none has a grade above 0. The choice for a query depends on the
    seed, the query's id, which are its first candidates, its scores, and which documents there
    are; on no order, nor on other queries.

    Raises:
        InvalidRequest: the mix is out of range, or asks for hard negatives and `scores` lack a
            query or one of its positives, or hold what is not finite.
    """
    _check(mix, scores)
    everything = sorted(judged.documents)
    violations: list[Violation] = []
    chosen: dict[str, tuple[str, ...]] = {}
    doubtful = 0
    for query_id, grades in judged.grades.items():
        positives = {document_id for document_id, grade in grades.items() if grade > 0}
        if not positives:
            continue
        of_query = (scores or {}).get(query_id, {})
        if scores is not None and (fault := _fault(of_query, positives, judged)):
            violations.append(Violation(f'scores["{query_id}"]', fault))
            continue
        bar = _bar(mix, [of_query[d] for d in positives]) if scores is not None else np.inf
        # What people judged not relevant is not, whatever a model says.
        doubted = {d for d, s in of_query.items() if s >= bar and d not in grades}
        chosen[query_id] = _of_query(
            f"{seed}:{query_id}",
            mix,
            of_query,
            judged.candidates.get(query_id, ()),
            everything,
            positives | doubted,
        )
        doubtful += len(doubted)
    refuse_if_any(violations)
    wanted = len(chosen) * (mix.lexical + mix.hard + mix.random)
    return Negatives(chosen, doubtful, wanted - sum(map(len, chosen.values())))


def training_lists(judged: Judged, chosen: Negatives) -> list[RankingList]:
    """Return for each query with negatives its judged documents and the negatives, by id."""
    return [
        judged.list_of(query_id, sorted({*judged.grades[query_id], *of_query}))
        for query_id, of_query in chosen.by_query.items()
    ]


def _of_query(
    key: str,
    mix: Mix,
    scores: Mapping[str, float],
    candidates: Sequence[str],
    everything: Sequence[str],
    excluded: set[str],
) -> tuple[str, ...]:
    hardest = sorted(scores.keys() - excluded, key=lambda d: (-scores[d], d))[: mix.hard]
    taken = excluded | set(hardest)
    pool = sorted(set(candidates[: mix.depth]) - taken)
    lexical = _drawn(pool, mix.lexical, set(), f"lexical:{key}")
    taken |= set(lexical)
    return (*hardest, *lexical, *_drawn(everything, mix.random, taken, f"random:{key}"))


def _drawn(pool: Sequence[str], count: int, excluded: set[str], key: str) -> list[str]:
    """Return `count` of the pool that are not excluded, or all where there are fewer."""
    # Among so many different ones, `count` are not excluded.
    enough = min(len(pool), count + len(excluded)) if count else 0
    if not enough:
        return []
    rng = np.random.default_rng(hash_id(f"negatives:{key}"))
    drawn = (pool[place] for place in rng.choice(len(pool), enough, replace=False))
    return list(islice((d for d in drawn if d not in excluded), count))


def _bar(mix: Mix, positives: Sequence[float]) -> float:
    lowest = min(positives)
    return lowest - mix.margin * (abs(lowest) if mix.margin_kind == "relative" else 1.0)


def _fault(scores: Mapping[str, float], positives: set[str], judged: Judged) -> str | None:
    missing = sorted(positives - scores.keys())
    if missing:
        return (
            f'lack {len(missing)} of {len(positives)} positives, "{missing[0]}" first; '
            "score what is relevant too: negatives are measured against it"
        )
    strange = sorted(scores.keys() - judged.documents.keys())
    if strange:
        return f'score "{strange[0]}", which is no document of the collection'
    wrong = sorted(d for d, score in scores.items() if not math.isfinite(score))
    return f'are not finite for "{wrong[0]}"; the model is broken' if wrong else None


def _check(mix: Mix, scores: ModelScores | None) -> None:
    violations = [
        Violation(name, f"is {value}, must be at least 0")
        for name in ("lexical", "hard", "random", "margin")
        if not (value := getattr(mix, name)) >= 0
    ]
    if mix.depth < 1:
        violations.append(Violation("depth", f"is {mix.depth}, must be at least 1"))
    if scores is None and (mix.hard or mix.margin):
        violations.append(
            Violation("hard" if mix.hard else "margin", "needs a model's scores; give them")
        )
    refuse_if_any(violations)
