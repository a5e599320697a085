"""The arm's ranker, or the champion in its place, within one deadline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
import structlog
from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.traffic.deadlines import Deadline
from ranklift.traffic.pages import FALLBACK_REASONS, BadReply, check_reply
from ranklift.traffic.pools import PoolOpen
from ranklift.traffic.upstreams import NotLoaded
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.errors import Unreachable
from ranklift.v1.requests import Texts

log = structlog.get_logger(__name__)

Failure = aio.AioRpcError | NotLoaded | PoolOpen | BadReply
# The same, for those who catch.
FAILURES = (aio.AioRpcError, NotLoaded, PoolOpen, BadReply)

_REASONS = {
    grpc.StatusCode.UNAVAILABLE: pb.FALLBACK_REASON_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: pb.FALLBACK_REASON_UNAVAILABLE,  # by a ranker that stops
    grpc.StatusCode.DEADLINE_EXCEEDED: pb.FALLBACK_REASON_DEADLINE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: pb.FALLBACK_REASON_OVERLOADED,
    grpc.StatusCode.NOT_FOUND: pb.FALLBACK_REASON_NOT_LOADED,
}
NO_CHAMPION = "there is no champion; set one with ModelService.SetChampion"


class Rankers(Protocol):
    """Ranks with a model version, wherever it is loaded."""

    async def rank(
        self,
        model: ModelRef,
        request: pb.RankRequest,
        timeout_seconds: float,
        experiment: str = "",
        *,
        last_resort: bool = False,
    ) -> pb.RankResponse:
        """Rank with one version, for a call that belongs to `experiment` or, when "", to none.

        With `last_resort` nobody steps in when this fails, so that nothing is left untried.

        Raises:
            NotLoaded: it is loaded nowhere.
            PoolOpen: its rankers keep failing, and are left alone; never with `last_resort`.
            grpc.aio.AioRpcError: the ranker's status.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was found right: `documents` are its own, as validation read them, and
    `experiment` is the one that it belongs to, "" for none."""

    request: pb.RankRequest
    documents: Sequence[Texts]
    experiment: str = ""


async def rank_with_fallback(
    rankers: Rankers,
    asked: Asked,
    *,
    model: ModelRef | None,
    champion: ModelRef | None,
    deadline: Deadline,
) -> pb.RankResponse:
    """Return the ranking by `model`, else by the champion, with the reason on the reply.

    Raises:
        Unreachable: there is no champion, or the last version is loaded in no ranker.
        grpc.aio.AioRpcError: the last ranker's status, or the arm's when it finds
            the request at fault.
        BadReply: the last ranker's reply is no ranking of the request.
    """
    if model is None:
        raise Unreachable.of("", f"the unit is in no experiment and {NO_CHAMPION}")
    if champion == model:
        return await ask_last(rankers, model, asked, deadline)
    budget = deadline.budget_seconds(fallback=champion is not None)
    try:
        return await ask(rankers, model, asked, budget, last_resort=champion is None)
    except FAILURES as error:
        reason = fallback_reason(error)
        if reason is None:
            raise
        name = FALLBACK_REASONS[reason]
        log.warning("ranker_failed", model=str(model), reason=name, error=line(error))
        if champion is None:
            raise Unreachable.of(
                "", f"the ranker of {model} failed ({name}) and {NO_CHAMPION}"
            ) from error
    reply = await ask_last(rankers, champion, asked, deadline)
    reply.fallback_reason = reason
    return reply


def fallback_reason(error: Failure) -> pb.FallbackReason.ValueType | None:
    """Return why the champion steps in for a ranker that failed so, None when it does not."""
    if isinstance(error, NotLoaded):
        return pb.FALLBACK_REASON_NOT_LOADED
    if isinstance(error, PoolOpen):
        return pb.FALLBACK_REASON_UNAVAILABLE
    if isinstance(error, BadReply):
        return pb.FALLBACK_REASON_ERROR
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        # The request is at fault: the champion would only say the same.
        return None
    return _REASONS.get(error.code(), pb.FALLBACK_REASON_ERROR)


async def ask_last(
    rankers: Rankers, model: ModelRef, asked: Asked, deadline: Deadline
) -> pb.RankResponse:
    """Return the ranking by the version after which nobody is left to ask; raises as
    `rank_with_fallback`."""
    try:
        budget = deadline.budget_seconds(fallback=False)
        return await ask(rankers, model, asked, budget, last_resort=True)
    except NotLoaded as error:
        raise Unreachable.of("", str(error)) from error


async def ask(
    rankers: Rankers,
    model: ModelRef,
    asked: Asked,
    budget_seconds: float,
    *,
    last_resort: bool = False,
) -> pb.RankResponse:
    """Return the ranking by one version, checked.

    Raises:
        grpc.aio.AioRpcError, NotLoaded, PoolOpen, BadReply: it failed.
    """
    reply = await rankers.rank(
        model, asked.request, budget_seconds, asked.experiment, last_resort=last_resort
    )
    check_reply(asked.documents, reply, model)
    # These are the gateway's to say, whatever a ranker puts there.
    reply.ClearField("impression_id")
    reply.ClearField("assignments")
    reply.ClearField("fallback_reason")
    return reply


def line(error: Failure) -> str:
    return (error.details() or "") if isinstance(error, aio.AioRpcError) else str(error)
