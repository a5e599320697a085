"""Rankings that need no ranker."""

from dataclasses import replace
from pathlib import Path

import pytest

from ranklift.simulator.candidates import lexical_candidates
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.rankings import ideal_rankings, lexical_rankings, run_rankings
from ranklift.simulator.world import Appeal, World
from ranklift.v1.errors import InvalidRequest

COLLECTION = Collection(
    documents={
        "none": Document("none", "", "heat transfer"),
        "one": Document("one", "", "a boundary and much else, and still more besides"),
        "both": Document("both", "Boundary layer", "of a wing"),
    },
    queries={"q": "boundary LAYER?", "unknown": "quark"},
    judgments={"q": {"one": 2}},
)
WORLD = World(
    "w", 1, COLLECTION, {"q": ("none", "one", "both"), "unknown": ("one", "none")}
)  # fmt: skip


def test_ideal_is_what_attracts_most_and_then_satisfies_most() -> None:
    assert list(ideal_rankings(WORLD)["q"]) == ["one", "none", "both"]
    known = {"q": {"both": Appeal(0.9, 0.2), "none": Appeal(0.9, 0.5)}}
    assert list(ideal_rankings(replace(WORLD, appeals=known))["q"]) == ["none", "both", "one"]


def test_bm25_orders_the_candidates_as_it_finds_them() -> None:
    found = lexical_candidates(COLLECTION)["q"]
    assert lexical_rankings(WORLD)["q"] == [*found, "none"]
    assert lexical_rankings(WORLD)["unknown"] == ("one", "none")


def test_a_run_is_in_the_order_of_its_scores(tmp_path: Path) -> None:
    path = tmp_path / "student.trec"
    path.write_text(
        "q Q0 none 1 0.1 x\nq Q0 both 2 0.3 x\nunknown Q0 one 1 1 x\nq Q0 one 3 0.3 x\n"
    )
    assert run_rankings(WORLD, path) == {"q": ("both", "one", "none"), "unknown": ("one",)}
    path.write_text("q Q0 none 1 0.1 x\n")
    with pytest.raises(InvalidRequest, match='nothing for query "unknown"'):
        run_rankings(WORLD, path)
