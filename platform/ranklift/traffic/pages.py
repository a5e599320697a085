"""What was shown, made from a request and the ranker's reply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from ranklift.events.values import Document, Page, PageAssignment
from ranklift.store.values import ModelRef
from ranklift.traffic.experiments import to_datetime
from ranklift.v1 import ranking_pb2 as pb

FALLBACK_REASONS = {
    pb.FALLBACK_REASON_UNSPECIFIED: "",
    pb.FALLBACK_REASON_UNAVAILABLE: "unavailable",
    pb.FALLBACK_REASON_DEADLINE: "deadline",
    pb.FALLBACK_REASON_NOT_LOADED: "not_loaded",
    pb.FALLBACK_REASON_OVERLOADED: "overloaded",
    pb.FALLBACK_REASON_ERROR: "error",
}


class BadReply(Exception):
    """A ranker's reply is no ranking of the request by the version that was asked."""


def check_reply(request: pb.RankRequest, reply: pb.RankResponse, model: ModelRef) -> None:
    """Make sure that a reply is what the log will say it is.

    Raises:
        BadReply: another version ranked, or a result is no document of the request,
            is there twice, or has no finite score.
    """
    if (reply.model.name, reply.model.version) != (model.model, model.version):
        raise BadReply(f"{model} was asked, {reply.model.name}@{reply.model.version} answered")
    seen: set[int] = set()
    for result in reply.results:
        if not 0 <= result.index < len(request.documents) or result.index in seen:
            raise BadReply(f"result index {result.index} is out of range or there twice")
        if result.id != request.documents[result.index].id:
            raise BadReply(f'result "{result.id}" is not the document at {result.index}')
        if not math.isfinite(result.relevance_score):
            raise BadReply(f'score {result.relevance_score} of "{result.id}" is not finite')
        seen.add(result.index)


def shown_page(
    request: pb.RankRequest,
    reply: pb.RankResponse,
    *,
    impression_id: str,
    assignments: Sequence[PageAssignment],
    latency_ms: float,
) -> tuple[Page, list[Document]]:
    """Return the page that the user sees, and its documents, both in the order shown.

    Raises:
        ValueError: `request_time` is out of range.
    """
    page_time = (
        to_datetime(request.request_time) if request.HasField("request_time") else datetime.now(UTC)
    )
    page = Page(
        impression_id=impression_id,
        page_time=page_time,
        user_id=request.user_id,
        session_id=request.session_id,
        query=request.query,
        documents=tuple(result.id for result in reply.results),
        scores=tuple(result.relevance_score for result in reply.results),
        model=reply.model.name,
        version=reply.model.version,
        digest=reply.model.digest,
        assignments=tuple(assignments),
        fallback_reason=FALLBACK_REASONS[reply.fallback_reason],
        latency_ms=latency_ms,
    )
    shown = (request.documents[result.index] for result in reply.results)
    return page, [Document(one.id, one.title, one.text) for one in shown]


def assignment_message(assignment: PageAssignment) -> pb.Assignment:
    """Return the message of an assignment."""
    return pb.Assignment(
        experiment=assignment.experiment,
        revision=assignment.revision,
        layer=assignment.layer,
        arm=assignment.arm,
        unit_id=assignment.unit_id,
        bucket=assignment.bucket,
    )
