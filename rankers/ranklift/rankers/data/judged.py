"""Queries, documents, grades and candidates: the value that lists are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ranklift.rankers.base import RankingList, Text


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged, and what is to be ranked.

    Query texts and documents by id; the grades, whole numbers of at least 0, of the judged
    documents by query id and document id; the candidates by query id, best first by whatever
    found them, and by id where nothing did: an order that gives the grades away would flatter
    a ranker whose scores tie. Grades and candidates name known queries and documents only.
    Where a source has no ids for its queries, a query's text is its id.
    """

    queries: Mapping[str, str]
    documents: Mapping[str, Text]
    grades: Mapping[str, Mapping[str, int]]
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def grade(self, query_id: str, document_id: str) -> int:
        """Return how relevant the document is to the query; 0 where nobody judged."""
        return self.grades.get(query_id, {}).get(document_id, 0)

    def lists(self, query_ids: Iterable[str] | None = None) -> list[RankingList]:
        """Return the candidates of queries, of all by default, with their grades.

        A query without candidates has no list: there is nothing to rank. Relevant documents
        that are no candidates are missed by every ranker alike.
        """
        return [
            self.list_of(query_id, self.candidates[query_id])
            for query_id in (self.queries if query_ids is None else query_ids)
            if self.candidates.get(query_id)
        ]

    def list_of(self, query_id: str, document_ids: Iterable[str]) -> RankingList:
        """Return some documents, with their grades, as a list of the query."""
        chosen = tuple(document_ids)
        return RankingList(
            self.queries[query_id],
            tuple(self.documents[document_id] for document_id in chosen),
            tuple(float(self.grade(query_id, document_id)) for document_id in chosen),
        )
