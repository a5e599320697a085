"""What makes a ranking request wrong: every field is named, all of them at once."""

import pytest
from google.protobuf.json_format import ParseDict

from ranklift.v1.errors import MAX_VIOLATIONS, InvalidRequest, Violation
from ranklift.v1.ranking_pb2 import Document, RankRequest
from ranklift.v1.requests import RankLimits, validate_rank_request

LIMITS = RankLimits()


def request(**changes: object) -> RankRequest:
    good: dict[str, object] = {
        "query": "wing flutter",
        "documents": [{"id": "a", "title": "Flutter"}, {"id": "b", "text": "Of wings"}],
    }
    return ParseDict(good | changes, RankRequest())


def violations(of: RankRequest, limits: RankLimits = LIMITS) -> tuple[Violation, ...]:
    with pytest.raises(InvalidRequest) as caught:
        validate_rank_request(of, limits)
    return caught.value.violations


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"topN": 2, "maxTokensPerDocument": 5, "returnDocuments": True},
        {"query": "x" * 4_000},
        {"query": "\x00\x07"},
        {"documents": [{"id": "x" * 256, "text": "y" * 100_000}]},
        {"documents": [{"id": str(i), "text": "y"} for i in range(1_000)]},
        {"topN": 99},
    ],
)
def test_good_requests_pass(changes: dict[str, object]) -> None:
    validate_rank_request(request(**changes), LIMITS)


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"query": ""}, "query", "blank"),
        ({"query": " \t\n\u2003"}, "query", "blank"),
        ({"query": "x" * 4_001}, "query", "4001 characters, must have at most 4000"),
        ({"documents": []}, "documents", "empty"),
        (
            {"documents": [{"id": str(i), "text": "y"} for i in range(1_001)]},
            "documents",
            "1001 documents, must be at most 1000",
        ),
        ({"documents": [{"id": " ", "text": "y"}]}, "documents[0].id", "blank"),
        ({"documents": [{"id": "x" * 257, "text": "y"}]}, "documents[0].id", "257 characters"),
        ({"documents": [{"id": "a"}]}, "documents[0]", "neither title nor text"),
        (
            {"documents": [{"id": "a", "title": " ", "text": "\n"}]},
            "documents[0]",
            "neither title nor text",
        ),
        (
            {"documents": [{"id": "a", "text": "y" * 100_001}]},
            "documents[0].text",
            "100001 characters",
        ),
        (
            {"documents": [{"id": "a", "title": "y" * 100_001}]},
            "documents[0].title",
            "100001 characters",
        ),
        ({"topN": -1}, "top_n", "is -1, must be at least 0"),
        ({"maxTokensPerDocument": -7}, "max_tokens_per_document", "is -7"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], field: str, says: str) -> None:
    (violation,) = violations(request(**changes))
    assert violation.field == field
    assert says in violation.description


def test_a_duplicate_id_names_both_places() -> None:
    documents = [{"id": each, "text": "y"} for each in ("a", "b", "a", "a")]
    assert [
        (v.field, "documents[0]" in v.description) for v in violations(request(documents=documents))
    ] == [("documents[2].id", True), ("documents[3].id", True)]


def test_all_wrong_fields_are_named_at_once() -> None:
    wrong = request(query="", documents=[{"id": ""}, {"id": "b", "text": "y"}], topN=-1)
    assert [v.field for v in violations(wrong)] == [
        "query",
        "documents[0].id",
        "documents[0]",
        "top_n",
    ]


def test_a_thousand_wrong_documents_still_fit_into_a_status() -> None:
    found = violations(RankRequest(query="q", documents=[Document()] * 1_000))
    assert len(found) == MAX_VIOLATIONS + 1
    assert found[-1] == Violation("", "and more")
    assert sum(len(str(violation)) for violation in found) < 2_000


def test_limits_are_an_argument() -> None:
    assert violations(request(), RankLimits(max_documents=1))[0].field == "documents"
