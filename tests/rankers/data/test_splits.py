"""Folds by query: a partition that nothing but a query's own words decides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.clicks.query_text import normalised
from ranklift.rankers.data.splits import folds
from ranklift.v1.errors import InvalidRequest

QUERIES = {f"q{n}": f"query number {n}" for n in range(200)}
WORDS = st.text("aAbB\u00df ?.!\ufb01\uff10", min_size=1, max_size=5)


@pytest.mark.parametrize("count", [2, 5, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_folds_part_the_queries(count: int, seed: int) -> None:
    parts = folds(QUERIES, count, seed=seed)
    assert sorted(q for fold in parts for q in fold.test) == sorted(QUERIES)
    for fold in parts:
        assert tuple(q for q in QUERIES if q not in fold.test) == fold.train
        # 6 standard deviations of a binomial count.
        mean = len(QUERIES) / count
        assert abs(len(fold.test) - mean) < 6 * (mean * (1 - 1 / count)) ** 0.5


@settings(deadline=None)
@given(others=st.lists(st.integers(0, 10_000), unique=True), seed=st.integers(0, 3))
def test_a_query_never_moves_when_others_come_or_go(others: list[int], seed: int) -> None:
    def fold_of(query_id: str, queries: dict[str, str]) -> int:
        parts = folds(queries, 3, seed=seed)
        return next(number for number, fold in enumerate(parts) if query_id in fold.test)

    few = {q: QUERIES[q] for q in list(QUERIES)[:30]}
    more = {f"other{n}": f"other {n}" for n in others} | dict(reversed(few.items()))
    assert [fold_of(q, few) for q in few] == [fold_of(q, more) for q in few]


@settings(deadline=None)
@given(texts=st.lists(WORDS, min_size=1))
def test_queries_that_say_the_same_go_together(texts: list[str]) -> None:
    queries = QUERIES | {f"w{i}": text for i, text in enumerate(texts)}
    queries |= {f"again{i}": f"  {text.upper()} ?" for i, text in enumerate(texts)}
    for fold in folds(queries, 3):
        train = {normalised(queries[q]) for q in fold.train}
        assert not train & {normalised(queries[q]) for q in fold.test}


def test_what_makes_queries_the_same() -> None:
    same = ["What is  BM25?", "what is bm25", "\uff37hat is bm25 !", "what\tis bm25\n"]
    assert {normalised(text) for text in same} == {"what is bm25"}
    assert normalised("Stra\u00dfe") == normalised("STRASSE")
    different = ["c", "c++", "c#", ".net", "net", "?", "!", "a b", "ab"]
    assert len({normalised(text) for text in different}) == len(different)


@settings(deadline=None)
@given(text=WORDS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_another_seed_parts_otherwise_and_the_same_one_the_same_in_every_release() -> None:
    assert folds(QUERIES, 5) == folds(QUERIES, 5)
    assert folds(QUERIES, 5) != folds(QUERIES, 5, seed=1)
    # Pinned: a query that changed its fold would be judged by who learnt it.
    assert folds(QUERIES, 5)[0].test[:5] == ("q1", "q3", "q10", "q12", "q18")


def test_an_empty_fold_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidRequest) as raised:
        folds({"a": "one", "b": "two"}, 5)
    (violation,) = raised.value.violations
    assert violation.field == "folds"
    assert "2 queries leave" in violation.description
    assert "of 5 folds empty" in violation.description
    assert "ask for fewer folds" in violation.description
    with pytest.raises(InvalidRequest, match="folds: is 1, must be at least 2"):
        folds(QUERIES, 1)
