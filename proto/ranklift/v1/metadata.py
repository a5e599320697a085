"""What travels beside a call, as gRPC metadata."""

from __future__ import annotations

from typing import Any

from grpc import aio

# The name of the experiment to which a ranking call belongs; the gateway sets it for rankers.
EXPERIMENT = "ranklift-experiment"
# "Bearer <token>", as RFC 6750 says.
AUTHORIZATION = "authorization"


def belongs_to_experiment(context: aio.ServicerContext[Any, Any]) -> bool:
    """Return whether the caller says that its call belongs to an experiment."""
    given = context.invocation_metadata() or ()
    return any(key == EXPERIMENT and value for key, value in given)
