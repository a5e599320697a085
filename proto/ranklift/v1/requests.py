"""What makes a ranking request wrong, whoever receives it: the gateway or a ranker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ranklift.v1 import ranking_pb2
from ranklift.v1.errors import Violation, refuse_if_any


@dataclass(frozen=True, slots=True)
class RankLimits:
    """How large a ranking request may be; texts, queries and ids in characters."""

    max_documents: int = 1_000
    max_text_chars: int = 100_000
    max_query_chars: int = 4_000
    max_id_chars: int = 256


def validate_rank_request(request: ranking_pb2.RankRequest, limits: RankLimits) -> None:
    """Check a ranking request and name everything wrong with it, up to 20 fields.

    Raises:
        InvalidRequest: a field is missing, too long, out of range or ambiguous.
    """
    refuse_if_any(_violations(request, limits))


def _violations(request: ranking_pb2.RankRequest, limits: RankLimits) -> Iterator[Violation]:
    if not request.query.strip():
        yield Violation("query", "is blank; give what the user asked for")
    elif len(request.query) > limits.max_query_chars:
        yield _too_long("query", len(request.query), limits.max_query_chars)
    if not request.documents:
        yield Violation("documents", "is empty; give at least one document")
    elif len(request.documents) > limits.max_documents:
        yield Violation(
            "documents",
            f"holds {len(request.documents)} documents, must be at most {limits.max_documents}; "
            "split the request or keep the best candidates",
        )
    else:
        yield from _document_violations(request, limits)
    for field in ("top_n", "max_tokens_per_document"):
        number = getattr(request, field)
        if number < 0:
            yield Violation(field, f"is {number}, must be at least 0; 0 means no limit of yours")


def _document_violations(
    request: ranking_pb2.RankRequest, limits: RankLimits
) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for i, document in enumerate(request.documents):
        field = f"documents[{i}]"
        if not document.id.strip():
            yield Violation(f"{field}.id", "is blank; give every document an id")
        elif len(document.id) > limits.max_id_chars:
            yield _too_long(f"{field}.id", len(document.id), limits.max_id_chars)
        elif first.setdefault(document.id, i) != i:
            yield Violation(
                f"{field}.id",
                f"is that of documents[{first[document.id]}] too; ids must be unique",
            )
        if not document.title.strip() and not document.text.strip():
            yield Violation(field, "has neither title nor text; give at least one of them")
        for name, text in (("title", document.title), ("text", document.text)):
            if len(text) > limits.max_text_chars:
                yield _too_long(f"{field}.{name}", len(text), limits.max_text_chars)


def _too_long(field: str, length: int, limit: int) -> Violation:
    return Violation(field, f"has {length} characters, must have at most {limit}; shorten it")
