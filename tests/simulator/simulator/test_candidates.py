"""First-stage candidates of a collection that has none."""

from ranklift.simulator.candidates import lexical_candidates
from ranklift.simulator.collections import Collection, Document

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
