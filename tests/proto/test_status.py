"""A refused request reaches the caller with its fields; a fault of ours with a reference only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from ranklift.v1 import ranking_pb2, ranking_pb2_grpc
from ranklift.v1.errors import (
    MAX_VIOLATIONS,
    AlreadyExists,
    Conflict,
    Expired,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    RequestError,
    Unreachable,
    Violation,
    refuse_if_any,
)
from ranklift.v1.hosting import host, split_address
from ranklift.v1.status import violations_of

SERVICE = "ranklift.v1.RankingService"


class Raising(ranking_pb2_grpc.RankingServiceServicer):
    """Answers every call with one exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def Rank(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise self.error


def served(error: Exception, use: Callable[[str], Awaitable[None]]) -> None:
    async def run() -> None:
        def register(server: aio.Server) -> None:
            ranking_pb2_grpc.add_RankingServiceServicer_to_server(Raising(error), server)

        hosted = await host("127.0.0.1:0", {SERVICE: register})
        try:
            await use(hosted.address)
        finally:
            await hosted.stop(0)

    asyncio.run(run())


async def failure_of(address: str) -> aio.AioRpcError:
    async with aio.insecure_channel(address) as channel:
        stub = ranking_pb2_grpc.RankingServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Rank(ranking_pb2.RankRequest(query="q"))
    return caught.value


@pytest.mark.parametrize(
    "kind",
    [InvalidRequest, NotFound, AlreadyExists, NotReady, Conflict, Overloaded, Expired, Unreachable],
)
def test_every_request_error_has_its_code_and_names_its_fields(kind: type[RequestError]) -> None:
    violations = (Violation("documents[2].id", "is empty"), Violation("query", "is blank"))

    async def use(address: str) -> None:
        error = await failure_of(address)
        assert error.code() == grpc.StatusCode[kind.code]
        assert violations_of(error) == violations
        assert "documents[2].id: is empty" in str(error.details())

    served(kind(violations), use)


def test_more_violations_than_a_trailer_holds_are_cut() -> None:
    async def use(address: str) -> None:
        error = await failure_of(address)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        *told, last = violations_of(error)
        assert [violation.field for violation in told] == [
            f"documents[{i}].id" for i in range(len(told))
        ]
        assert len(told) > 50
        assert last.description == f"and {500 - len(told)} more"

    served(InvalidRequest([Violation(f"documents[{i}].id", "is empty") for i in range(500)]), use)


def test_refusals_name_everything_up_to_a_bound() -> None:
    refuse_if_any([])
    with pytest.raises(InvalidRequest) as refused:
        refuse_if_any(Violation(f"f{i}", "is wrong") for i in range(10**9))
    assert len(refused.value.violations) == MAX_VIOLATIONS + 1
    assert refused.value.violations[-1].description == "and more"


def test_an_error_of_a_part_names_the_part() -> None:
    error = NotFound.of("arms[1].model", "is not registered").under("experiment")
    assert type(error) is NotFound
    assert [v.field for v in error.violations] == ["experiment.arms[1].model"]


def test_a_fault_of_ours_tells_a_reference_and_nothing_of_the_inside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def use(address: str) -> None:
        error = await failure_of(address)
        assert error.code() == grpc.StatusCode.INTERNAL
        details = str(error.details())
        assert "secret" not in details
        reference = details.split("reference ")[1].split(" ")[0]
        assert reference in capsys.readouterr().out

    served(ZeroDivisionError("secret"), use)


def test_health_and_reflection_are_on_every_server() -> None:
    async def use(address: str) -> None:
        async with aio.insecure_channel(address) as channel:
            check: Any = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for service in ("", SERVICE):
                reply = await check(health_pb2.HealthCheckRequest(service=service))
                assert reply.status == health_pb2.HealthCheckResponse.SERVING
        assert SERVICE in await asyncio.to_thread(_reflected_services, address)

    served(ZeroDivisionError(), use)


def _reflected_services(address: str) -> list[str]:
    with grpc.insecure_channel(address) as channel:
        return list(ProtoReflectionDescriptorDatabase(channel).get_services())


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("7400", "not host:port"),
        ("127.0.0.1:", "not host:port"),
        ("127.0.0.1:99999", "not host:port"),
        ("0.0.0.0:7400", "not a loopback address"),
        ("192.168.0.1:7400", "not a loopback address"),
    ],
)
def test_an_address_off_this_machine_or_malformed_is_refused(address: str, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        split_address(address)


def test_a_method_that_nobody_wrote_is_unimplemented_and_no_fault() -> None:
    async def use(address: str) -> None:
        async with aio.insecure_channel(address) as channel:
            with pytest.raises(aio.AioRpcError, match="is not served here") as refused:
                await ranking_pb2_grpc.RankingServiceStub(channel).Rank(ranking_pb2.RankRequest())
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    served(NotImplementedError("Method not implemented!"), use)


def test_a_taken_port_is_one_clear_line() -> None:
    async def use(address: str) -> None:
        with pytest.raises(InvalidRequest, match="is the port taken"):
            await host(address, {})

    served(ZeroDivisionError(), use)
