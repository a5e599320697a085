"""What makes a ranking request wrong, whoever receives it: the gateway or a ranker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from ranklift.v1 import ranking_pb2
from ranklift.v1.errors import Violation, refuse_if_any


@dataclass(frozen=True, slots=True)
class RankLimits:
    """How large a ranking request may be; texts, queries and ids in characters."""

    max_documents: int = 1_000
    max_text_chars: int = 100_000
    max_query_chars: int = 4_000
    max_id_chars: int = 256


MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_CHARS = 128

Texts = tuple[str, str, str]
"""A document's id, title and text."""

_texts = attrgetter("id", "title", "text")


def validate_rank_request(request: ranking_pb2.RankRequest, limits: RankLimits) -> Sequence[Texts]:
    """Check a ranking request and name everything wrong with it, up to 20 fields.

    Returns the documents' texts, since to read them out of the message is most of the work.

    Raises:
        InvalidRequest: a field is missing, too long, out of range or ambiguous.
    """
    fits = len(request.documents) <= limits.max_documents
    documents: list[Texts] = list(map(_texts, request.documents)) if fits else []
    refuse_if_any(_violations(request, documents, limits))
    return documents


def _violations(
    request: ranking_pb2.RankRequest, documents: Sequence[Texts], limits: RankLimits
) -> Iterator[Violation]:
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
        yield from _document_violations(documents, limits)
    for field in ("top_n", "max_tokens_per_document"):
        number = getattr(request, field)
        if number < 0:
            yield Violation(field, f"is {number}, must be at least 0; 0 means no limit of yours")
    yield from attribute_violations(request.attributes)


def attribute_violations(attributes: Mapping[str, str]) -> Iterator[Violation]:
    """Return what is wrong with the attributes of a request, by their names."""
    if len(attributes) > MAX_ATTRIBUTES:
        yield Violation(
            "attributes", f"holds {len(attributes)} attributes, must be at most {MAX_ATTRIBUTES}"
        )
        return
    for name, value in attributes.items():
        for what, text in (("name", name), ("value", value)):
            if len(text) > MAX_ATTRIBUTE_CHARS:
                yield Violation(
                    f"attributes[{name[:MAX_ATTRIBUTE_CHARS]}]",
                    f"has a {what} of {len(text)} characters, must have at most "
                    f"{MAX_ATTRIBUTE_CHARS}",
                )


def _document_violations(documents: Sequence[Texts], limits: RankLimits) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for i, (document_id, title, text) in enumerate(documents):
        if not document_id.strip():
            yield Violation(f"documents[{i}].id", "is blank; give every document an id")
        elif len(document_id) > limits.max_id_chars:
            yield _too_long(f"documents[{i}].id", len(document_id), limits.max_id_chars)
        elif first.setdefault(document_id, i) != i:
            yield Violation(
                f"documents[{i}].id",
                f"is that of documents[{first[document_id]}] too; ids must be unique",
            )
        if not text.strip() and not title.strip():
            yield Violation(
                f"documents[{i}]", "has neither title nor text; give at least one of them"
            )
        if len(title) > limits.max_text_chars:
            yield _too_long(f"documents[{i}].title", len(title), limits.max_text_chars)
        if len(text) > limits.max_text_chars:
            yield _too_long(f"documents[{i}].text", len(text), limits.max_text_chars)


def _too_long(field: str, length: int, limit: int) -> Violation:
    return Violation(field, f"has {length} characters, must have at most {limit}; shorten it")
