"""The compact log: the same events as the frames, however the users are cut into parts."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ranklift.clicks.counts import CellCounts, count
from ranklift.clicks.dbn import Dbn
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.compact import (
    CompactLog,
    Script,
    Split,
    compact_log,
    page_ids,
    script,
    user_ranges,
)
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import Assignment, SimulatedRanker, simulate_experiment
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest

USERS = 120


@pytest.fixture(scope="module", params=["planned", "reacting"])
def played(request: pytest.FixtureRequest, world: World, ideal: Rankings) -> Script:
    """Two arms in a DBN world of users who react, or whose pages are planned."""
    sessions = Sessions(visits_per_month=20) if request.param == "reacting" else None
    world = replace(world, behaviour=Behaviour(Dbn()), sessions=sessions)
    return script(world, {"control": world.candidates, "student": ideal})


@pytest.fixture(scope="module")
def whole(played: Script) -> CompactLog:
    return compact_log(played, 0, USERS)


def assert_same(one: CompactLog, other: CompactLog) -> None:
    assert_frame_equal(one.pages, other.pages)
    assert_frame_equal(one.clicks, other.clicks)


def test_it_holds_the_events_of_the_frames(played: Script, whole: CompactLog) -> None:
    world = played.world
    arms = played.arm_of(np.arange(USERS))

    def assign(user_id: str) -> Assignment:
        arm = played.arms[arms[int(user_id.removeprefix("small-"))]]
        return Assignment("wings", 1, "default", arm, user_id, 0)

    rankings = {"control": world.candidates, "student": _ideal_of(played)}
    rankers = {arm: SimulatedRanker(rankings[arm], arm, "1") for arm in played.arms}
    frames = simulate_experiment(world, rankers, assign)
    pages = whole.pages
    assert [
        world.page_id(*row) for row in pages.select("user_id", "session_id", "step").iter_rows()
    ] == frames.pages["impression_id"].to_list()
    assert pages["arm"].cast(pl.String).to_list() == frames.pages["model"].to_list()
    assert pages["timestamp"].to_list() == frames.pages["page_time"].to_list()
    texts = [world.collection.queries[world.query_ids[q]] for q in pages["query"]]
    assert texts == frames.pages["query"].to_list()
    clicks = whole.clicks
    assert len(clicks) > 40
    named = dict(zip(pages["page_id"], frames.pages["impression_id"], strict=True))
    assert [named[p] for p in clicks["page_id"]] == frames.clicks["impression_id"].to_list()
    assert clicks["position"].to_list() == frames.clicks["position"].to_list()
    documents = [played.documents[d] for d in clicks["document"]]
    assert documents == frames.clicks["document_id"].to_list()
    # As `ranklift lift` reads it: to whole milliseconds.
    dwell_ms = (clicks["dwell_seconds"].cast(pl.Float64) * 1_000).round().cast(pl.Int64)
    assert dwell_ms.to_list() == frames.dwells["dwell_ms"].to_list()


def _ideal_of(played: Script) -> Rankings:
    """Read the second arm's rankings off the tables of the script."""
    queries = played.world.query_ids
    columns = played.document[:, len(queries) :].T
    return {q: [played.documents[d] for d in row] for q, row in zip(queries, columns, strict=True)}


@pytest.mark.parametrize(("workers", "part"), [(1, 1), (2, 7), (3, 50), (2, USERS)])
def test_neither_workers_nor_parts_change_it(
    played: Script, whole: CompactLog, workers: int, part: int
) -> None:
    assert_same(compact_log(played, 0, USERS, workers=workers, part=part), whole)


@pytest.mark.parametrize("who", [0, 61, 119])
def test_a_user_alone_is_the_user_in_the_crowd(played: Script, whole: CompactLog, who: int) -> None:
    alone = compact_log(played, who, who + 1)
    assert_frame_equal(alone.pages, whole.pages.filter(pl.col("user_id") == who))
    assert_frame_equal(
        alone.clicks, whole.clicks.filter(pl.col("page_id").is_in(alone.pages["page_id"].implode()))
    )


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, USERS - 1), max_size=4))
def test_shards_add_up_to_the_whole(played: Script, whole: CompactLog, cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), USERS]
    shards = [compact_log(played, a, b) for a, b in pairwise(edges)]
    merged = shards[0]
    for shard in shards[1:]:
        merged = merged + shard
    assert_same(merged, whole)
    for name in ("pages", "clicks"):
        assert sum(len(getattr(shard, name)) for shard in shards) == len(getattr(whole, name))
    counts = [counts_of(played, shard) for shard in shards if len(shard.pages)]
    total = counts[0]
    for more in counts[1:]:
        total = total + more
    expected = counts_of(played, whole)
    for name in ("pair", "cell", "impressions", "clicks"):
        np.testing.assert_array_equal(getattr(total, name), getattr(expected, name))


def counts_of(played: Script, log: CompactLog) -> CellCounts:
    """Return how often each query's document was shown and clicked at each rank."""
    pages = log.pages.with_columns(arm=pl.col("arm").to_physical().cast(pl.Int64))
    column = pages["arm"].to_numpy() * len(played.world.query_ids) + pages["query"].to_numpy()
    document = played.document[:, column].T  # (pages, ranks)
    pair = pages["query"].to_numpy()[:, None] * np.int64(len(played.documents)) + document
    row = dict(zip(pages["page_id"].to_list(), range(len(pages)), strict=True))
    clicked = np.zeros(document.shape)
    at = [row[p] for p in log.clicks["page_id"].to_list()]
    clicked[at, log.clicks["position"].to_numpy().astype(int) - 1] = 1
    rank = np.broadcast_to(np.arange(document.shape[1]), document.shape)
    return count(pair, rank, np.ones(document.shape), clicked)


def test_the_split_is_even_and_knows_nothing_of_who_clicks(world: World) -> None:
    arm = Split(2, 5)(np.arange(40_000))
    assert set(arm) == {0, 1}
    assert abs(arm.mean() - 0.5) < 4 * 0.5 / 200
    assert abs((arm != Split(2, 6)(np.arange(40_000))).mean() - 0.5) < 4 * 0.5 / 200
    many = replace(world, population=Population(users=40_000))
    propensity = many.users_at(many.first_pages()).log_propensity
    assert abs(np.corrcoef(arm, propensity)[0, 1]) < 4 / 200
    assert set(Split(3, 5)(np.arange(100))) == {0, 1, 2}


def test_page_ids_ascend_and_are_never_given_twice(played: Script) -> None:
    log = compact_log(played, 0, USERS)
    ids = log.pages["page_id"]
    assert ids.is_unique().all()
    assert ids.is_sorted()
    first = played.world.first_pages(np.array([1]))
    with pytest.raises(ValueError, match="shorten the span"):
        page_ids(replace(first, step=np.full(len(first), 1 << 14)))


@pytest.mark.parametrize(("first", "end"), [(5, 5), (-1, 5), (0, (1 << 31) + 1)])
def test_users_that_cannot_be_are_refused(played: Script, first: int, end: int) -> None:
    with pytest.raises(InvalidRequest, match="0 <= first < end"):
        user_ranges(played.world, first, end, None)


def test_an_experiment_has_arms_and_they_rank_every_query(world: World) -> None:
    with pytest.raises(InvalidRequest, match="at least one"):
        script(world, {})
    with pytest.raises(InvalidRequest, match="is missing"):
        script(world, {"control": {}})
