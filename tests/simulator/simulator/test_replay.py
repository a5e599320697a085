"""The replayed run, over real sockets: the vectorised run's clicks, in order, whatever fails."""

import asyncio
import dataclasses
from collections import defaultdict
from typing import Any

import grpc
import polars as pl
import pytest
from grpc import aio
from tests.simulator.simulator.services import Services, clicks_of, dwells_of, expected_of, serving

from ranklift.simulator.bots import Bots
from ranklift.simulator.devices import Devices
from ranklift.simulator.drift import Drift
from ranklift.simulator.dwell import DwellShifts
from ranklift.simulator.replay import ReplayResult, replay
from ranklift.simulator.season import Season
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.world import Rankings, World
from ranklift.v1 import events_pb2, ranking_pb2
from ranklift.v1.errors import InvalidRequest, Unreachable


def play(world: World, services: Services, **options: Any) -> ReplayResult:
    async def run() -> ReplayResult:
        async with serving(services) as address:
            return await replay(world, ranking_address=address, event_address=address, **options)

    return asyncio.run(run())


@pytest.fixture
def services(world: World, ideal: Rankings) -> Services:
    return Services(world, ideal)


def test_a_replay_gives_the_clicks_of_the_vectorised_run(
    world: World, ideal: Rankings, services: Services
) -> None:
    result = play(world, services)
    expected = simulate(world, SimulatedRanker(ideal, "ideal", "1"))
    assert clicks_of(services) == expected_of(expected)[0]
    assert dwells_of(services) == expected_of(expected)[1]
    assert result.pages == len(expected.pages)
    assert result.clicks == result.dwells == len(expected.clicks)
    assert (result.failed_calls, result.fallback_pages, result.unrecorded_pages) == (0, 0, 0)
    assert 0 < result.latency.p50 <= result.latency.p99
    assert result.seconds > 0


def test_users_of_every_kind_do_the_same_in_a_replay(world: World, ideal: Rankings) -> None:
    """Devices, tastes, bots, a season, drift, and dwell by grade and first click."""
    population = dataclasses.replace(
        world.population,
        devices=Devices(),
        taste_sigma=0.5,
        bots=Bots(share=0.05),
        season=Season(),
        drift=Drift(),
    )
    behaviour = dataclasses.replace(world.behaviour, dwell_shifts=DwellShifts())
    mixed = dataclasses.replace(world, population=population, behaviour=behaviour)
    services = Services(mixed, ideal)
    play(mixed, services)
    expected = simulate(mixed, SimulatedRanker(ideal, "ideal", "1"))
    assert (clicks_of(services), dwells_of(services)) == expected_of(expected)
    device = {r.request_id: r.attributes["device"] for r in services.requests}
    logged = expected.pages.select("impression_id", pl.col("attributes").list.first())
    assert device == {page: attribute["value"] for page, attribute in logged.iter_rows()}


def test_requests_say_who_asks_what_and_when(
    world: World, ideal: Rankings, services: Services
) -> None:
    play(world, services)
    pages = simulate(world, SimulatedRanker(ideal, "ideal", "1")).pages
    expected = {
        row["impression_id"]: (row["user_id"], row["session_id"], row["query"], row["microseconds"])
        for row in pages.with_columns(microseconds=pages["page_time"].dt.epoch("us")).iter_rows(
            named=True
        )
    }
    assert {
        r.request_id: (r.user_id, r.session_id, r.query, r.request_time.ToMicroseconds())
        for r in services.requests
    } == expected
    query_of = {text: query_id for query_id, text in world.collection.queries.items()}
    for request in services.requests[:20]:
        sent = [(d.id, d.title, d.text) for d in request.documents]
        assert sent == [
            dataclasses.astuple(world.collection.documents[d])
            for d in world.candidates[query_of[request.query]]
        ]
        assert request.top_n == 10


@pytest.mark.parametrize("concurrency", [1, 64])
def test_a_users_pages_go_out_one_after_the_other(
    world: World, services: Services, concurrency: int
) -> None:
    """`Rank` asserts that a user has no other call under way."""
    assert play(world, services, concurrency=concurrency).failed_calls == 0
    times: dict[str, list[int]] = defaultdict(list)
    for request in services.requests:
        times[request.user_id].append(request.request_time.ToMicroseconds())
    assert max(len(of_user) for of_user in times.values()) > 3
    assert all(of_user == sorted(of_user) for of_user in times.values())


