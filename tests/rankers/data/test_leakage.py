"""What is in two splits is found, counted and said in one line."""

from __future__ import annotations

from ranklift.rankers.base import ClickedText, RankingList, Text
from ranklift.rankers.data.leakage import leakage


def ranking(query: str, *documents: str) -> RankingList:
    texts = tuple(Text(d, "", f"text of {d}") for d in documents)
    return RankingList(query, texts, (0.0,) * len(texts))


TEST = [ranking("What is lift?", "a", "b"), ranking("drag", "a"), ranking("wings", "c", "d")]


def test_splits_that_share_nothing_leak_nothing() -> None:
    found = leakage([ranking("tails", "a", "b", "c")], TEST)
    assert not found
    assert (found.queries, found.pairs) == ((), ())
    assert str(found) == "none of 3 test queries is in the training split"


def test_a_shared_query_is_found_however_it_is_written() -> None:
    found = leakage([ranking("what is  LIFT", "x", "b"), ranking("Wings", "d", "c")], TEST)
    assert found
    assert found.queries == ("What is lift?", "wings")
    assert found.pairs == (("What is lift?", "b"), ("wings", "c"), ("wings", "d"))
    assert str(found) == (
        '2 of 3 test queries are in the training split too ("What is lift?", "wings"), and '
        '3 of 5 pairs of query and document (e.g. "b for What is lift?", "c for wings"); '
        "split by query text"
    )


def test_clicks_of_a_test_query_leak_too_and_documents_are_told_by_their_text() -> None:
    clicks = [ClickedText("drag", Text("other id", "", "text of a"))]
    found = leakage(clicks, TEST)
    assert (found.queries, found.pairs) == (("drag",), (("drag", "a"),))
    other_text = [ClickedText("drag", Text("a", "", "another"))]
    assert leakage(other_text, TEST).pairs == ()


def test_a_long_query_is_cut_in_the_line() -> None:
    found = leakage([ranking("x" * 500)], [ranking("x" * 500)])
    assert len(str(found)) < 150
    assert "\n" not in str(leakage([ranking("a\nb", "d")], [ranking("a\nb", "d")]))
