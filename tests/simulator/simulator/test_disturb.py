"""Lost, late, repeated and shuffled events: rates, and that each event has a fate of its own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from ranklift.simulator.disturb import (
    Delay,
    Loss,
    arrivals,
    arrived_by,
    lose,
    send_twice,
    shuffle,
)
from ranklift.simulator.frames import EventFrames
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import Assignment, SimulatedRanker, simulate_experiment
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

MONDAY, TUESDAY = datetime(2025, 1, 6, 12, tzinfo=UTC), datetime(2025, 1, 7, 12, tzinfo=UTC)


def assign(user_id: str) -> Assignment:
    arm = "new" if int(user_id[-1]) % 2 else "old"
    return Assignment("e", 1, "default", arm, user_id, 0)


@pytest.fixture(scope="module")
def frames(world: World, ideal: Rankings) -> EventFrames:
    ranker = SimulatedRanker(ideal, "m", "1")
    large = replace(world, population=Population(users=4_000))
    return simulate_experiment(large, {"old": ranker, "new": ranker}, assign)


def share_near(found: float, expected: float, size: int) -> bool:
    return bool(abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / size))


def test_a_share_of_each_kind_is_lost(frames: EventFrames) -> None:
    left = lose(frames, Loss(clicks=0.1, dwells=0.3), 1)
    size = len(frames.clicks)
    assert share_near(len(left.clicks) / size, 0.9, size)
    assert share_near(len(left.dwells) / size, 0.9 * 0.7, size)  # both must come through
    assert left.dwells["click_event_id"].is_in(left.clicks["event_id"].implode()).all()
    assert left.pages is frames.pages


def test_one_arm_alone_loses(frames: EventFrames) -> None:
    left = lose(frames, Loss(clicks=1.0, arms=frozenset({"new"})), 1)
    arm = pl.col("assignments").list.first().struct.field("arm")
    pages = frames.pages.select("impression_id", arm=arm)
    before = frames.clicks.join(pages, on="impression_id", maintain_order="left")
    assert_frame_equal(left.clicks, before.filter(pl.col("arm") == "old").drop("arm"))
    assert len(left.clicks) < len(frames.clicks)


def test_an_event_has_its_fate_whoever_else_is_there(frames: EventFrames) -> None:
    half = replace(frames, clicks=frames.clicks[::2], dwells=frames.dwells[::2])
    loss = Loss(clicks=0.2)
    whole, part = lose(frames, loss, 1).clicks, lose(half, loss, 1).clicks
    in_half = whole["event_id"].is_in(half.clicks["event_id"].implode())
    assert_frame_equal(whole.filter(in_half), part)
    other_seed = lose(frames, loss, 2).clicks
    assert not whole.equals(other_seed)


def test_more_loss_loses_the_same_and_more(frames: EventFrames) -> None:
    few, many = (lose(frames, Loss(clicks=share), 1).clicks for share in (0.1, 0.3))
    assert many["event_id"].is_in(few["event_id"].implode()).all()


def test_nothing_is_lost_without_loss(frames: EventFrames) -> None:
    assert_frame_equal(lose(frames, Loss(), 1).clicks, frames.clicks)
    assert_frame_equal(lose(frames, Loss(), 1).dwells, frames.dwells)


def test_delays_are_exponential(frames: EventFrames) -> None:
    arrival = arrivals(frames, Delay(timedelta(minutes=5)), 1)
    assert arrival.clicks["event_id"].equals(frames.clicks["event_id"])
    wait = (arrival.clicks["arrival_time"] - frames.clicks["click_time"]).dt.total_microseconds()
    assert stats.kstest(wait.to_numpy() / 300e6, "expon").pvalue > 1e-3
    some = arrivals(frames, Delay(timedelta(minutes=5), share=0.25), 1).clicks
    late = (some["arrival_time"] > frames.clicks["click_time"]).to_numpy().mean()
    assert share_near(late, 0.25, len(some))


def test_a_dwell_is_sent_when_it_ends(frames: EventFrames) -> None:
    at_once = arrivals(frames, Delay(share=0.0), 1).dwells["arrival_time"]
    dwell = pl.Series(frames.dwells["dwell_ms"] * 1_000).cast(pl.Duration("us"))
    assert at_once.to_list() == (frames.clicks["click_time"] + dwell).to_list()


def test_what_comes_late_does_not_change_a_frozen_read_out(frames: EventFrames) -> None:
    arrival = arrivals(frames, Delay(timedelta(hours=6)), 1)
    monday = arrived_by(frames, arrival, MONDAY)
    tuesday = arrived_by(frames, arrival, TUESDAY)
    assert 0 < len(monday.clicks) < len(tuesday.clicks) < len(frames.clicks)
    assert_frame_equal(arrived_by(tuesday, at(arrival, tuesday), MONDAY).clicks, monday.clicks)
    assert monday.clicks["event_id"].is_in(tuesday.clicks["event_id"].implode()).all()
    assert monday.dwells["click_event_id"].is_in(monday.clicks["event_id"].implode()).all()
    # Of the clicks until then some are missing.
    assert len(monday.clicks) < len(frames.clicks.filter(pl.col("click_time") <= MONDAY))
    assert_frame_equal(
        arrived_by(frames, arrival, datetime(2026, 1, 1, tzinfo=UTC)).dwells, frames.dwells
    )


def at(arrival: Any, frames: EventFrames) -> Any:
    """Return the arrivals of the events of a part of the log."""
    return replace(
        arrival,
        clicks=frames.clicks.select("event_id").join(
            arrival.clicks, on="event_id", maintain_order="left"
        ),
        dwells=frames.dwells.select("event_id").join(
            arrival.dwells, on="event_id", maintain_order="left"
        ),
    )


def test_events_that_are_sent_twice_count_once_by_id(frames: EventFrames) -> None:
    sent = send_twice(frames, 0.2, 1)
    size = len(frames.clicks)
    assert share_near(len(sent.clicks) / size - 1, 0.2, size)
    assert_frame_equal(
        sent.clicks.unique("event_id", keep="first", maintain_order=True), frames.clicks
    )
    arrival = arrivals(sent, Delay(share=0.0), 1)
    assert len(arrival.dwells) == len(sent.dwells)


def test_a_shuffled_log_has_the_same_events(frames: EventFrames) -> None:
    mixed = shuffle(frames, 1)
    assert not mixed.clicks["event_id"].equals(frames.clicks["event_id"])
    assert_frame_equal(mixed.clicks, frames.clicks, check_row_order=False)
    assert_frame_equal(mixed.dwells, frames.dwells, check_row_order=False)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda _: Loss(clicks=-0.1), "loss.clicks"),
        (lambda _: Loss(dwells=2.0), "loss.dwells"),
        (lambda _: Delay(timedelta(0)), "delay.mean"),
        (lambda _: Delay(share=1.1), "delay.share"),
        (lambda frames: send_twice(frames, 1.1, 1), "share"),
        (lambda frames: lose(frames, Loss(0.1, arms=frozenset({"none"})), 1), "loss.arms"),
    ],
)
def test_impossible_values_are_refused(
    frames: EventFrames, make: Callable[[EventFrames], Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        make(frames)
    assert [violation.field for violation in raised.value.violations] == [field]