def test_fallback_pages_are_counted(world: World, services: Services) -> None:
    services.response = {"fallback_reason": ranking_pb2.FALLBACK_REASON_UNAVAILABLE}
    result = play(world, services)
    assert result.fallback_pages == result.pages == len(world.pages())


def test_nothing_is_sent_for_a_page_that_was_not_recorded(world: World, services: Services) -> None:
    services.response = {"impression_id": ""}
    result = play(world, services)
    assert result.unrecorded_pages == result.pages
    assert result.clicks == 0
    assert not services.events


def test_failed_calls_are_counted_and_the_rest_goes_on(world: World, services: Services) -> None:
    lost = next(iter(services.rankings))
    del services.rankings[lost]  # the handler raises: UNKNOWN
    result = play(world, services)
    asked = sum(request.query == lost for request in services.requests)
    assert asked > 0
    assert result.failed_calls == asked
    assert result.failures == {"UNKNOWN": asked}
    assert result.pages == len(world.pages()) - asked


def test_a_slow_ranker_meets_the_deadline(world: World, services: Services) -> None:
    class Slow(Services):
        async def Rank(  # noqa: N802
            self,
            request: ranking_pb2.RankRequest,
            context: aio.ServicerContext[ranking_pb2.RankRequest, ranking_pb2.RankResponse],
        ) -> ranking_pb2.RankResponse:
            await asyncio.Event().wait()  # for ever
            raise AssertionError

    few = dataclasses.replace(world, population=Population(users=3))
    result = play(few, Slow(world, world.candidates), deadline_seconds=0.05)
    assert result.failures == {"DEADLINE_EXCEEDED": len(few.pages())}
    assert result.latency.p50 != result.latency.p50  # nothing came back: NaN


def test_events_are_sent_again_when_the_service_was_away(
    world: World, ideal: Rankings, services: Services
) -> None:
    services.away = 2
    result = play(world, services)
    assert len(services.events) == result.clicks + result.dwells
    assert sum(services.batches) > len(services.events)  # some came twice, and count once
    assert max(services.batches) < 10_000


def test_an_event_service_that_stays_away_ends_the_replay(
    world: World, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranklift.simulator.event_sender.FIRST_WAIT_SECONDS", 0.001)
    services.away = 1_000
    with pytest.raises(Unreachable, match="did not answer 8 times"):
        play(world, services)


def test_refused_events_end_the_replay_with_the_services_words(
    world: World, ideal: Rankings
) -> None:
    class Strict(Services):
        async def RecordEvents(  # noqa: N802
            self,
            request: events_pb2.RecordEventsRequest,
            context: aio.ServicerContext[
                events_pb2.RecordEventsRequest, events_pb2.RecordEventsResponse
            ],
        ) -> events_pb2.RecordEventsResponse:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such page")

    with pytest.raises(InvalidRequest, match="INVALID_ARGUMENT: no such page"):
        play(world, Strict(world, ideal))


def test_a_ranking_of_unknown_documents_ends_the_replay(world: World, services: Services) -> None:
    services.response = {"results": [ranking_pb2.RankedDocument(id="stranger")]}
    with pytest.raises(InvalidRequest, match='shows "stranger"'):
        play(world, services)


def test_progress_is_told_after_every_page(world: World, services: Services) -> None:
    told: list[tuple[int, int]] = []
    play(world, services, progress=lambda done, total: told.append((done, total)))
    pages = len(world.pages())
    assert [total for _, total in told] == [pages] * pages
    assert sorted(done for done, _ in told) == list(range(1, pages + 1))


@pytest.mark.parametrize("option", [{"concurrency": 0}, {"deadline_seconds": 0.0}])
def test_impossible_options_are_refused(
    world: World, services: Services, option: dict[str, float]
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        play(world, services, **option)
    assert [violation.field for violation in raised.value.violations] == list(option)
