"""RankingService over the loaded versions: from a request to the scores of one of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import grpc
from google.protobuf.duration_pb2 import Duration

from ranklift.rankers.base import Scores, Text
from ranklift.rankers.cascade import Cascade
from ranklift.rankers.loaded import Loaded, LoadedVersions
from ranklift.rankers.lru import CacheUse
from ranklift.rankers.serving.cascade import cascade_scores
from ranklift.rankers.serving.options import ServingOptions
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.score_cache import ScoreCache
from ranklift.rankers.serving.stages import Asked, Scoring
from ranklift.v1 import ranking_pb2 as ranking
from ranklift.v1 import ranking_pb2_grpc
from ranklift.v1.errors import Expired
from ranklift.v1.metadata import belongs_to_experiment
from ranklift.v1.requests import validate_rank_request

RANKING_SERVICE = ranking.DESCRIPTOR.services_by_name["RankingService"].full_name


class RankerServicer(ranking_pb2_grpc.RankingServiceServicer):
    """Scores documents with a loaded version, together with those of other requests."""

    def __init__(
        self, versions: LoadedVersions, scheduler: Scheduler, options: ServingOptions
    ) -> None:
        self._versions = versions
        self._scoring = Scoring(scheduler)
        self._limits = options.limits
        self._cache = ScoreCache(options.score_cache_pairs) if options.score_cache_pairs else None
        self._caches_experiments = options.score_cache_in_experiments

    @property
    def score_cache_use(self) -> CacheUse:
        """How the score cache was used; nothing at all without one."""
        return CacheUse() if self._cache is None else self._cache.use

    async def Rank(  # noqa: N802
        self,
        request: ranking.RankRequest,
        context: grpc.aio.ServicerContext[ranking.RankRequest, ranking.RankResponse],
    ) -> ranking.RankResponse:
        arrived = time.perf_counter()
        # None without a deadline, whatever the stubs say.
        remaining: float | None = context.time_remaining()
        return await self.rank(
            request,
            None if remaining is None else arrived + remaining,
            in_experiment=belongs_to_experiment(context),
        )

    async def rank(
        self,
        request: ranking.RankRequest,
        expires: float | None,
        *,
        in_experiment: bool = False,
    ) -> ranking.RankResponse:
        """Answer a request by `expires` (`time.perf_counter`; None without a deadline).

        It is scored by the version that it selects on arrival, whatever is
        loaded or unloaded meanwhile. What cannot be answered in time is refused
        before it is tokenised.

        Raises:
            RequestError: the request is wrong, or cannot be answered in time.
        """
        arrived = time.perf_counter()
        validate_rank_request(request, self._limits)
        asked = Asked(
            request.query,
            tuple(Text(each.id, each.title, each.text) for each in request.documents),
            request.max_tokens_per_document or None,
            arrived,
            expires,
        )
        cached = self._caches_experiments or not in_experiment
        async with self._versions.using(request.model.name, request.model.version) as loaded:
            scores = await self._scores(loaded, asked, self._cache if cached else None)
        reply = response_of(request, loaded, scores, arrived)
        if expires is not None and time.perf_counter() >= expires:
            raise Expired.of("", "the deadline passed before the reply was there")
        return reply

    async def _scores(self, loaded: Loaded, asked: Asked, cache: ScoreCache | None) -> Scores:
        if isinstance(loaded.ranker, Cascade):
            # Never from the cache: what a document gets depends on the list and on the clock.
            return await cascade_scores(loaded.ranker.plan, loaded.stages, self._scoring, asked)

        async def score(some: Sequence[Text]) -> Scores:
            return await self._scoring.scores(loaded.stages[0], asked.only(some))

        if cache is None:
            return await score(asked.documents)
        return await cache.scores(
            loaded.digest, asked.query, asked.documents, asked.max_tokens_per_document, score
        )


def response_of(
    request: ranking.RankRequest, loaded: Loaded, scores: Scores, arrived: float
) -> ranking.RankResponse:
    """Return the reply: best first, equal scores in the order of the request."""
    total = time.perf_counter() - arrived
    # A stable sort on the negated scores keeps the order of equal ones.
    order = (-scores.values).argsort(kind="stable")[: request.top_n or None]
    results = [
        ranking.RankedDocument(
            index=int(i),
            id=request.documents[i].id,
            relevance_score=float(scores.values[i]),
            document=request.documents[i] if request.return_documents else None,
        )
        for i in order
    ]
    return ranking.RankResponse(
        results=results,
        model=ranking.ServedModel(
            name=loaded.model,
            version=loaded.version,
            digest=loaded.digest,
            numerics=loaded.ranker.numerics,
        ),
        timing=ranking.RankTiming(
            queue=_duration(max(total - scores.tokenize_seconds - scores.inference_seconds, 0.0)),
            tokenize=_duration(scores.tokenize_seconds),
            inference=_duration(scores.inference_seconds),
            total=_duration(total),
        ),
        tokens=scores.tokens,
        truncated_document_ids=[request.documents[i].id for i in scores.truncated],
        reranked_documents=scores.reranked,
    )


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(int(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
