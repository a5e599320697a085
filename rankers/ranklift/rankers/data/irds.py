"""Whatever the package ir_datasets knows, by its id there, e.g. "vaswani" or "beir/fiqa/test".

MacAvaney et al., "Simplified data wrangling with ir_datasets", SIGIR 2021. The package fetches
what is not on this machine yet, where it may.
"""

from __future__ import annotations

from typing import Any

from ranklift.rankers.base import Text
from ranklift.rankers.data.judged import Judged
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady, Unreachable


def read_irds(name: str) -> Judged:
    """Return a dataset by its id: see `judged_of`.

    Raises:
        NotReady: ir_datasets is not installed.
        NotFound: it knows no such dataset.
        Unreachable, InvalidRequest: as `judged_of`.
    """
    try:
        import ir_datasets
    except ImportError as error:
        raise NotReady.of(
            f"irds:{name}", 'needs ir_datasets, which is not here; run "pip install ir-datasets"'
        ) from error
    try:
        dataset = ir_datasets.load(name)
    except KeyError as error:
        raise NotFound.of(
            f"irds:{name}", "ir_datasets knows no such dataset; look its id up in its catalog"
        ) from error
    return judged_of(dataset, name)


def judged_of(dataset: Any, name: str) -> Judged:
    """Return a dataset of ir_datasets: queries, judgments, and the candidates that it ships.

    With candidates, only the documents that they or the judgments name are kept. Documents
    without title and text are left out wherever they are named, as no ranker takes them. A grade
    below 0, by which TREC marks spam, counts as 0.

    Raises:
        Unreachable: the data is not here and cannot be fetched.
        InvalidRequest: the dataset has no documents or queries, or names some that it lacks.
    """
    if not dataset.has_docs() or not dataset.has_queries():
        raise InvalidRequest.of(
            f"irds:{name}", "has no documents or no queries; choose a part that has both"
        )
    try:
        return _read(dataset, name)
    except (OSError, RuntimeError) as error:  # RuntimeError: all downloads failed
        raise Unreachable.of(
            f"irds:{name}",
            "ir_datasets cannot get the data; fetch it where there is a network "
            f"({str(error).splitlines()[0][:80]})",
        ) from error


def _read(dataset: Any, name: str) -> Judged:
    queries = {query.query_id: query.default_text() for query in dataset.queries_iter()}
    grades: dict[str, dict[str, int]] = {}
    for qrel in dataset.qrels_iter() if dataset.has_qrels() else ():
        grades.setdefault(qrel.query_id, {})[qrel.doc_id] = max(0, qrel.relevance)
    scores: dict[str, dict[str, float]] = {}
    for found in dataset.scoreddocs_iter() if dataset.has_scoreddocs() else ():
        scores.setdefault(found.query_id, {})[found.doc_id] = found.score
    named = {d for judged in grades.values() for d in judged}
    named |= {d for ranked in scores.values() for d in ranked}
    rows = dataset.docs_store().get_many_iter(named) if scores else dataset.docs_iter()
    documents = {row.doc_id: _text(row) for row in rows}
    _refuse_unknown(name, "queries", {*grades, *scores} - queries.keys())
    _refuse_unknown(name, "documents", named - documents.keys())
    filled = {d: text for d, text in documents.items() if text.body}
    return Judged(
        queries,
        filled,
        {q: {d: g for d, g in of_query.items() if d in filled} for q, of_query in grades.items()},
        {
            q: tuple(d for d in sorted(of_query, key=lambda d: (-of_query[d], d)) if d in filled)
            for q, of_query in scores.items()
        },
    )


def _text(row: Any) -> Text:
    title = getattr(row, "title", "")
    text = row.text if hasattr(row, "text") else row.default_text()
    return Text(row.doc_id, title.strip(), text.strip())


def _refuse_unknown(name: str, kind: str, unknown: set[str]) -> None:
    if unknown:
        raise InvalidRequest.of(
            f"irds:{name}",
            f'judges or ranks {len(unknown)} {kind} that it lacks, "{min(unknown)}" first; '
            "write its qrels to a file and mend them",
        )
