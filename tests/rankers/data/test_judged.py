"""Lists are the candidates with their grades, and nothing else."""

from __future__ import annotations

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.data.judged import Judged

DOCUMENTS = {d: Text(d, "", f"text of {d}") for d in "abc"}
JUDGED = Judged(
    {"q1": "one", "q2": "two", "q3": "three"},
    DOCUMENTS,
    {"q1": {"a": 2, "c": 1}, "q2": {"a": 1}},
    {"q3": ("c",), "q1": ("b", "a"), "q2": ()},
)


def test_lists_are_the_candidates_of_queries_that_have_some() -> None:
    """Document "c" is relevant to "q1" and no candidate: it is missed, not slipped in."""
    one = RankingList("one", (DOCUMENTS["b"], DOCUMENTS["a"]), (0.0, 2.0))
    three = RankingList("three", (DOCUMENTS["c"],), (0.0,))
    assert JUDGED.lists() == [one, three]
    assert JUDGED.lists(["q3", "q2", "q1"]) == [three, one]
    assert JUDGED.lists(JUDGED.grades) == [one]


def test_what_nobody_judged_has_grade_0() -> None:
    assert [JUDGED.grade(*pair) for pair in (("q1", "a"), ("q1", "b"), ("q3", "a"))] == [2, 0, 0]
