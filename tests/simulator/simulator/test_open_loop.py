"""The open loop over real sockets: on time whatever comes back, the same pages for every arm."""

import asyncio
import dataclasses
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from grpc import aio
from tests.simulator.simulator.services import Services, clicks_of, dwells_of, expected_of, serving

from ranklift.clicks.ccm import Ccm
from ranklift.clicks.dbn import Dbn
from ranklift.clicks.model import Browsing
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.ubm import Ubm
from ranklift.simulator.arrivals import Load, arrivals
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.punctuality import Send, Why, punctuality
from ranklift.simulator.replay import ReplayResult, replay, replay_on_schedule
from ranklift.simulator.schedule import Schedule, in_turn, own_clock, page_times_us
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.v1 import ranking_pb2
from ranklift.v1.errors import InvalidRequest

Context = aio.ServicerContext[ranking_pb2.RankRequest, ranking_pb2.RankResponse]


def at_rate(world: World, rate: float) -> Schedule:
    times = page_times_us(world)
    return in_turn(times, arrivals(Load(rate=rate), len(times), seed=1))


def play(
    world: World, services: Services, schedule: Schedule | None = None, **options: Any
) -> ReplayResult:
    async def run() -> ReplayResult:
        async with serving(services) as address:
            at: dict[str, Any] = {"ranking_address": address, "event_address": address}
            if schedule is None:
                return await replay(world, **at, **options)
            return await replay_on_schedule(world, schedule, **at, **options)

    return asyncio.run(run())


BROWSINGS = [Pbm(), Ubm(), Dbn(), Ccm(0.9, 0.8, 0.5)]


