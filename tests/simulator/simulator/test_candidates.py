"""First-stage candidates of a collection that has none."""

from pathlib import Path

import pytest

from ranklift.simulator.candidates import RUN, lexical_candidates, load_run, save_run
from ranklift.simulator.collections import Collection, Document
from ranklift.v1.errors import InvalidRequest

COLLECTION = Collection(
    documents={
        "both": Document("both", "Boundary layer", "of a wing"),
        "one": Document("one", "", "a boundary and much else, and still more besides"),
        "none": Document("none", "", "heat transfer"),
    },
    queries={"q": "boundary LAYER?", "unknown": "quark"},
    judgments={},
)


def test_documents_that_share_words_are_found_best_first() -> None:
    assert lexical_candidates(COLLECTION)["q"] == ("both", "one")
    assert lexical_candidates(COLLECTION, depth=1)["q"] == ("both",)


def test_a_query_that_finds_nothing_is_left_out() -> None:
    assert "unknown" not in lexical_candidates(COLLECTION)


def test_a_run_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_run({"q": ("one", "both"), "unknown": ("none",)}, tmp_path)
    assert load_run(COLLECTION, tmp_path) == {"q": ("one", "both"), "unknown": ("none",)}
    assert (tmp_path / RUN).read_text().splitlines()[1] == "q Q0 both 2 -2 candidates"


def test_a_collection_without_a_run_has_none(tmp_path: Path) -> None:
    assert load_run(COLLECTION, tmp_path) is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("q Q0 both 1", "has 4 fields, must have 6"),
        ("q Q0 missing 1 0 x", 'document "missing"'),
        ("other Q0 both 1 0 x", 'query "other"'),
    ],
)
def test_a_bad_line_of_a_run_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / RUN).write_text(f"q Q0 one 1 -1 x\n{line}\n")
    with pytest.raises(InvalidRequest, match=complaint) as refused:
        load_run(COLLECTION, tmp_path)
    assert refused.value.violations[0].field == f"{tmp_path / RUN}:2"
