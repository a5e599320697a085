"""The synthetic collection: its structure, and how hard it is."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ranklift.simulator.candidates import lexical_candidates
from ranklift.simulator.synthetic import FULL, QUICK, Synthetic, SyntheticSize, synthesize
from ranklift.v1.errors import InvalidRequest


def words_of(synthetic: Synthetic) -> set[str]:
    return {
        word
        for document in synthetic.collection.documents.values()
        for word in f"{document.title} {document.text}".split()
    }


@pytest.mark.parametrize(
    ("size", "documents", "queries"), [(QUICK, 4_800, 1_200), (FULL, 12_000, 3_000)]
)
def test_sizes(size: SyntheticSize, documents: int, queries: int) -> None:
    synthetic = synthesize(size, rng=np.random.default_rng(0))
    assert len(synthetic.collection.documents) == documents
    assert len(synthetic.collection.queries) == queries
    assert len(words_of(synthetic)) <= 600


def test_a_seed_gives_the_same_collection_and_another_seed_another() -> None:
    first, again, other = (synthesize(QUICK, rng=np.random.default_rng(s)) for s in (5, 5, 6))
    assert first == again
    assert first.collection.queries != other.collection.queries


def test_queries_are_two_words_that_nobody_else_asks(quick: Synthetic) -> None:
    texts = quick.collection.queries.values()
    assert all(len(text.split()) == 2 for text in texts)
    assert len(set(texts)) == len(texts)


def test_documents_have_a_title_and_a_short_text(quick: Synthetic) -> None:
    lengths = Counter(len(d.text.split()) for d in quick.collection.documents.values())
    assert 10 <= min(lengths) <= max(lengths) <= 16
    assert {len(d.title.split()) for d in quick.collection.documents.values()} == {2, 3}


def test_each_query_has_sixteen_candidates_of_all_grades(quick: Synthetic) -> None:
    for query_id, document_ids in quick.candidates.items():
        grades = Counter(quick.collection.grade(query_id, d) for d in document_ids)
        assert len(set(document_ids)) == 16
        assert grades[2] in (2, 3)
        assert grades[1] in (2, 3, 4)
        assert set(grades) == {0, 1, 2}


def test_candidates_stand_in_no_telling_order(quick: Synthetic) -> None:
    grades = [
        [quick.collection.grade(query_id, d) for d in document_ids]
        for query_id, document_ids in quick.candidates.items()
    ]
    by_place = np.mean(grades, axis=0)  # mean grade .5, standard error .02 at each place
    assert np.ptp(by_place) < 0.25


def test_relevant_documents_often_use_other_words_and_distractors_the_same(
    quick: Synthetic,
) -> None:
    has_word: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for query_id, document_ids in quick.candidates.items():
        synonym = quick.collection.queries[query_id].split()[0]
        for document_id in document_ids:
            document = quick.collection.documents[document_id]
            grade = quick.collection.grade(query_id, document_id)
            has_word[grade].append(synonym in f"{document.title} {document.text}".split())
    shares = {grade: np.mean(found) for grade, found in has_word.items()}
    assert 0.15 < shares[0] < 0.4
    assert 0.35 < shares[2] < 0.6


def test_counting_words_is_decent_and_far_from_perfect(quick: Synthetic) -> None:
    """BM25 puts 55 to 70 % of the pairs of different grade in order; chance is 50 %."""
    collection = quick.collection
    order = lexical_candidates(collection, depth=len(collection.documents))
    right = []
    for query_id, document_ids in quick.candidates.items():
        place = {d: n for n, d in enumerate(order[query_id])}
        grade = np.array([collection.grade(query_id, d) for d in document_ids])
        # Documents without any word of the query tie at the end.
        rank = np.array([place.get(d, len(place)) for d in document_ids])
        better, worse = np.nonzero(grade[:, None] > grade)
        right.append(np.mean((rank[better] < rank[worse]) + 0.5 * (rank[better] == rank[worse])))
    assert 0.55 < np.mean(right) < 0.70


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"concepts": 1}, "size.concepts"),
        ({"attributes_per_concept": 21}, "size.attributes_per_concept"),
        ({"queries_per_topic": 4}, "size.queries_per_topic"),
        ({"fillers": 0}, "size.fillers"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        replace(QUICK, **change)
    assert [violation.field for violation in raised.value.violations] == [field]
