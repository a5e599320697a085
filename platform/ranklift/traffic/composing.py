"""How the page of an arm is made: ranked, or several rankings interleaved; then explored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from ranklift.events.values import InterleavedPage
from ranklift.store.values import Exploration, Interleaving, InterleavingMethod, ModelRef
from ranklift.traffic.deadlines import Deadline
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.exploration import Explored, disturb
from ranklift.traffic.fallback import (
    FAILURES,
    NO_CHAMPION,
    Asked,
    Failure,
    Rankers,
    ask,
    ask_last,
    fallback_reason,
    line,
    rank_with_fallback,
)
from ranklift.traffic.interleaving import interleave
from ranklift.traffic.interleaving.values import NO_TEAM
from ranklift.traffic.pages import FALLBACK_REASONS
from ranklift.traffic.routing import Route
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.errors import Unreachable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Composed:
    """The page to show, and how it came about."""

    reply: pb.RankResponse
    interleaving: InterleavedPage | None = None
    explored: Explored | None = None


async def compose(
    rankers: Rankers,
    asked: Asked,
    route: Route,
    *,
    champion: ModelRef | None,
    deadline: Deadline,
    impression_id: str,
) -> Composed:
    """Return the page that a route makes of a request; raises as `rank_with_fallback`."""
    if route.interleaving is None:
        reply = await rank_with_fallback(
            rankers, asked, model=route.model, champion=champion, deadline=deadline
        )
        composed = Composed(reply)
    else:
        composed = await _interleaved(
            rankers, asked, route.interleaving, champion, deadline, impression_id
        )
    if route.exploration is not None:
        return _explored(composed, route.exploration, KeyedDraws(f"exploration:{impression_id}"))
    return composed


async def _interleaved(
    rankers: Rankers,
    asked: Asked,
    interleaving: Interleaving,
    champion: ModelRef | None,
    deadline: Deadline,
    impression_id: str,
) -> Composed:
    """Ask all models at once; whoever answers in time is on the page."""
    budget = deadline.budget_seconds(fallback=champion is not None)
    everything = asked
    if asked.request.top_n:
        whole = pb.RankRequest()
        whole.CopyFrom(asked.request)
        whole.top_n = 0
        everything = replace(asked, request=whole)
    replies: dict[int, pb.RankResponse] = {}
    failures: list[Failure] = []
    answers = await asyncio.gather(
        *(ask(rankers, model, everything, budget) for model in interleaving.models),
        return_exceptions=True,
    )
    for i, answer in enumerate(answers):
        if isinstance(answer, pb.RankResponse):
            replies[i] = answer
        elif isinstance(answer, FAILURES):
            failures.append(answer)
            log.warning("ranking_missing", model=str(interleaving.models[i]), error=line(answer))
        else:
            raise answer
    models = [str(model) for model in interleaving.models]
    if not replies:
        return await _without_any(
            rankers, asked, interleaving, models, failures, champion, deadline
        )
    documents = len(asked.documents)
    made = await _in_background(
        interleaving.method,
        {i: _ranking(reply, documents) for i, reply in replies.items()},
        models,
        min(asked.request.top_n or documents, documents),
        KeyedDraws(f"{asked.experiment}/interleaving:{impression_id}"),
    )
    return Composed(_merged(asked, replies, made[0]), made[1])


async def _in_background(
    method: InterleavingMethod,
    rankings: dict[int, list[int]],
    models: Sequence[str],
    shown: int,
    draws: KeyedDraws,
) -> tuple[tuple[int, ...], InterleavedPage]:
    if method is InterleavingMethod.OPTIMIZED:  # some milliseconds, others answer meanwhile
        return await asyncio.to_thread(interleave, method, rankings, models, shown, draws)
    return interleave(method, rankings, models, shown, draws)


async def _without_any(
    rankers: Rankers,
    asked: Asked,
    interleaving: Interleaving,
    models: Sequence[str],
    failures: Sequence[Failure],
    champion: ModelRef | None,
    deadline: Deadline,
) -> Composed:
    """Return the champion's ranking in place of all others."""
    reasons = [fallback_reason(failure) for failure in failures]
    if None in reasons:
        raise failures[reasons.index(None)]
    reason = reasons[0] or pb.FALLBACK_REASON_ERROR
    if champion is None:
        name = FALLBACK_REASONS[reason]
        raise Unreachable.of(
            "", f"the rankers of {', '.join(models)} failed ({name}) and {NO_CHAMPION}"
        ) from failures[0]
    reply = await ask_last(rankers, champion, asked, deadline)
    reply.fallback_reason = reason
    return Composed(
        reply,
        InterleavedPage(
            method=str(interleaving.method),
            models=tuple(models),
            teams=(NO_TEAM,) * len(reply.results),
            ranks=((),) * len(models),
            missing=tuple(models),
        ),
    )


def _ranking(reply: pb.RankResponse, documents: int) -> list[int]:
    """Return a ranking of all documents: those that the ranker left out come last, as given."""
    ranking = [result.index for result in reply.results]
    if len(ranking) < documents:
        ranking += sorted(set(range(documents)).difference(ranking))
    return ranking


def _merged(
    asked: Asked, replies: dict[int, pb.RankResponse], order: Sequence[int]
) -> pb.RankResponse:
    """Return the reply that shows `order`, as if the first of the models that answered gave it.

    Scores of several models cannot be compared, and would tell who put a document there: place p
    has the score 1 / p.
    """
    first = replies[min(replies)]
    merged = pb.RankResponse(
        results=[
            pb.RankedDocument(index=index, id=asked.documents[index][0], relevance_score=1 / place)
            for place, index in enumerate(order, start=1)
        ],
        model=first.model,
        timing=first.timing,
        tokens=sum(reply.tokens for reply in replies.values()),
    )
    if asked.request.return_documents:
        for result in merged.results:
            result.document.CopyFrom(asked.request.documents[result.index])
    merged.truncated_document_ids.extend(
        dict.fromkeys(one for reply in replies.values() for one in reply.truncated_document_ids)
    )
    return merged


def _explored(composed: Composed, exploration: Exploration, draws: KeyedDraws) -> Composed:
    """Disturb the order. Scores stay with the places, so that they descend and give nothing away;
    with the logged ranks, a document's own score can still be found."""
    results = list(composed.reply.results)
    scores = tuple(result.relevance_score for result in results)
    ranks = disturb(exploration, scores, draws)
    interleaving = composed.interleaving
    if ranks != tuple(range(1, len(ranks) + 1)):
        shown = [pb.RankedDocument() for _ in ranks]
        for result, rank, score in zip(shown, ranks, scores, strict=True):
            result.CopyFrom(results[rank - 1])
            result.relevance_score = score
        del composed.reply.results[:]
        composed.reply.results.extend(shown)
        if interleaving is not None:
            interleaving = replace(
                interleaving,
                teams=_in_order(interleaving.teams, ranks),
                ranks=tuple(_in_order(one, ranks) if one else () for one in interleaving.ranks),
            )
    return Composed(composed.reply, interleaving, Explored(exploration, scores, ranks))


def _in_order(values: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
    return tuple(values[rank - 1] for rank in ranks)
