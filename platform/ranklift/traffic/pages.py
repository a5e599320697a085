"""What was shown, made from a request and the ranker's reply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from ranklift.events.pseudonyms import Pseudonyms
from ranklift.events.values import Attribute, InterleavedPage, Page, PageAssignment
from ranklift.store.values import ModelRef
from ranklift.traffic.experiments import to_datetime
from ranklift.traffic.exploration import Explored, logged
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.requests import Texts

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


def check_reply(documents: Sequence[Texts], reply: pb.RankResponse, model: ModelRef) -> None:
    """Make sure that a reply is what the log will say it is; `documents` are the request's.

    Raises:
        BadReply: another version ranked, or a result is no document of the request,
            is there twice, or has no finite score.
    """
    if (reply.model.name, reply.model.version) != (model.model, model.version):
        raise BadReply(f"{model} was asked, {reply.model.name}@{reply.model.version} answered")
    seen: set[int] = set()
    for result in reply.results:
        # Each once: reading a field of a message makes a new value.
        index, document_id, score = result.index, result.id, result.relevance_score
        if not 0 <= index < len(documents) or index in seen:
            raise BadReply(f"result index {index} is out of range or there twice")
        if document_id != documents[index][0]:
            raise BadReply(f'result "{document_id}" is not the document at {index}')
        if not math.isfinite(score):
            raise BadReply(f'score {score} of "{document_id}" is not finite')
        seen.add(index)


def shown_page(
    request: pb.RankRequest,
    documents: Sequence[Texts],
    reply: pb.RankResponse,
    *,
    impression_id: str,
    now: datetime,
    assignments: Sequence[PageAssignment],
    forced: Sequence[PageAssignment],
    latency_ms: float,
    interleaving: InterleavedPage | None = None,
    explored: Explored | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> tuple[Page, list[Texts]]:
    """Return the page that the user sees, and its documents, both in the order shown.

    `documents` are the request's. Here, and nowhere else, ids become `pseudonyms`: what serves
    a page knows the ids themselves, and what is recorded does not.

    `now` is its time when the request has none.

    Raises:
        ValueError: `request_time` is out of range.
    """
    results = [(one.index, one.id, one.relevance_score) for one in reply.results]
    page_time = to_datetime(request.request_time) if request.HasField("request_time") else now
    page = Page(
        impression_id=impression_id,
        page_time=page_time,
        user_id=request.user_id,
        session_id=request.session_id,
        query=request.query,
        documents=tuple(document_id for _, document_id, _ in results),
        scores=tuple(score for _, _, score in results),
        model=reply.model.name,
        version=reply.model.version,
        digest=reply.model.digest,
        assignments=tuple(assignments),
        fallback_reason=FALLBACK_REASONS[reply.fallback_reason],
        latency_ms=latency_ms,
        attributes=tuple(Attribute(name, request.attributes[name]) for name in request.attributes),
        forced=tuple(forced),
        interleaving=interleaving,
        exploration=logged(explored) if explored else None,
    )
    if pseudonyms is not None:
        page = pseudonyms.page(page)
    return page, [documents[index] for index, _, _ in results]


def assignment_message(assignment: PageAssignment, *, forced: bool = False) -> pb.Assignment:
    """Return the message of an assignment; `forced` when the experiment names the unit."""
    return pb.Assignment(
        experiment=assignment.experiment,
        revision=assignment.revision,
        layer=assignment.layer,
        arm=assignment.arm,
        unit_id=assignment.unit_id,
        bucket=assignment.bucket,
        forced=forced,
    )
