"""Errors on the wire: `google.rpc.Status` with the fields at fault.

The server side is one interceptor, so that no handler formats a status itself.
The client side reads the violations back.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn, cast

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from ranklift.v1.errors import InvalidRequest, Overloaded, RequestError, Violation
from ranklift.v1.handlers import with_behaviour

# A status travels in a trailer, and gRPC refuses trailers above 8 KB; binary ones grow by a third
# on their way.
MAX_DETAIL_BYTES = 4_500
MAX_MESSAGE_CHARS = 1_000
# Read by the retries of every gRPC client (gRFC A6).
PUSHBACK = "grpc-retry-pushback-ms"

log = structlog.get_logger(__name__)


def to_status(error: RequestError) -> status_pb2.Status:
    """Return the status of a refused request, its violations as `BadRequest` details.

    Violations that no longer fit are counted in a last one.
    """
    bad_request = error_details_pb2.BadRequest()
    for told, violation in enumerate(error.violations):
        if bad_request.ByteSize() > MAX_DETAIL_BYTES:
            more = f"and {len(error.violations) - told} more"
            bad_request.field_violations.add(field="", description=more)
            break
        bad_request.field_violations.add(
            field=violation.field, description=violation.description[:MAX_MESSAGE_CHARS]
        )
    details: list[Message] = [bad_request]
    retry = _retry_seconds(error)
    if retry is not None and retry >= 0:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=retry))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=grpc.StatusCode[error.code].value[0],
        message=str(error)[:MAX_MESSAGE_CHARS],
        details=[_packed(each) for each in details],
    )


def _retry_seconds(error: RequestError) -> float | None:
    return error.retry_seconds if isinstance(error, Overloaded) else None


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


class _Refusal(NamedTuple):
    """A status as `abort_with_status` takes it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def refusal_of(error: RequestError) -> grpc.Status:
    """Return what a call is aborted with: the status, and when to retry for gRPC's own retries."""
    status = rpc_status.to_status(to_status(error))
    trailers = tuple(status.trailing_metadata or ())
    retry = _retry_seconds(error)
    if retry is not None:
        # Rounded up: a retry that comes early is refused again. Negative: do not retry.
        trailers = (*trailers, (PUSHBACK, str(math.ceil(retry * 1_000))))
    return cast(grpc.Status, _Refusal(status.code, status.details, trailers))


def violations_of(error: grpc.RpcError) -> tuple[Violation, ...]:
    """Return the fields that a failed call blames; none when the status names none."""
    # Both the blocking and the asyncio kind of error have what `from_call` reads.
    status = rpc_status.from_call(cast(grpc.Call, error))
    details: Iterable[any_pb2.Any] = status.details if status is not None else ()
    found: list[Violation] = []
    for detail in details:
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            found += [Violation(v.field, v.description) for v in bad_request.field_violations]
    return tuple(found)


def details_of(error: grpc.RpcError) -> str:
    """Return the message of a failed call."""
    return cast(grpc.Call, error).details() or str(cast(grpc.Call, error).code())


def _read(deserialize: Callable[[bytes], Any] | None, message: bytes) -> Any:
    try:
        # gRPC itself would call a bad message UNKNOWN.
        return deserialize(message) if deserialize else message
    except DecodeError as error:
        raise InvalidRequest.of(
            "", f"the message cannot be read: {error}; text must be valid UTF-8"
        ) from error


class StatusInterceptor(aio.ServerInterceptor):
    """Turns the errors that handlers of calls and of two-way streams raise into statuses.

    A `RequestError` becomes its own status. Any other exception is a fault of
    ours: the caller gets INTERNAL with a reference, the log gets the traceback
    under the same reference, and nothing of the inside leaks.
    """

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        deserialize = handler.request_deserializer
        if handler.stream_stream is not None:
            stream: Any = handler.stream_stream

            async def guarded_stream(
                messages: AsyncIterator[bytes], context: aio.ServicerContext[Any, Any]
            ) -> AsyncIterator[Any]:
                requests = (_read(deserialize, message) async for message in messages)
                try:
                    async for reply in stream(requests, context):
                        yield reply
                except Exception as error:
                    await _abort(error, method, context)

            return with_behaviour(handler, guarded_stream, raw=True)
        if handler.unary_unary is None:
            return handler
        inner: Any = handler.unary_unary

        async def guarded(message: bytes, context: aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await inner(_read(deserialize, message), context)
            except Exception as error:
                await _abort(error, method, context)

        return with_behaviour(handler, guarded, raw=True)


async def _abort(error: Exception, method: str, context: aio.ServicerContext[Any, Any]) -> NoReturn:
    """End a call with the status of `error`."""
    if isinstance(error, aio.AbortError):
        raise error
    if isinstance(error, RequestError):
        refusal = refusal_of(error)
        # Not `abort_with_status`, which OpenTelemetry's interceptor does not know.
        await context.abort(refusal.code, refusal.details, refusal.trailing_metadata)
    if isinstance(error, NotImplementedError):
        # What a generated base class raises for a method that nobody wrote.
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served here")
    reference = uuid.uuid4().hex[:12]
    log.error("call_failed", method=method, reference=reference, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL, f"internal error, reference {reference} in the log"
    )
