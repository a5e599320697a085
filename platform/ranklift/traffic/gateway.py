"""RankingService for users: assign, forward to the arm's ranker, record the page, answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import structlog
from grpc import aio

from ranklift.events.pseudonyms import Pseudonyms
from ranklift.events.values import Page
from ranklift.traffic.composing import Composed, compose
from ranklift.traffic.deadlines import Deadline, DeadlinePolicy
from ranklift.traffic.experiments import to_datetime
from ranklift.traffic.fallback import Asked, Rankers
from ranklift.traffic.pages import FALLBACK_REASONS, assignment_message, shown_page
from ranklift.traffic.routing import Route, ServingConfig
from ranklift.traffic.shadows import Shadowed, ShadowLog, ShadowPolicy, Shadows
from ranklift.traffic.upstreams import pass_on
from ranklift.v1 import ranking_pb2 as pb
from ranklift.v1.errors import InvalidRequest, Violation
from ranklift.v1.ranking_pb2_grpc import RankingServiceServicer
from ranklift.v1.requests import RankLimits, Texts, validate_rank_request

Context = aio.ServicerContext[Any, Any]

log = structlog.get_logger(__name__)


class PageLog(ShadowLog, Protocol):
    """Records pages, in the order given; a repeated impression id counts once."""

    def submit_page(
        self,
        make: Callable[[], tuple[Page, Sequence[Texts]]],
        *,
        documents: int,
        size: int,
        urgent: bool,
    ) -> Future[Any]:
        """Take the page that `make` returns, and the ids, titles and texts of what it shows.

        `make` is called later, perhaps by another thread. `documents` is how many there are, `size`
        about how many bytes are held until then. The future is done when the page is on disk;
        `urgent` when somebody waits for that.

        Raises:
            Exception: it is not taken.
        """
        ...


class GatewayServicer(RankingServiceServicer):
    """Serves each request by its arm's ranker, or by the champion in its place.

    With `strict` a page is on disk before the user is answered; otherwise it is in the log's
    queue, and on disk soon after.

    `counts` is what happened since the start: "pages" that were answered with an impression id,
    "pages_lost" of them, which the disk refused afterwards, "record_failed" for pages that were
    answered without one, "fallback_<reason>" by the reasons of `FALLBACK_REASONS`, and what
    became of shadows (`Shadows`).
    """

    def __init__(
        self,
        config: Callable[[], ServingConfig],
        rankers: Rankers,
        pages: PageLog,
        *,
        limits: RankLimits,
        deadlines: DeadlinePolicy | None = None,
        strict: bool = False,
        shadows: ShadowPolicy | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self._config = config
        self._rankers = rankers
        self._pages = pages
        self._limits = limits
        self._deadlines = deadlines or DeadlinePolicy()
        self._strict = strict
        self._pseudonyms = pseudonyms
        self.counts: Counter[str] = Counter()
        self._shadows = Shadows(rankers, pages, self.counts, shadows or ShadowPolicy())

    async def close(self) -> None:
        """Wait for shadows under way, at most for their deadline."""
        await self._shadows.close()

    async def Rank(self, request: pb.RankRequest, context: Context) -> pb.RankResponse:  # noqa: N802
        began = time.perf_counter()
        deadline = Deadline.of(self._deadlines, context.time_remaining())
        documents = _validate(request, self._limits)
        config = self._config()
        route = config.route(request.user_id, request.session_id, request.attributes)
        impression_id = request.request_id or uuid.uuid4().hex
        try:
            composed = await compose(
                self._rankers,
                Asked(request, documents, route.ranked_by.experiment if route.ranked_by else ""),
                route,
                champion=config.champion,
                deadline=deadline,
                impression_id=impression_id,
            )
        except aio.AioRpcError as error:
            await pass_on(context, error)
        reply = composed.reply
        if reply.fallback_reason:
            self.counts[f"fallback_{FALLBACK_REASONS[reply.fallback_reason]}"] += 1
        reply.assignments.extend(assignment_message(one) for one in route.assignments)
        reply.assignments.extend(assignment_message(one, forced=True) for one in route.forced)
        reply.impression_id = await self._record(
            request, documents, composed, route, began, impression_id
        )
        if route.shadows and reply.impression_id:
            page = Shadowed(impression_id, request, tuple(one.index for one in reply.results))
            # Once the reply is on its way: whatever shadows do, the user does not wait for it.
            context.add_done_callback(
                lambda _: self._shadows.follow(page, route.shadows)  # type: ignore[arg-type]
            )
        return reply

    async def _record(
        self,
        request: pb.RankRequest,
        documents: Sequence[Texts],
        composed: Composed,
        route: Route,
        began: float,
        impression_id: str,
    ) -> str:
        """Record the page and return its id, "" when it could not be recorded."""
        reply = composed.reply
        page = partial(
            shown_page,
            request,
            documents,
            reply,
            impression_id=impression_id,
            now=datetime.now(UTC),
            pseudonyms=self._pseudonyms,
            assignments=route.assignments,
            forced=route.forced,
            latency_ms=(time.perf_counter() - began) * 1_000,
            interleaving=composed.interleaving,
            explored=composed.explored,
        )
        try:
            recording = self._pages.submit_page(
                page,
                documents=len(reply.results),
                size=sum(len(title) + len(text) for _, title, text in documents),
                urgent=self._strict,
            )
            if self._strict:
                await asyncio.wrap_future(recording)
        except Exception as error:
            # The user came for a ranking, not for our log. Without the id, no event can
            # refer to a page that is not there.
            self.counts["record_failed"] += 1
            log.error("page_not_recorded", impression_id=impression_id, error=repr(error))
            return ""
        self.counts["pages"] += 1
        if not self._strict:
            recording.add_done_callback(partial(self._settle, impression_id))
        return impression_id

    def _settle(self, impression_id: str, recording: Future[Any]) -> None:
        error = recording.exception()
        if error is not None:
            self.counts["pages_lost"] += 1
            log.error("page_lost", impression_id=impression_id, error=repr(error))


def _validate(request: pb.RankRequest, limits: RankLimits) -> Sequence[Texts]:
    documents: Sequence[Texts] = ()
    violations: list[Violation] = []
    try:
        documents = validate_rank_request(request, limits)
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
    if request.HasField("request_time"):
        try:
            to_datetime(request.request_time)
        except ValueError:
            violations.append(
                Violation("request_time", "is no valid instant, must be in years 1 to 9999")
            )
    if violations:
        raise InvalidRequest(violations)
    return documents
