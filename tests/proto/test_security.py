"""Servers under TLS and tokens, on real sockets: who gets in, and what the others are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import trustme
from grpc import aio
from tests.system.certificates import Files

import ranklift.inference.open_inference_pb2 as inference
from ranklift.v1 import (
    events_pb2,
    events_pb2_grpc,
    experiments_pb2,
    experiments_pb2_grpc,
    lift_pb2,
    models_pb2,
    ranking_pb2,
    ranking_pb2_grpc,
    retraining_pb2,
)
from ranklift.v1.access import ROLE_OF, Role, changes
from ranklift.v1.credentials import Credentials
from ranklift.v1.errors import InvalidRequest, NotFound
from ranklift.v1.guard import AuditEntry, Guard
from ranklift.v1.hosting import OPEN, Hosted, Security, host
from ranklift.v1.rate import Rate, full, take
from ranklift.v1.status import details_of
from ranklift.v1.tls import ServerTLS
from ranklift.v1.tokens import Token, find, new_secret

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FILES = (events_pb2, experiments_pb2, lift_pb2, models_pb2, ranking_pb2, retraining_pb2, inference)


class Ranking(ranking_pb2_grpc.RankingServiceServicer):
    async def Rank(self, request: Any, context: Any) -> Any:  # noqa: N802
        return ranking_pb2.RankResponse(impression_id="here")


class Experiments(experiments_pb2_grpc.ExperimentServiceServicer):
    def __init__(self) -> None:
        self.actors: list[str] = []

    async def StartExperiment(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.actors.append(request.actor)
        if request.name == "absent":
            raise NotFound.of("name", "no such experiment")
        return experiments_pb2.StartExperimentResponse()

    async def _absent(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    CreateExperiment = GetExperiment = ListExperiments = UpdateExperiment = _absent
    RampExperiment = PauseExperiment = ConcludeExperiment = _absent
    LookupAssignments = ListLayers = UpdateLayer = _absent


def made(name: str, *roles: Role, **fields: Any) -> tuple[str, Token]:
    token_id, text, digest = new_secret()
    return text, Token(token_id, name, digest, frozenset(roles), **fields)


def served(
    security: Security,
    use: Callable[[Hosted], Awaitable[None]],
    experiments: Experiments | None = None,
) -> None:
    async def run() -> None:
        services = {
            "ranklift.v1.RankingService": lambda server: (
                ranking_pb2_grpc.add_RankingServiceServicer_to_server(Ranking(), server)
            ),
            "ranklift.v1.ExperimentService": lambda server: (
                experiments_pb2_grpc.add_ExperimentServiceServicer_to_server(
                    experiments or Experiments(), server
                )
            ),
        }
        hosted = await host("127.0.0.1:0", services, security=security)
        try:
            await use(hosted)
        finally:
            await hosted.stop(0)

    asyncio.run(run())


async def rank(hosted: Hosted, credentials: Credentials) -> str:
    """Return "ok", or the status of the refusal."""
    async with credentials.aio_channel(hosted.address) as channel:
        stub = cast(Any, ranking_pb2_grpc.RankingServiceStub(channel))
        try:
            await stub.Rank(ranking_pb2.RankRequest(), timeout=3)
        except aio.AioRpcError as error:
            return error.code().name
        return "ok"


def blocking(hosted: Hosted, credentials: Credentials) -> str:
    with credentials.channel(hosted.address) as channel:
        try:
            ranking_pb2_grpc.RankingServiceStub(channel).Rank(ranking_pb2.RankRequest(), timeout=3)
        except grpc.RpcError as error:
            return cast(grpc.Call, error).code().name
        return "ok"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "ours")


def test_tls_lets_in_who_trusts_the_authority(files: Files, tmp_path: Path) -> None:
    stranger = Files(tmp_path / "stranger")

    async def use(hosted: Hosted) -> None:
        assert await rank(hosted, Credentials(ca=files.ca)) == "ok"
        assert await asyncio.to_thread(blocking, hosted, Credentials(ca=files.ca)) == "ok"
        assert await rank(hosted, Credentials(ca=stranger.ca)) == "UNAVAILABLE"
        assert await rank(hosted, Credentials()) == "UNAVAILABLE"

    served(Security(ServerTLS(files.certificate, files.key)), use)


def test_mtls_lets_in_only_certificates_of_the_authority(files: Files, tmp_path: Path) -> None:
    stranger = Files(tmp_path / "stranger")

    async def use(hosted: Hosted) -> None:
        own = Credentials(files.ca, files.client, files.client_key)
        assert await rank(hosted, own) == "ok"
        assert await rank(hosted, Credentials(files.ca)) == "UNAVAILABLE"
        foreign = Credentials(files.ca, stranger.client, stranger.client_key)
        assert await rank(hosted, foreign) == "UNAVAILABLE"

    served(Security(ServerTLS(files.certificate, files.key, client_ca=files.ca)), use)


def test_certificates_that_cannot_serve_are_one_line(files: Files, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with pytest.raises(InvalidRequest, match=r"tls.key: cannot read .*absent: No such file"):
        ServerTLS(files.certificate, str(tmp_path / "absent")).credentials()
    with pytest.raises(InvalidRequest, match="is not the key of"):
        ServerTLS(files.certificate, files.client_key).credentials()
    with pytest.raises(InvalidRequest, match="are not a PEM certificate"):
        ServerTLS(str(junk), files.key).credentials()
    with pytest.raises(InvalidRequest, match=r"tls.client_ca: .* holds no PEM certificate"):
        ServerTLS(files.certificate, files.key, str(junk)).credentials()
    leaf = trustme.CA().issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
    old, old_key = tmp_path / "old.pem", tmp_path / "old.key"
    leaf.cert_chain_pems[0].write_to_path(old)
    leaf.private_key_pem.write_to_path(old_key)
    with pytest.raises(InvalidRequest, match="has expired"):
        ServerTLS(str(old), str(old_key)).credentials()


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("tls", [True, False])
def test_off_loopback_takes_both_a_certificate_and_tokens(
    files: Files, tls: bool, tokens: bool
) -> None:
    security = Security(
        ServerTLS(files.certificate, files.key) if tls else None,
        Guard(dict[str, Token]) if tokens else Guard(),
    )

    async def run() -> None:
        if tls and tokens:
            hosted = await host("0.0.0.0:0", {}, security=security)
            await hosted.stop(0)
        else:
            with pytest.raises(InvalidRequest, match="not a loopback address"):
                await host("0.0.0.0:0", {}, security=security)

    asyncio.run(run())


def test_a_token_never_leaves_the_machine_in_the_clear() -> None:
    with pytest.raises(InvalidRequest, match=r"not sent to ranker\.example:7401 in the clear"):
        Credentials(token="rl_1_2").channel("ranker.example:7401")
    assert "secret" not in repr(Credentials(token="secret"))


@pytest.mark.parametrize("encrypted", [True, False])
def test_who_calls_and_what_they_may(files: Files, encrypted: bool) -> None:
    ranker, ranker_token = made("shop", Role.RANK)
    reader, reader_token = made("dashboard", Role.READ)
    admin, admin_token = made("ops", Role.ADMIN)
    old, old_token = made("old", Role.RANK, expires=NOW)
    valid = {t.token_id: t for t in (ranker_token, reader_token, admin_token, old_token)}
    tls = ServerTLS(files.certificate, files.key) if encrypted else None
    guard = Guard(lambda: valid, now=lambda: NOW)

    async def use(hosted: Hosted) -> None:
        async def said(text: str) -> str:
            return await rank(hosted, Credentials(files.ca if encrypted else "", token=text))

        assert await said(ranker) == "ok"
        assert await said(admin) == "ok"
        assert await said(reader) == "PERMISSION_DENIED"
        for nobody in ("", old, ranker[:-1], ranker + "x", "rl", "rl_" + "0" * 16 + "_x"):
            assert await said(nobody) == "UNAUTHENTICATED", nobody
        shown = Credentials(files.ca if encrypted else "", token=ranker)
        assert await asyncio.to_thread(blocking, hosted, shown) == "ok"
        del valid[ranker_token.token_id]  # revoked
        assert await said(ranker) == "UNAUTHENTICATED"

    served(Security(tls, guard), use)


def test_without_tokens_everybody_gets_in() -> None:
    async def use(hosted: Hosted) -> None:
        assert await rank(hosted, Credentials()) == "ok"
        assert await rank(hosted, Credentials(token="whatever")) == "ok"

    served(OPEN, use)


def test_every_method_has_a_role() -> None:
    methods = {
        f"/{service.full_name}/{method.name}"
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    ours = {name for name in ROLE_OF if not name.startswith("/grpc.")}
    assert methods == ours
    assert not changes("/grpc.health.v1.Health/Check")


def test_a_token_is_found_by_its_text_alone() -> None:
    text, token = made("shop", Role.RANK, expires=NOW)
    known = {token.token_id: token}
    assert find(text, known, NOW - timedelta(seconds=1)) == token
    assert find(text, known, NOW) is None
    assert find(text.replace("rl_", "xx_", 1), known, NOW - timedelta(seconds=1)) is None
    assert find(text, {}, NOW - timedelta(seconds=1)) is None


def test_a_bucket_holds_the_average_and_lets_large_requests_through() -> None:
    rate = Rate(per_second=2.0, burst=4.0)
    bucket, wait = take(full(rate, 0.0), rate, 4, 0.0)
    assert wait == 0
    bucket, wait = take(bucket, rate, 1, 0.0)
    assert wait == pytest.approx(0.5)
    bucket, wait = take(bucket, rate, 1, 0.5)
    assert wait == 0
    # Ten cost more than the burst: a full bucket lets them through and owes six, 3 s.
    bucket, wait = take(bucket, rate, 10, 100.0)
    assert wait == 0
    bucket, wait = take(bucket, rate, 1, 100.0)
    assert wait == pytest.approx(3.5)


def test_a_call_above_the_rate_is_told_when_to_come_back() -> None:
    text, token = made("shop", Role.RANK, rate=Rate(per_second=1.0, burst=2.0))
    clock = [0.0]
    guard = Guard(lambda: {token.token_id: token}, clock=lambda: clock[0], now=lambda: NOW)

    async def use(hosted: Hosted) -> None:
        shown = Credentials(token=text)
        assert [await rank(hosted, shown) for _ in range(3)] == ["ok", "ok", "RESOURCE_EXHAUSTED"]
        clock[0] = 1.0
        assert [await rank(hosted, shown) for _ in range(2)] == ["ok", "RESOURCE_EXHAUSTED"]
        async with shown.aio_channel(hosted.address) as channel:
            stub = cast(Any, ranking_pb2_grpc.RankingServiceStub(channel))
            with pytest.raises(aio.AioRpcError, match="above its rate") as refused:
                await stub.Rank(ranking_pb2.RankRequest())
        trailers = dict(refused.value.trailing_metadata())
        assert trailers["grpc-retry-pushback-ms"] == "1000"

    served(Security(guard=guard), use)


def test_a_stream_above_the_rate_is_read_more_slowly_and_loses_nothing() -> None:
    text, token = made("tracker", Role.EVENTS, rate=Rate(per_second=10.0, burst=20.0))
    clock = [0.0]
    read: list[tuple[int, float]] = []

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    class Events(events_pb2_grpc.EventServiceServicer):
        async def RecordEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
            raise NotImplementedError

        async def StreamEvents(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
            async for request in request_iterator:
                read.append((len(request.events), clock[0]))
                yield events_pb2.StreamEventsResponse(recorded_count=len(request.events))

    guard = Guard(
        lambda: {token.token_id: token}, clock=lambda: clock[0], sleep=sleep, now=lambda: NOW
    )
    batches = [
        events_pb2.StreamEventsRequest(events=[events_pb2.Event()] * size) for size in (20, 10, 30)
    ]

    async def run() -> None:
        services = {
            "ranklift.v1.EventService": lambda server: (
                events_pb2_grpc.add_EventServiceServicer_to_server(Events(), server)
            )
        }
        hosted = await host("127.0.0.1:0", services, security=Security(guard=guard))
        async with Credentials(token=text).aio_channel(hosted.address) as channel:
            stub = cast(Any, events_pb2_grpc.EventServiceStub(channel))
            replies = [reply.recorded_count async for reply in stub.StreamEvents(batches)]
        await hosted.stop(0)
        assert replies == [20, 10, 30]

    asyncio.run(run())
    # A full bucket lets the first through; ten more take a second. Thirty are more than a bucket
    # holds: they wait until it is full, two seconds.
    assert [size for size, _ in read] == [20, 10, 30]
    assert [at for _, at in read] == pytest.approx([0.0, 1.0, 3.0])


def test_changes_are_recorded_with_who_and_what_came_of_them() -> None:
    text, token = made("ci", Role.ADMIN)
    entries: list[AuditEntry] = []
    experiments = Experiments()
    guard = Guard(lambda: {token.token_id: token}, entries.append, now=lambda: NOW)

    async def use(hosted: Hosted) -> None:
        async with Credentials(token=text).aio_channel(hosted.address) as channel:
            stub = cast(Any, experiments_pb2_grpc.ExperimentServiceStub(channel))
            request = experiments_pb2.StartExperimentRequest(name="title-boost", actor="ann")
            await stub.StartExperiment(request)
            with pytest.raises(aio.AioRpcError) as refused:
                await stub.StartExperiment(
                    experiments_pb2.StartExperimentRequest(name="absent", actor="ci")
                )
            assert details_of(refused.value) == "name: no such experiment"
        assert await rank(hosted, Credentials(token=text)) == "ok"

    served(Security(guard=guard), use, experiments)
    method = "/ranklift.v1.ExperimentService/StartExperiment"
    assert entries == [
        AuditEntry(NOW, "ci", "ann", method, "title-boost", "ok"),
        AuditEntry(NOW, "ci", "ci", method, "absent", "NOT_FOUND: name: no such experiment"),
    ]
    assert experiments.actors == ["ci (ann)", "ci"]
