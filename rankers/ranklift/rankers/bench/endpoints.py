"""From an address to a server that is known to answer, before any load."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from ranklift.rankers.bench.addresses import Address
from ranklift.rankers.bench.grpc_endpoint import grpc_endpoint
from ranklift.rankers.bench.load import TIMEOUT_SECONDS, Endpoint
from ranklift.rankers.bench.questions import Question
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import Unreachable


async def connect(
    stack: AsyncExitStack,
    address: Address,
    questions: Sequence[Question],
    credentials: Credentials = IN_THE_CLEAR,
) -> Endpoint:
    """Return the endpoint at `address`, which has answered the first question; `stack` closes it.

    `credentials` are for gRPC.

    Raises:
        Unreachable: it did not answer as a server that ranks.
    """
    if address.scheme == "grpc":
        endpoint = await stack.enter_async_context(grpc_endpoint(address, questions, credentials))
        return await _answering(address, [endpoint])
    # Whoever does not use HTTP needs no client for it.
    from ranklift.rankers.bench.rest_endpoint import Form, rest_endpoint

    forms = [
        await stack.enter_async_context(rest_endpoint(address, form, questions)) for form in Form
    ]
    return await _answering(address, forms)


class _Explaining(Endpoint, Protocol):
    complaint: str


async def _answering(address: Address, candidates: Sequence[_Explaining]) -> Endpoint:
    """Return the first candidate that answers."""
    complaints = []
    for each in candidates:
        reply = await each.ask(0, TIMEOUT_SECONDS)
        if reply.answered:
            return each
        complaints.append(" ".join(f"{reply.status} {each.complaint}".split()))
    # The first form is the usual one.
    raise Unreachable.of("address", f"{address} does not rank: {complaints[0]}")
