"""Shadows: versions that score the same request off the user's path, for the log alone.

A shadow is asked once the reply is on its way, under a deadline of its own. No more than some are
asked at a time; what comes beyond is dropped and counted, so that a shadow that hangs holds up
nothing but itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from ranklift.events.values import ShadowScores
from ranklift.store.values import ModelRef
from ranklift.traffic.fallback import FAILURES, Rankers, fallback_reason
from ranklift.traffic.pages import FALLBACK_REASONS, BadReply, check_reply
from ranklift.v1 import ranking_pb2 as pb

log = structlog.get_logger(__name__)

# What rankers are told in place of an experiment: a shadow's latency is measured, so its scores
# must not come from a cache.
EXPERIMENT = "shadow"
INVALID = "invalid_request"


class ShadowLog(Protocol):
    """Records what shadows scored."""

    def submit_shadow(self, shadow: ShadowScores) -> Future[Any]:
        """Take the scores on a page that was submitted before; the future is done when they are
        on disk.

        Raises:
            Exception: they are not taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """A shadow has `timeout_seconds` to answer; at most `in_flight` are asked at a time."""

    timeout_seconds: float = 2.0
    in_flight: int = 64


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A page that was shown: the request, and the indices of its documents in the order shown."""

    impression_id: str
    request: pb.RankRequest
    shown: tuple[int, ...]


class Shadows:
    """Asks shadows and records what they say.

    `counts` gets "shadows" for those that were asked, "shadows_dropped" for those that were not,
    and of the former "shadows_failed", which are recorded too, and "shadows_lost", which are not.
    """

    def __init__(
        self, rankers: Rankers, recorded: ShadowLog, counts: Counter[str], policy: ShadowPolicy
    ) -> None:
        self._rankers = rankers
        self._log = recorded
        self._counts = counts
        self._policy = policy
        self._asking: set[asyncio.Task[None]] = set()
        self._closing = False

    def follow(self, page: Shadowed, shadows: Sequence[ModelRef]) -> None:
        """Have `shadows` score a page that was answered. Returns at once."""
        for model in shadows:
            if self._closing or len(self._asking) >= self._policy.in_flight:
                self._counts["shadows_dropped"] += 1
                continue
            self._counts["shadows"] += 1
            task = asyncio.create_task(self._score(page, model))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def close(self) -> None:
        """Ask no more, and wait for those that were asked; they have a deadline."""
        self._closing = True
        if self._asking:
            _, late = await asyncio.wait(self._asking, timeout=self._policy.timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _score(self, page: Shadowed, model: ModelRef) -> None:
        began = time.perf_counter()
        digest, error = "", ""
        scores: tuple[float, ...] = ()
        try:
            digest, scores = await self._ask(page, model)
        except FAILURES as failure:
            reason = fallback_reason(failure)
            error = INVALID if reason is None else FALLBACK_REASONS[reason]
            self._counts["shadows_failed"] += 1
        shadow = ShadowScores(
            impression_id=page.impression_id,
            model=model.model,
            version=model.version,
            digest=digest,
            scores=scores,
            rank_correlation=kendall_tau_b(scores),
            latency_ms=(time.perf_counter() - began) * 1_000,
            error=error,
        )
        try:
            recording = self._log.submit_shadow(shadow)
        except Exception as failure:
            self._lost(shadow, failure)
        else:
            recording.add_done_callback(partial(self._settle, shadow))

    async def _ask(self, page: Shadowed, model: ModelRef) -> tuple[str, tuple[float, ...]]:
        """Return the digest of the version, and its scores along the order shown."""
        whole = pb.RankRequest()
        whole.CopyFrom(page.request)
        whole.top_n = 0
        whole.return_documents = False
        reply = await self._rankers.rank(model, whole, self._policy.timeout_seconds, EXPERIMENT)
        check_reply([(one.id, "", "") for one in whole.documents], reply, model)
        scored = {result.index: result.relevance_score for result in reply.results}
        try:
            return reply.model.digest, tuple(scored[index] for index in page.shown)
        except KeyError as missing:
            raise BadReply(f"the document at {missing} has no score") from missing

    def _settle(self, shadow: ShadowScores, recording: Future[Any]) -> None:
        error = recording.exception()
        if error is not None:
            self._lost(shadow, error)

    def _lost(self, shadow: ShadowScores, error: BaseException) -> None:
        self._counts["shadows_lost"] += 1
        log.error("shadow_lost", impression_id=shadow.impression_id, error=repr(error))


def kendall_tau_b(scores: Sequence[float]) -> float | None:
    """Return the correlation, in [-1, 1], of an order with what another ranking scores along it.

    Kendall 1945, "The treatment of ties in ranking problems": (C - D) / sqrt(P (P - T)) with C
    concordant and D discordant of all P pairs, T of them tied in the scores; places never tie.
    None for fewer than two scores, or where all of them tie.
    """
    number = len(scores)
    above: list[float] = []
    discordant = concordant = 0
    for score in scores:
        discordant += bisect_left(above, score)  # a lower score, shown above this one
        concordant += len(above) - bisect_right(above, score)
        insort(above, score)
    pairs = number * (number - 1) // 2
    untied = concordant + discordant
    return (concordant - discordant) / math.sqrt(pairs * untied) if untied else None
