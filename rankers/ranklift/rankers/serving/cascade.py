"""Serving a cascade: the second stage ranks as many of the best as there is time for.

Time is the plan's budget, and the call's deadline when that is shorter. What
does not fit keeps the first stage's order, and the reply says how many fitted.
A second stage that fails is another matter: then the call fails. Half an answer
from a broken model would pass for a whole one in every log and report.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from ranklift.rankers.artefacts import CascadePlan
from ranklift.rankers.base import Scores
from ranklift.rankers.cascade import best, cut_by_either, merged
from ranklift.rankers.serving.admission import MARGIN_SHARE
from ranklift.rankers.serving.queue import weight
from ranklift.rankers.serving.stages import Asked, Scoring, Stage
from ranklift.v1.errors import Expired, InvalidRequest, Overloaded

# The rest is for the reply.
RANKING_SHARE = 0.9


async def cascade_scores(
    plan: CascadePlan, stages: Sequence[Stage], scoring: Scoring, asked: Asked
) -> Scores:
    """Return the scores of a call; those of the first stage when the second ranked nothing.

    Raises:
        Overloaded, InvalidRequest, Expired: the first stage's.
        NotFinite: a score of either stage is not finite.
    """
    cheap, dear = stages
    first = await scoring.scores(cheap, asked)
    time_given = plan.budget_ms / 1_000
    if asked.expires is not None:
        time_given = min(time_given, asked.expires - asked.arrived)
    ends = asked.arrived + RANKING_SHARE * time_given
    top = best(first.values, plan.top_k)
    chosen = asked.only([asked.documents[i] for i in top])
    second = await _as_many_as_fit(dear, scoring, chosen, ends)
    if second is None:
        return first
    again = top[: second.reranked]
    return replace(
        second,
        values=merged(first.values, again, second.values),
        tokens=first.tokens + second.tokens,
        truncated=cut_by_either(first.truncated, again, second.truncated),
        tokenize_seconds=first.tokenize_seconds + second.tokenize_seconds,
        inference_seconds=first.inference_seconds + second.inference_seconds,
    )


async def _as_many_as_fit(
    stage: Stage, scoring: Scoring, asked: Asked, ends: float
) -> Scores | None:
    """Return the scores of the first documents, None when none is there by `ends`."""
    left = ends - time.perf_counter()
    if left <= 0:
        return None
    try:
        # A forecast may err. This does not: whoever is late is not waited for.
        async with asyncio.timeout(left):
            tokenized = await scoring.tokenized(stage, asked)
            encoded = tokenized.encoded
            count = _affordable(stage, scoring, encoded.pairs, ends)
            if not count:
                return None
            pairs = encoded.pairs[:count]
            answered = await scoring.scheduler.score(stage.ranker, stage.cost, pairs, ends)
    except (TimeoutError, Overloaded, Expired):
        return None
    return Scores(
        values=answered.values,
        tokens=sum(pair.tokens for pair in pairs),
        truncated=tuple(i for i in encoded.truncated if i < count),
        tokenize_seconds=tokenized.seconds,
        inference_seconds=answered.inference_seconds,
        reranked=count,
    )


def _affordable(stage: Stage, scoring: Scoring, pairs: Sequence[Any], ends: float) -> int:
    """Return how many of the first `pairs` will be scored by `ends`, as forecast."""
    tokens = list(accumulate(map(weight, pairs)))

    def admitted(count: int) -> bool:
        try:
            scoring.scheduler.admit(stage.cost, tokens[count - 1], ends)
        except (Overloaded, Expired, InvalidRequest):
            return False
        return True

    def fits(count: int) -> bool:
        left = ends - time.perf_counter()
        needed = stage.cost.seconds(tokens[count - 1]) * (1 + MARGIN_SHARE)
        return needed <= left and admitted(count)

    counts = range(1, len(pairs) + 1)
    count = bisect_left(counts, True, key=lambda count: not fits(count))
    # An idle machine admits what it ever was quick enough for. A forecast that is too high is
    # mended by what is observed, and without this there would be nothing to observe.
    return count or int(admitted(1))
