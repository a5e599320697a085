"""RankingService for users: assign, forward to the arm's ranker, record the page, answer."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from grpc import aio

from ranklift.events.values import Document, Page
from ranklift.traffic.deadlines import Deadline, DeadlinePolicy
from ranklift.traffic.experiments import to_datetime
from ranklift.traffic.fallback import Rankers, rank_with_fallback
from ranklift.traffic.pages import FALLBACK_REASONS, assignment_message, shown_page
from ranklift.traffic.routing import Route, ServingConfig
from ranklift.traffic.upstreams import pass_on
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.errors import InvalidRequest, Violation
from ranklift.v1.ranking_pb2_grpc import RankingServiceServicer
from ranklift.v1.requests import RankLimits, validate_rank_request

Context = aio.ServicerContext[Any, Any]

log = structlog.get_logger(__name__)


class PageLog(Protocol):
    """Records pages. What it returns from is on disk; a repeated impression id counts once."""

    async def record_page(self, page: Page, documents: Sequence[Document]) -> None:
        """Record a page and the documents on it, both in the order shown."""
        ...


class GatewayServicer(RankingServiceServicer):
    """Serves each request by its arm's ranker, or by the champion in its place.

    `counts` is what happened since the start: "pages", "record_failed", and
    "fallback_<reason>" by the reasons of `FALLBACK_REASONS`.
    """

    def __init__(
        self,
        config: Callable[[], ServingConfig],
        rankers: Rankers,
        pages: PageLog,
        *,
        limits: RankLimits,
        deadlines: DeadlinePolicy | None = None,
    ) -> None:
        self._config = config
        self._rankers = rankers
        self._pages = pages
        self._limits = limits
        self._deadlines = deadlines or DeadlinePolicy()
        self.counts: Counter[str] = Counter()

    async def Rank(self, request: pb.RankRequest, context: Context) -> pb.RankResponse:  # noqa: N802
        began = time.perf_counter()
        deadline = Deadline.of(self._deadlines, context.time_remaining())
        _validate(request, self._limits)
        config = self._config()
        route = config.route(request.user_id, request.session_id)
        try:
            reply = await rank_with_fallback(
                self._rankers,
                request,
                model=route.model,
                champion=config.champion,
                deadline=deadline,
                experiment=route.assignment.experiment if route.assignment else "",
            )
        except aio.AioRpcError as error:
            await pass_on(context, error)
        if reply.fallback_reason:
            self.counts[f"fallback_{FALLBACK_REASONS[reply.fallback_reason]}"] += 1
        reply.assignments.extend(assignment_message(one) for one in route.assignments)
        reply.impression_id = await self._record(request, reply, route, began)
        return reply

    async def _record(
        self, request: pb.RankRequest, reply: pb.RankResponse, route: Route, began: float
    ) -> str:
        """Record the page and return its id, "" when it could not be recorded."""
        page, documents = shown_page(
            request,
            reply,
            impression_id=request.request_id or uuid.uuid4().hex,
            assignments=route.assignments,
            latency_ms=(time.perf_counter() - began) * 1_000,
        )
        try:
            await self._pages.record_page(page, documents)
        except Exception:
            # The user came for a ranking, not for our log. Without the id, no event can
            # refer to a page that is not there.
            self.counts["record_failed"] += 1
            log.exception("page_not_recorded", impression_id=page.impression_id)
            return ""
        self.counts["pages"] += 1
        return page.impression_id


def _validate(request: pb.RankRequest, limits: RankLimits) -> None:
    violations: list[Violation] = []
    try:
        validate_rank_request(request, limits)
    except InvalidRequest as error:
        violations += error.violations
    for field in ("request_id", "user_id", "session_id"):
        length = len(getattr(request, field))
        if length > limits.max_id_chars:
            violations.append(
                Violation(
                    field, f"has {length} characters, must have at most {limits.max_id_chars}"
                )
            )
    if request.model.name or request.model.version:
        violations.append(
            Violation(
                "model", "is set, must be empty: here the experiments and the champion decide"
            )
        )
    try:
        to_datetime(request.request_time)
    except ValueError:
        violations.append(
            Violation("request_time", "is no valid instant, must be in years 1 to 9999")
        )
    if violations:
        raise InvalidRequest(violations)
