"""The vectorised run: the shared schema, and the same log however it is computed."""

from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranklift.clicks.keys import hash_id
from ranklift.simulator.frames import EventFrames
from ranklift.simulator.vectorised import (
    Assignment,
    SimulatedRanker,
    simulate,
    simulate_experiment,
)
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

INSTANT = pl.Datetime("us", "UTC")


def assign(user_id: str) -> Assignment:
    bucket = hash_id(user_id) * 10_000 >> 64
    arm = "control" if bucket < 5_000 else "student"
    return Assignment("wings", 3, "default", arm, user_id, bucket)


@pytest.fixture(scope="module")
def rankers(as_sent: Rankings, ideal: Rankings) -> dict[str, SimulatedRanker]:
    return {
        "control": SimulatedRanker(as_sent, "bm25", "1", "sha256:00"),
        "student": SimulatedRanker(ideal, "student", "2"),
    }


@pytest.fixture(scope="module")
def frames(world: World, rankers: dict[str, SimulatedRanker]) -> EventFrames:
    return simulate_experiment(world, rankers, assign)


def test_the_frames_have_the_schema_of_the_architecture(frames: EventFrames) -> None:
    assignment = {
        "experiment": pl.String(),
        "revision": pl.Int64(),
        "layer": pl.String(),
        "arm": pl.String(),
        "unit_id": pl.String(),
        "bucket": pl.Int32(),
    }
    assert frames.pages.schema == {
        "impression_id": pl.String(),
        "page_time": INSTANT,
        "user_id": pl.String(),
        "session_id": pl.String(),
        "query": pl.String(),
        "documents": pl.List(pl.String()),
        "scores": pl.List(pl.Float64()),
        "model": pl.String(),
        "version": pl.String(),
        "digest": pl.String(),
        "assignments": pl.List(pl.Struct(assignment)),
        "fallback_reason": pl.String(),
        "latency_ms": pl.Float64(),
    }
    assert frames.clicks.schema == {
        "event_id": pl.String(),
        "impression_id": pl.String(),
        "document_id": pl.String(),
        "position": pl.Int32(),
        "click_time": INSTANT,
    }
    assert frames.dwells.schema == {
        "event_id": pl.String(),
        "click_event_id": pl.String(),
        "impression_id": pl.String(),
        "document_id": pl.String(),
        "dwell_ms": pl.Int64(),
        "censored": pl.Boolean(),
    }
    assert frames.documents.schema == dict.fromkeys(
        ("document_id", "digest", "title", "text"), pl.String()
    )


def test_every_planned_page_is_there_once_with_its_ids(world: World, frames: EventFrames) -> None:
    plan = world.pages()
    rows = zip(plan.user.tolist(), plan.visit.tolist(), plan.step.tolist(), strict=True)
    expected = [
        (world.page_id(u, v, s), world.user_id(u), world.session_id(u, v)) for u, v, s in rows
    ]
    assert frames.pages.select("impression_id", "user_id", "session_id").rows() == expected
    assert frames.pages["page_time"].to_physical().to_list() == plan.time_us.tolist()
    assert frames.pages["impression_id"].is_unique().all()


def test_each_user_is_served_by_the_ranker_of_the_assigned_arm(
    world: World, rankers: dict[str, SimulatedRanker], frames: EventFrames
) -> None:
    query_of = {text: query_id for query_id, text in world.collection.queries.items()}
    assert frames.pages["model"].n_unique() == 2
    for page in frames.pages.iter_rows(named=True):
        (assignment,) = page["assignments"]
        expected = assign(page["user_id"])
        assert Assignment(**assignment) == expected
        ranker = rankers[expected.arm]
        assert (page["model"], page["version"]) == (ranker.model, ranker.version)
        assert page["digest"] == ranker.digest
        assert page["documents"] == list(ranker.rankings[query_of[page["query"]]])[:10]
        assert page["scores"] == sorted(page["scores"], reverse=True)
        assert len(page["scores"]) == 10


def test_clicks_and_dwells_belong_to_what_was_shown(frames: EventFrames) -> None:
    clicks = frames.clicks.join(frames.pages, on="impression_id", how="left", validate="m:1")
    assert len(clicks) > 100
    shown_there = pl.col("documents").list.get(pl.col("position") - 1)
    assert clicks.select((shown_there == pl.col("document_id")).all()).item()
    assert clicks.select((pl.col("click_time") > pl.col("page_time")).all()).item()
    assert frames.dwells["click_event_id"].to_list() == frames.clicks["event_id"].to_list()
    assert frames.dwells["document_id"].to_list() == frames.clicks["document_id"].to_list()
    ids = pl.concat([frames.clicks["event_id"], frames.dwells["event_id"]])
    assert ids.is_unique().all()
    assert frames.dwells["dwell_ms"].is_between(0, 1_800_000).all()


