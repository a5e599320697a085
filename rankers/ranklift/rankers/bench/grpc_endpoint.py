"""A RankingService of ranklift, asked over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from grpc import aio

from ranklift.rankers.bench.addresses import Address
from ranklift.rankers.bench.outcomes import OK, Reply
from ranklift.rankers.bench.questions import Question
from ranklift.v1 import ranking_pb2, ranking_pb2_grpc
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.hosting import MAX_MESSAGE_BYTES
from ranklift.v1.status import details_of

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Every refusal counts, so nothing may be sent twice behind our back.
    ("grpc.enable_retries", 0),
    # A proxy of the environment would be measured too.
    ("grpc.enable_http_proxy", 0),
)


class GrpcEndpoint:
    """One channel; the requests are messages from the start."""

    def __init__(self, channel: aio.Channel, model: str, questions: Sequence[Question]) -> None:
        self._stub: ranking_pb2_grpc.RankingServiceAsyncStub = ranking_pb2_grpc.RankingServiceStub(
            channel
        )
        name, _, version = model.partition("@")
        self._requests = [_request(each, name, version) for each in questions]
        self.complaint = ""

    def pairs(self, number: int) -> int:
        return len(self._requests[number % len(self._requests)].documents)

    async def ask(self, number: int, timeout: float) -> Reply:
        request = self._requests[number % len(self._requests)]
        try:
            response = await self._stub.Rank(request, timeout=timeout)
        except aio.AioRpcError as error:
            self.complaint = details_of(error)
            return Reply(error.code().name)
        whole = len(response.results) == len(request.documents)
        return Reply(
            status=OK if whole else "INCOMPLETE",
            # A ranker that does not count says 0.
            tokens=response.tokens or None,
            numerics=response.model.numerics,
            digest=response.model.digest,
        )


def _request(question: Question, name: str, version: str) -> ranking_pb2.RankRequest:
    return ranking_pb2.RankRequest(
        query=question.query,
        documents=[
            ranking_pb2.Document(id=each.id, title=each.title, text=each.text)
            for each in question.documents
        ],
        model=ranking_pb2.ModelSelector(name=name, version=version),
    )


@asynccontextmanager
async def grpc_endpoint(
    address: Address, questions: Sequence[Question], credentials: Credentials = IN_THE_CLEAR
) -> AsyncIterator[GrpcEndpoint]:
    """Yield the endpoint at `address`; nothing is sent yet."""
    async with credentials.aio_channel(address.target, OPTIONS) as channel:
        yield GrpcEndpoint(channel, address.model, questions)
