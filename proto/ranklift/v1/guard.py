"""The door of a server: who calls, whether they may, how often, and a record of every change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import structlog
from grpc import aio

from ranklift.v1.access import OPEN_PREFIX, changes, needed
from ranklift.v1.errors import Forbidden, Overloaded, RequestError, Unauthenticated, Violation
from ranklift.v1.handlers import with_behaviour
from ranklift.v1.metadata import AUTHORIZATION
from ranklift.v1.rate import Bucket, full, take
from ranklift.v1.status import refusal_of
from ranklift.v1.tokens import Token, find

LOCAL = "local"
MAX_OUTCOME = 1_000  # characters
# The fields by which requests name what they change, the first that is there.
_RESOURCES = ("name", "experiment", "layer", "model_version", "model", "schedule")

Context = aio.ServicerContext[Any, Any]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that somebody asked for, and what came of it ("ok", or the status and why).

    `actor` is the token's name, or "local"; `claimed` is who the request says it is.
    """

    time: datetime
    actor: str
    claimed: str
    method: str
    resource: str
    outcome: str


class Guard(aio.ServerInterceptor):
    """Lets a call through when its token may make it, and records the changes.

    `tokens` are those that are valid now, by id; with None everybody may call everything.
    A call costs 1 of its token's rate, one with events as many as it has. A call above the rate
    is refused; a stream is read more slowly instead, so that no event of it is refused.
    `record` is called in a thread, once the outcome is known and before the caller knows.
    """

    def __init__(
        self,
        tokens: Callable[[], Mapping[str, Token]] | None = None,
        record: Callable[[AuditEntry], None] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = tokens
        self._record = record
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._buckets: dict[str, Bucket] = {}  # by token id

    @property
    def needs_tokens(self) -> bool:
        """Whether a call without a token is refused."""
        return self._tokens is not None

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN_PREFIX):
            return handler
        try:
            token = self._admitted(method, handler_call_details.invocation_metadata)
        except RequestError as error:
            return _refusing(handler, error)
        if handler.unary_unary is not None:
            return self._unary(handler, method, token)
        if handler.stream_stream is not None and token is not None and token.rate is not None:
            return self._stream(handler, token)
        return handler

    def _admitted(self, method: str, metadata: Any) -> Token | None:
        if self._tokens is None:
            return None
        given = [str(value) for key, value in metadata or () if key == AUTHORIZATION]
        if not given:
            raise Unauthenticated.of(
                AUTHORIZATION, 'this server needs a token; send "Bearer <token>" in the metadata'
            )
        scheme, _, text = given[0].partition(" ")
        token = find(text.strip(), self._tokens(), self._now())
        if len(given) > 1 or scheme.lower() != "bearer" or token is None:
            raise Unauthenticated.of(
                AUTHORIZATION,
                'no valid token: unknown, expired or revoked; "ranklift token create" makes one',
            )
        role = needed(method)
        if not token.may(role):
            has = ", ".join(sorted(token.roles))
            raise Forbidden.of(
                AUTHORIZATION,
                f'the token "{token.name}" has the role {has}; {method} needs {role} or admin',
            )
        return token

    def _unary(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str, token: Token | None
    ) -> grpc.RpcMethodHandler[Any, Any]:
        record = self._record if changes(method) else None
        if record is None and (token is None or token.rate is None):
            return handler
        inner: Any = handler.unary_unary

        async def guarded(request: Any, context: Context) -> Any:
            if token is not None:
                self._charge(token, request)
            if record is None:
                return await inner(request, context)
            actor = _name_actor(request, token)
            outcome = "INTERNAL"
            try:
                reply = await inner(request, context)
                outcome = "ok"
            except RequestError as error:
                outcome = f"{error.code}: {error}"
                raise
            except aio.AbortError:
                outcome = _code_of(context)
                raise
            except asyncio.CancelledError:
                outcome = "CANCELLED"
                raise
            finally:
                entry = AuditEntry(
                    self._now(), *actor, method, _resource(request), outcome[:MAX_OUTCOME]
                )
                await _recorded(record, entry)
            return reply

        return with_behaviour(handler, guarded)

    def _stream(
        self, handler: grpc.RpcMethodHandler[Any, Any], token: Token
    ) -> grpc.RpcMethodHandler[Any, Any]:
        inner: Any = handler.stream_stream

        async def slowed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for request in requests:
                while (seconds := self._take(token, request)) > 0:
                    await self._sleep(seconds)
                yield request

        async def guarded(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async for reply in inner(slowed(requests), context):
                yield reply

        return with_behaviour(handler, guarded)

    def _charge(self, token: Token, request: Any) -> None:
        seconds = self._take(token, request)
        if seconds > 0:
            raise Overloaded(
                [
                    Violation(
                        AUTHORIZATION,
                        f'the token "{token.name}" is above its rate; try again in {seconds:.3g} s',
                    )
                ],
                seconds,
            )

    def _take(self, token: Token, request: Any) -> float:
        if token.rate is None:
            return 0.0
        now = self._clock()
        bucket = self._buckets.get(token.token_id) or full(token.rate, now)
        cost = max(1, len(getattr(request, "events", ())))
        self._buckets[token.token_id], seconds = take(bucket, token.rate, cost, now)
        return seconds


def _name_actor(request: Any, token: Token | None) -> tuple[str, str]:
    """Return who calls and who they say they are, and have the request say both."""
    claimed = str(getattr(request, "actor", ""))
    actor = token.name if token is not None else LOCAL
    if token is not None and hasattr(request, "actor") and claimed != actor:
        request.actor = f"{actor} ({claimed})" if claimed else actor
    return actor, claimed


async def _recorded(record: Callable[[AuditEntry], None], entry: AuditEntry) -> None:
    try:
        await asyncio.shield(asyncio.to_thread(record, entry))
    except Exception:
        # What is done is done, and the caller must know; the server's own log has the entry.
        log.exception("audit_failed", entry=entry)


def _code_of(context: Context) -> str:
    code = context.code()
    return grpc.StatusCode(code).name if code in tuple(grpc.StatusCode) else str(code)


def _resource(request: Any) -> str:
    for name in _RESOURCES:
        value = getattr(request, name, None)
        if isinstance(value, str) and value:
            version = getattr(request, "version", "") if name == "model" else ""
            return f"{value}@{version}" if version else value
        inner = getattr(value, "name", "") or getattr(value, "model", "")
        if isinstance(inner, str) and inner:
            version = getattr(value, "version", "")
            return f"{inner}@{version}" if version else inner
    return ""


def _refusing(
    handler: grpc.RpcMethodHandler[Any, Any], error: RequestError
) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that reads nothing of the call and refuses it."""
    refusal = refusal_of(error)

    async def refuse(_: Any, context: Context) -> Any:
        await context.abort(refusal.code, refusal.details, refusal.trailing_metadata)

    async def refuse_stream(_: Any, context: Context) -> AsyncIterator[Any]:
        await context.abort(refusal.code, refusal.details, refusal.trailing_metadata)
        yield

    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(refuse)
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(refuse_stream)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(refuse_stream)
    return grpc.stream_unary_rpc_method_handler(refuse)