def test_every_candidate_document_is_there_once(world: World, frames: EventFrames) -> None:
    candidates = {d for document_ids in world.candidates.values() for d in document_ids}
    assert set(frames.documents["document_id"]) == candidates
    assert frames.documents["document_id"].is_unique().all()


@pytest.fixture(scope="module")
def reacting(world: World) -> World:
    """The same users, who come back or not as the pages please them."""
    return replace(world, sessions=Sessions(visits_per_month=20))


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_the_log_does_not_depend_on_the_batch(
    world: World, rankers: dict[str, SimulatedRanker], frames: EventFrames, batch: int
) -> None:
    again = simulate_experiment(world, rankers, assign, batch=batch)
    for name in ("pages", "clicks", "dwells", "documents"):
        assert_frame_equal(getattr(again, name), getattr(frames, name))


@pytest.mark.parametrize("batch", [3, 100])
def test_nor_does_that_of_users_who_react(
    reacting: World, rankers: dict[str, SimulatedRanker], batch: int
) -> None:
    expected = simulate_experiment(reacting, rankers, assign)
    again = simulate_experiment(reacting, rankers, assign, batch=batch)
    for name in ("pages", "clicks", "dwells", "documents"):
        assert_frame_equal(getattr(again, name), getattr(expected, name))


def test_pages_of_users_who_react_are_by_user_and_time_with_their_clicks(
    reacting: World, rankers: dict[str, SimulatedRanker]
) -> None:
    frames = simulate_experiment(reacting, rankers, assign)
    pages = frames.pages
    assert_frame_equal(pages, pages.sort("user_id", "page_time"))
    assert pages["impression_id"].is_unique().all()
    assert pages["user_id"].n_unique() < reacting.population.users  # some never come
    assert pages.group_by("session_id").len()["len"].max() > 2  # type: ignore[operator]
    clicks = frames.clicks.join(pages, on="impression_id", how="left", maintain_order="left")
    assert_frame_equal(clicks, clicks.sort("user_id", "page_time", "position"))
    shown_there = pl.col("documents").list.get(pl.col("position") - 1)
    assert clicks.select((shown_there == pl.col("document_id")).all()).item()


def test_the_arm_changes_when_its_users_come_back(
    reacting: World, rankers: dict[str, SimulatedRanker]
) -> None:
    first = simulate(reacting, rankers["control"]).pages
    other = simulate(reacting, rankers["student"]).pages
    assert first["impression_id"].to_list() != other["impression_id"].to_list()
    opening = pl.col("impression_id").str.ends_with("-0-0")
    assert_frame_equal(
        first.filter(opening).select("impression_id", "page_time", "query"),
        other.filter(opening).select("impression_id", "page_time", "query"),
    )


def test_a_world_that_nobody_visits_has_an_empty_log(
    reacting: World, rankers: dict[str, SimulatedRanker]
) -> None:
    empty = replace(reacting, sessions=Sessions(visits_per_month=1e-9))
    frames = simulate_experiment(empty, rankers, assign)
    assert frames.pages.is_empty()
    assert frames.clicks.is_empty()


def test_a_user_does_the_same_whatever_the_others_are_assigned_to(
    world: World, rankers: dict[str, SimulatedRanker], frames: EventFrames
) -> None:
    alone = simulate(world, rankers["student"])
    of_arm = frames.pages.filter(pl.col("model") == "student").select("impression_id")
    same = alone.clicks.join(of_arm, on="impression_id", how="semi", maintain_order="left")
    there = frames.clicks.join(of_arm, on="impression_id", how="semi", maintain_order="left")
    assert_frame_equal(same, there)
    assert alone.pages["assignments"].list.len().eq(0).all()


def test_another_seed_is_another_world(world: World, as_sent: Rankings) -> None:
    ranker = SimulatedRanker(as_sent, "bm25", "1")
    first, second = (simulate(replace(world, seed=seed), ranker) for seed in (1, 2))
    assert first.pages["query"].to_list() != second.pages["query"].to_list()


def test_an_arm_without_a_ranker_is_refused(
    world: World, rankers: dict[str, SimulatedRanker]
) -> None:
    with pytest.raises(InvalidRequest, match='has no arm "student"'):
        simulate_experiment(world, {"control": rankers["control"]}, assign)
