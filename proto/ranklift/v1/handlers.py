"""What interceptors put around a call: other behaviour, the same kind and the same messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc


def with_behaviour(
    handler: grpc.RpcMethodHandler[Any, Any], behaviour: Callable[..., Any], *, raw: bool = False
) -> grpc.RpcMethodHandler[Any, Any]:
    """Return `handler`, of a unary call or a two-way stream, with `behaviour` for its own.

    With `raw` its requests are bytes.
    """
    make = (
        grpc.unary_unary_rpc_method_handler
        if handler.unary_unary is not None
        else grpc.stream_stream_rpc_method_handler
    )
    return make(
        behaviour,
        request_deserializer=None if raw else handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
