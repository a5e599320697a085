"""Negatives: never what is relevant or may well be, and the same whatever the input's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.rankers.base import Text
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.negatives import Mix, negatives, training_lists
from ranklift.v1.errors import InvalidRequest

DOCUMENTS = [f"d{n}" for n in range(12)]


def judged(
    grades: Mapping[str, Mapping[str, int]],
    candidates: Mapping[str, tuple[str, ...]],
    documents: list[str] = DOCUMENTS,
) -> Judged:
    texts = {d: Text(d, "", f"text of {d}") for d in documents}
    return Judged({q: f"query {q}" for q in grades}, texts, grades, candidates)


GRADES = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 2), min_size=1),
    min_size=1,
)
MIXES = st.builds(
    Mix,
    lexical=st.integers(0, 4),
    hard=st.integers(0, 4),
    random=st.integers(0, 20),
    depth=st.integers(1, 12),
    margin=st.floats(0, 2),
    margin_kind=st.sampled_from(["absolute", "relative"]),
)


@settings(deadline=None)
@given(
    grades=GRADES,
    mix=MIXES,
    candidates=st.permutations(DOCUMENTS),
    scores=st.lists(st.floats(-3, 3), min_size=12, max_size=12),
    seed=st.integers(0, 5),
)
def test_negatives_are_never_relevant_and_never_doubtful(
    grades: dict[str, dict[str, int]],
    mix: Mix,
    candidates: list[str],
    scores: list[float],
    seed: int,
) -> None:
    scored = dict(zip(DOCUMENTS, scores, strict=True))
    data = judged(grades, {q: tuple(candidates) for q in grades})
    of_all = dict.fromkeys(grades, scored)
    found = negatives(data, mix, scores=of_all, seed=seed)
    assert set(found.by_query) == {q for q, of_query in grades.items() if any(of_query.values())}
    for query_id, chosen in found.by_query.items():
        lowest = min(scored[d] for d, grade in grades[query_id].items() if grade > 0)
        margin = mix.margin * (abs(lowest) if mix.margin_kind == "relative" else 1)
        assert len(set(chosen)) == len(chosen) <= mix.hard + mix.lexical + mix.random
        for document_id in chosen:
            assert data.grade(query_id, document_id) == 0
            if document_id not in grades[query_id]:
                assert scored[document_id] < lowest - margin
        # With so many random ones asked for, everything that may be one is.
        if mix.random >= len(DOCUMENTS):
            assert set(chosen) == {
                d
                for d in DOCUMENTS
                if grades[query_id].get(d, 0) == 0
                and (d in grades[query_id] or scored[d] < lowest - margin)
            }
    wanted = len(found.by_query) * (mix.hard + mix.lexical + mix.random)
    assert found.short == wanted - sum(map(len, found.by_query.values()))

    # The order of the input, and the other queries, change nothing.
    turned = judged(
        {q: dict(reversed(of_query.items())) for q, of_query in reversed(grades.items())},
        data.candidates,
        DOCUMENTS[::-1],
    )
    turned_scores = {q: dict(reversed(scored.items())) for q in of_all}
    assert negatives(turned, mix, scores=turned_scores, seed=seed).by_query == found.by_query
    for query_id in found.by_query:
        alone = judged({query_id: grades[query_id]}, data.candidates)
        only = negatives(alone, mix, scores=of_all, seed=seed).by_query
        assert only == {query_id: found.by_query[query_id]}


def test_hard_negatives_by_hand() -> None:
    data = judged({"q": {"d0": 2, "d1": 1, "d2": 0}}, {})
    scores = {"q": {"d0": 5.0, "d1": 4.0, "d2": 4.5, "d3": 4.2, "d4": 3.9, "d5": 3.0, "d6": 2.0}}

    def hard(
        margin: float, kind: Literal["absolute", "relative"] = "absolute"
    ) -> tuple[tuple[str, ...], int, int]:
        mix = Mix(lexical=0, hard=3, random=0, margin=margin, margin_kind=kind)
        found = negatives(data, mix, scores=scores)
        return found.by_query["q"], found.doubtful, found.short

    # d2 is above the lower positive, but people judged it.
    assert hard(0.0) == (("d2", "d4", "d5"), 1, 0)
    assert hard(0.5) == (("d2", "d5", "d6"), 2, 0)
    assert hard(1.0) == (("d2", "d6"), 3, 1)  # 3.0 is not below 4.0 - 1.0
    assert hard(0.25, "relative") == (("d2", "d6"), 3, 1)
    assert hard(0.2, "relative") == (("d2", "d5", "d6"), 2, 0)


def test_a_relative_margin_is_one_for_logits_below_0_too() -> None:
    data = judged({"q": {"d0": 1}}, {})
    scores = {"q": {"d0": -4.0, "d1": -3.9, "d2": -4.3, "d3": -4.5}}
    mix = Mix(lexical=0, hard=2, random=0, margin=0.1, margin_kind="relative")
    assert negatives(data, mix, scores=scores).by_query["q"] == ("d3",)


def test_lexical_negatives_come_from_the_best_candidates() -> None:
    data = judged({"q": {"d0": 1}}, {"q": tuple(DOCUMENTS)})
    drawn = {
        negatives(data, Mix(lexical=2, random=0, depth=4), seed=seed).by_query["q"]
        for seed in range(200)
    }
    # Of the first four without the positive: every pair in every order.
    assert drawn == {(a, b) for a in DOCUMENTS[1:4] for b in DOCUMENTS[1:4] if a != b}


def test_the_order_of_the_best_candidates_changes_nothing() -> None:
    mix = Mix(lexical=2, random=0, depth=4)
    drawn = [
        negatives(judged({"q": {"d0": 1}}, {"q": order}), mix).by_query
        for order in (("d0", "d1", "d2", "d3", "d4"), ("d3", "d2", "d1", "d0", "d5"))
    ]
    assert drawn[0] == drawn[1]


def test_random_negatives_are_uniform() -> None:
    data = judged({"q": {"d0": 1, "d1": 0}}, {})
    counts = dict.fromkeys(DOCUMENTS[1:], 0)
    for seed in range(2_200):
        (only,) = negatives(data, Mix(lexical=0, random=1), seed=seed).by_query["q"]
        counts[only] += 1
    # Chi-squared with 10 degrees of freedom: 29.6 is the 0.1 % point.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 29.6


def test_queries_draw_apart() -> None:
    data = judged({"q1": {"d0": 1}, "q2": {"d0": 1}}, {})
    drawn = [negatives(data, Mix(lexical=0, random=5), seed=seed).by_query for seed in range(5)]
    assert sum(each["q1"] != each["q2"] for each in drawn) >= 4


def test_a_list_holds_what_was_judged_and_the_negatives() -> None:
    data = judged({"q": {"d0": 2, "d1": 0}, "none": {"d2": 0}}, {})
    found = negatives(data, Mix(lexical=0, random=12))
    (only,) = training_lists(data, found)
    assert only.query == "query q"
    assert [d.id for d in only.documents] == sorted(DOCUMENTS)
    assert dict(zip([d.id for d in only.documents], only.targets, strict=True)) == {
        d: 2.0 if d == "d0" else 0.0 for d in DOCUMENTS
    }


@pytest.mark.parametrize(
    ("mix", "scores", "message"),
    [
        (Mix(hard=1), None, "hard: needs a model's scores"),
        (Mix(margin=0.5), None, "margin: needs a model's scores"),
        (Mix(lexical=-1), None, "lexical: is -1, must be at least 0"),
        (Mix(margin=float("nan")), {}, "margin: is nan"),
        (Mix(depth=0), None, "depth: is 0"),
        (Mix(), {}, r'scores\["q"\]: lack 2 of 2 positives, "d0" first'),
        (Mix(), {"q": {"d0": 1.0}}, r'scores\["q"\]: lack 1 of 2 positives, "d1" first'),
        (Mix(), {"q": {"d0": 1.0, "d1": float("nan")}}, 'are not finite for "d1"'),
        (Mix(), {"q": {"d0": 1.0, "d1": 1.0, "x": 1.0}}, 'score "x", which is no document'),
    ],
)
def test_a_mix_that_cannot_be_is_refused(
    mix: Mix, scores: dict[str, dict[str, float]] | None, message: str
) -> None:
    data = judged({"q": {"d0": 1, "d1": 1}}, {})
    with pytest.raises(InvalidRequest, match=message):
        negatives(data, mix, scores=scores)
