"""Worlds refuse what they could not play."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ranklift.clicks.keys import hash_id
from ranklift.simulator.world import Appeal, Rankings, World, shown_by_query
from ranklift.v1.errors import InvalidRequest


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"name": "Big World"}, "world.name", "lower-case"),
        ({"name": ""}, "world.name", "1 to 64"),
        ({"seed": -1}, "world.seed", "in [0, 2^64)"),
        ({"candidates": {}}, "world.candidates", "at least one query"),
        ({"candidates": {"q": ("d00000",)}}, 'world.candidates["q"]', "not a query"),
        ({"candidates": {"q00000": ()}}, 'world.candidates["q00000"]', "is empty"),
        ({"candidates": {"q00000": ("x",)}}, 'world.candidates["q00000"]', '"x" is not in'),
        ({"candidates": {"q00000": ("d00000",) * 2}}, 'world.candidates["q00000"]', "twice"),
    ],
)
def test_impossible_worlds_are_refused(
    world: World, change: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        replace(world, **change)
    assert [violation.field for violation in raised.value.violations] == [field]
    assert message in str(raised.value)


def test_a_page_shows_the_first_results_and_is_padded(world: World) -> None:
    query_id = world.query_ids[0]
    rankings: Rankings = {**world.candidates, query_id: world.candidates[query_id][:3]}
    pages = shown_by_query(world, rankings)
    assert pages.log_odds.shape == (world.behaviour.page_size, len(world.query_ids))
    first, second = pages.document[:, 0].tolist(), pages.document[:, 1].tolist()
    assert first[:3] == [hash_id(d) for d in rankings[query_id]]
    assert pages.log_odds[3:, 0].tolist() == [-np.inf] * 7
    assert second == [hash_id(d) for d in rankings[world.query_ids[1]][:10]]


def test_what_a_log_knows_comes_before_the_grade(world: World) -> None:
    query_id, document_id = world.query_ids[0], world.candidates[world.query_ids[0]][0]
    known = replace(world, appeals={query_id: {document_id: Appeal(0.5, 0.25)}})
    pages = shown_by_query(known, world.candidates)
    assert (pages.log_odds[0, 0], pages.satisfaction[0, 0]) == (0, 0.25)
    np.testing.assert_array_equal(
        pages.log_odds[1:], shown_by_query(world, world.candidates).log_odds[1:]
    )


def test_rankings_must_cover_every_query_once(world: World) -> None:
    query_id = world.query_ids[3]
    missing = {q: d for q, d in world.candidates.items() if q != query_id}
    with pytest.raises(InvalidRequest, match=rf'rankings\["{query_id}"\]: is missing'):
        shown_by_query(world, missing)
    twice = {**world.candidates, query_id: ("d00000", "d00000")}
    with pytest.raises(InvalidRequest, match="names a document twice"):
        shown_by_query(world, twice)