@pytest.mark.parametrize("open_loop", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("sessions", [None, Sessions(return_effect=0.3)], ids=["planned", "react"])
@pytest.mark.parametrize("browsing", BROWSINGS, ids=lambda browsing: type(browsing).__name__)
def test_replayed_users_do_what_vectorised_users_do(
    world: World, ideal: Rankings, browsing: Browsing, sessions: Sessions | None, open_loop: bool
) -> None:
    """The same pages, clicks and dwells, and each user's pages in the same order."""
    played = dataclasses.replace(world, behaviour=Behaviour(browsing=browsing), sessions=sessions)
    services = Services(played, ideal)
    result = play(played, services, at_rate(played, 400.0) if open_loop else None)
    expected = simulate(played, SimulatedRanker(ideal, "ideal", "1"))
    assert result.failed_calls == 0
    assert result.pages == len(expected.pages)
    by_user: dict[str, list[str]] = defaultdict(list)
    for request in services.requests:
        by_user[request.user_id].append(request.request_id)
    in_order = expected.pages.group_by("user_id", maintain_order=True).agg("impression_id")
    assert by_user == dict(in_order.iter_rows())
    assert clicks_of(services) == expected_of(expected)[0]
    assert dwells_of(services) == expected_of(expected)[1]


def test_a_user_who_reacts_goes_on_otherwise_under_another_ranker(
    world: World, ideal: Rankings, as_sent: Rankings
) -> None:
    """Or the test above would not show that the answer decides the next page."""
    reacting = dataclasses.replace(world, sessions=Sessions())
    pages = [
        simulate(reacting, SimulatedRanker(rankings, "r", "1")).pages["impression_id"]
        for rankings in (ideal, as_sent)
    ]
    assert set(pages[0]) != set(pages[1])


def test_the_schedule_is_kept_and_the_same_for_every_ranker(
    world: World, ideal: Rankings, as_sent: Rankings
) -> None:
    schedule = at_rate(world, 200.0)
    for rankings in (ideal, as_sent):
        result = play(world, Services(world, rankings), schedule)
        kept = result.punctuality
        assert kept is not None
        assert kept.sends == result.pages == len(world.pages())
        assert kept.scheduled_rate == pytest.approx(200.0, rel=0.2)
        assert 0 < kept.achieved_rate <= 1.2 * kept.scheduled_rate
        assert result.seconds >= schedule.seconds[-1]
        assert result.latency == kept.from_sent
        assert kept.from_due.p50 >= kept.from_sent.p50


class Stalling(Services):
    """Answers nobody until `stalled` has passed since the first call."""

    stalled = 1.0
    first = float("nan")

    async def Rank(self, request: ranking_pb2.RankRequest, context: Context) -> Any:  # noqa: N802
        now = time.monotonic()
        if self.first != self.first:
            self.first = now
        await asyncio.sleep(max(0.0, self.first + self.stalled - now))
        return await super().Rank(request, context)


def test_an_open_loop_sees_a_stall_that_a_closed_loop_hides(world: World, ideal: Rankings) -> None:
    """One user a page, so that nobody waits for an own answer; one second without any answer.

    In the closed loop only the calls under way meet the stall; on schedule all pages of that second
    do, half a second each on average.
    """
    crowd = dataclasses.replace(world, population=Population(users=400, pages_per_user=1.0))
    closed = play(crowd, Stalling(crowd, ideal), concurrency=2)
    open_ = play(crowd, Stalling(crowd, ideal), at_rate(crowd, 200.0)).punctuality
    assert open_ is not None
    assert closed.latency.p99 < 500
    assert open_.from_due.p99 > 900
    assert open_.from_due.p50 > closed.latency.p50


def test_a_cap_on_calls_in_flight_holds_sends_back_and_says_so(
    world: World, ideal: Rankings
) -> None:
    crowd = dataclasses.replace(world, population=Population(users=100, pages_per_user=1.0))
    services = Stalling(crowd, ideal)
    services.stalled = 0.5
    kept = play(crowd, services, at_rate(crowd, 400.0), in_flight=3).punctuality
    assert kept is not None
    assert kept.held >= kept.late_for_room > 50
    # What was held back counts from when it was due all the same.
    assert kept.from_due.p50 > kept.from_sent.p50


def test_a_page_that_is_due_before_its_user_has_an_answer_is_late_for_its_user(
    world: World, ideal: Rankings
) -> None:
    """On the world's own clock, so fast that the visits are over before the first answer."""
    services = Stalling(world, ideal)
    services.stalled = 0.3
    fast = own_clock(world.population, speed=7 * 86_400 / 0.1)
    kept = play(world, services, fast).punctuality
    assert kept is not None
    pages = len(world.pages())
    assert kept.late_for_user == pytest.approx(pages - world.population.users, abs=pages // 10)
    assert kept.late_for_room == kept.held == 0


def test_whoever_reacts_goes_on_after_a_failed_call_as_after_a_page_without_a_click(
    world: World, ideal: Rankings
) -> None:
    """Nothing comes back at all: the pages are those of a ranker that nobody clicks on."""
    unclicked = dataclasses.replace(
        world,
        sessions=Sessions(),
        behaviour=Behaviour(attractiveness=(1e-12, 1e-12, 1e-12)),
    )
    expected = simulate(unclicked, SimulatedRanker(ideal, "ideal", "1"))
    assert not len(expected.clicks)
    reacting = dataclasses.replace(world, sessions=Sessions())
    services = Services(reacting, {})  # the handler raises: UNKNOWN
    result = play(reacting, services)
    assert result.failures == {"UNKNOWN": len(expected.pages)}
    assert {r.request_id for r in services.requests} == set(expected.pages["impression_id"])


def test_an_error_in_a_page_ends_the_replay_at_once(world: World, ideal: Rankings) -> None:
    services = Services(world, ideal)
    services.response = {"results": [ranking_pb2.RankedDocument(id="stranger")]}
    slowly = at_rate(world, 1.0)  # it would take minutes
    with pytest.raises(InvalidRequest, match='shows "stranger"'):
        play(world, services, slowly)


@pytest.mark.parametrize("option", ["in_flight", "late_after_ms", "deadline_seconds"])
def test_impossible_options_are_refused(world: World, ideal: Rankings, option: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{option}: 0, must be above 0"):
        play(world, Services(world, ideal), at_rate(world, 100.0), **{option: 0})


def test_a_schedule_of_another_world_is_refused(world: World, ideal: Rankings) -> None:
    other = Schedule(np.array([0, 1]), np.array([0.0, 1.0]))
    with pytest.raises(InvalidRequest, match="was made for another world"):
        play(world, Services(world, ideal), other)


def test_what_sends_come_to_by_hand() -> None:
    nan = float("nan")
    kept = punctuality(
        [
            Send(due=0.0, sent=0.001, answered=0.010, why=Why.NOTHING),
            Send(due=1.0, sent=1.006, answered=1.106, why=Why.NOTHING),  # the sender's own fault
            Send(due=1.0, sent=1.050, answered=1.060, why=Why.USER),
            Send(due=2.0, sent=2.004, answered=2.005, why=Why.ROOM),  # held, but in time
            Send(due=4.0, sent=5.000, answered=nan, why=Why.ROOM),  # failed: no latency
        ],
        late_after_ms=5.0,
    )
    assert (kept.sends, kept.late, kept.held) == (5, 3, 2)
    assert (kept.late_for_user, kept.late_for_room, kept.late_for_sender) == (1, 1, 1)
    assert kept.late_share == pytest.approx(0.6)
    assert kept.lag.max == pytest.approx(1_000.0)
    assert kept.lag.p50 == pytest.approx(6.0)
    assert kept.from_due.max == pytest.approx(106.0)
    assert kept.from_sent.max == pytest.approx(100.0)
    assert kept.from_sent.p50 == pytest.approx((9.0 + 10.0) / 2)
    assert kept.scheduled_rate == pytest.approx(1.25)
    assert kept.achieved_rate == pytest.approx(1.0)


def test_no_send_is_no_latency() -> None:
    kept = punctuality([], late_after_ms=5.0)
    assert kept.sends == kept.late == 0
    assert np.isnan(kept.from_due.p99)
    assert kept.late_share == 0.0
