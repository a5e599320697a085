"""Queries made of documents, by their laws."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.base import Text
from ranklift.rankers.data.pseudo_queries import pseudo_queries
from ranklift.v1.errors import InvalidRequest

WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), max_size=12)
DOCUMENTS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6).map(
    lambda texts: [
        Text(f"d{i}", " ".join(title), " ".join(text)) for i, (title, text) in enumerate(texts)
    ]
)


def long_documents(count: int) -> list[Text]:
    return [
        Text(f"d{i}", f"title{i} of it", " ".join(f"w{i}x{k}" for k in range(30)))
        for i in range(count)
    ]


@given(DOCUMENTS, st.integers(1, 40), st.integers(1, 4), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_a_query_is_words_of_its_source_that_stand_together(
    documents: list[Text], count: int, shortest: int, more: int, seed: int
) -> None:
    by_id = {document.id: document.body for document in documents}
    if not any(len(body.split()) >= shortest for body in by_id.values()):
        return
    found = pseudo_queries(documents, count, shortest=shortest, longest=shortest + more, seed=seed)
    assert 1 <= len(found) <= count
    assert len({query.text for query in found}) == len(found)
    for query in found:
        assert shortest <= len(query.text.split()) <= shortest + more
        assert f" {query.text} " in f" {' '.join(by_id[query.source].split())} "


def test_every_document_is_asked_once_before_any_is_asked_again() -> None:
    found = pseudo_queries(long_documents(10), 25, seed=1)
    asked = Counter(query.source for query in found)
    assert len(found) == 25
    assert set(asked.values()) == {2, 3}
    assert len({query.source for query in found[:10]}) == 10


def test_an_opening_begins_with_the_title_and_others_begin_anywhere() -> None:
    documents = long_documents(40)
    first = {document.id: document.body.split()[0] for document in documents}

    def share_at_the_start(openings: float) -> float:
        found = pseudo_queries(documents, 400, openings=openings, seed=2)
        return sum(q.text.split()[0] == first[q.source] for q in found) / len(found)

    assert share_at_the_start(1.0) == 1.0
    assert share_at_the_start(0.0) < 0.15


def test_the_seed_decides() -> None:
    documents = long_documents(10)
    assert pseudo_queries(documents, 20, seed=1) == pseudo_queries(documents, 20, seed=1)
    assert pseudo_queries(documents, 20, seed=1) != pseudo_queries(documents, 20, seed=2)


def test_what_can_be_asked_is_asked_and_no_more() -> None:
    found = pseudo_queries([Text("d", "", "one two three")], 50, shortest=2, longest=2, seed=0)
    assert {query.text for query in found} == {"one two", "two three"}


def test_one_long_document_is_asked_again_though_some_rounds_say_nothing_new() -> None:
    words = " ".join(f"w{i}" for i in range(500))
    for seed in range(8):
        made = pseudo_queries([Text("d", "", words)], 200, seed=seed)
        assert len({query.text for query in made}) == 200


def test_documents_too_short_are_never_asked() -> None:
    documents = [Text("short", "", "one two"), Text("long", "", "one two three four five six")]
    assert {query.source for query in pseudo_queries(documents, 3)} == {"long"}
    with pytest.raises(InvalidRequest, match="none has 5 words"):
        pseudo_queries(documents[:1], 3)


@pytest.mark.parametrize(
    ("numbers", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 1, "shortest": 0}, "shortest"),
        ({"count": 1, "shortest": 9, "longest": 8}, "shortest"),
        ({"count": 1, "openings": 1.5}, "openings"),
    ],
)
def test_numbers_out_of_range_are_named(numbers: dict[str, float], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        pseudo_queries(long_documents(2), **numbers)  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == [field]
