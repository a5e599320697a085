"""MS MARCO's passage ranking files, tab-separated, as they ship or in gzip.

    collection.tsv             passage id, passage
    queries.*.tsv              query id, query
    qrels.*.tsv                TREC qrels
    id triples                 query id, id of a relevant passage, id of another
    text triples               query, relevant passage, another

Bajaj et al., "MS MARCO: A human generated machine reading comprehension dataset", 2016,
arXiv 1611.09268. Of the collection (millions of passages) only those that are asked for are kept
in memory. Of triples (tens of GB) only the first lines are read: a file that is sorted by query
must be shuffled before.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from ranklift.clicks.keys import hash_id
from ranklift.rankers.base import Text
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.lines import checked, unknown
from ranklift.rankers.data.trec import read_qrels, read_run
from ranklift.v1.errors import InvalidRequest


def read_msmarco(
    collection: Path,
    queries: Path,
    qrels: Path | None = None,
    run: Path | None = None,
    *,
    whole: bool = False,
) -> Judged:
    """Return the queries with their judgments and the candidates of a TREC run.

    Only the passages that judgments or run name are kept; with `whole` all are, for a first
    stage to search.

    Raises:
        NotFound: a file is missing.
        InvalidRequest: a line is malformed, repeats an id, or names an unknown query or passage.
    """
    texts = read_queries(queries)
    grades = read_qrels(qrels, queries=texts) if qrels else {}
    ranked = read_run(run, queries=texts) if run else {}
    wanted = {d for judged in grades.values() for d in judged}
    wanted |= {d for found in ranked.values() for d in found}
    documents = read_collection(collection, None if whole else wanted)
    if not wanted <= documents.keys():
        # Read again only to name the lines.
        if qrels:
            read_qrels(qrels, documents=documents)
        if run:
            read_run(run, documents=documents)
    return Judged(texts, documents, grades, {q: tuple(scores) for q, scores in ranked.items()})


def read_collection(path: Path, wanted: Container[str] | None = None) -> dict[str, Text]:
    """Return the passages with the ids in `wanted`, or all; passages have no titles.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line has other columns, repeats an id, or its passage is blank.
    """
    documents: dict[str, Text] = {}
    for document_id, text in _id_and_text(path, "passage", documents, wanted):
        documents[document_id] = Text(document_id, "", text)
    return documents


def read_queries(path: Path) -> dict[str, str]:
    """Return the query texts by id.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line has other columns, repeats an id, or its query is blank.
    """
    queries: dict[str, str] = {}
    for query_id, text in _id_and_text(path, "query", queries):
        queries[query_id] = text
    return queries


def read_id_triples(path: Path, collection: Path, queries: Path, limit: int) -> Judged:
    """Return what the first `limit` id triples of a file teach: see `read_text_triples`.

    Raises:
        NotFound: a file is missing.
        InvalidRequest: a line is malformed or names an unknown query or passage.
    """
    texts = read_queries(queries)
    triples = list(_triples(path, limit, _known_ids(texts, None)))
    wanted = {document_id for _, *of_line in triples for document_id in of_line}
    documents = read_collection(collection, wanted)
    if not wanted <= documents.keys():
        for _ in _triples(path, limit, _known_ids(texts, documents)):
            pass  # read again only to name the lines
    return _judged(triples, texts, documents)


def read_text_triples(path: Path, limit: int) -> Judged:
    """Return what the first `limit` text triples of a file teach.

    The triples of one query become one list: its relevant passages have grade 1, the others 0.
    A passage that is relevant in one triple is so in all. The id of a passage is the hash of its
    text.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line has not three columns, or a blank one.
    """
    queries: dict[str, str] = {}
    documents: dict[str, Text] = {}

    def named(columns: list[str]) -> tuple[str, str, str]:
        query, *passages = columns
        queries[query] = query
        ids = [f"{hash_id(text):016x}" for text in passages]
        for identity, text in zip(ids, passages, strict=True):
            documents.setdefault(identity, Text(identity, "", text))
        return query, ids[0], ids[1]

    triples = [named(columns) for columns in _triples(path, limit, lambda _: None)]
    return _judged(triples, queries, documents)


def _id_and_text(
    path: Path, kind: str, known: Container[str], wanted: Container[str] | None = None
) -> Iterator[tuple[str, str]]:
    with checked(path) as lines:
        for number, line in lines:
            identity, tab, text = line.partition("\t")
            if tab and wanted is not None and identity not in wanted:
                continue
            if not tab or "\t" in text:
                found = 1 + line.count("\t")
                lines.wrong(number, f"has {found} columns, must have 2: {kind} id, {kind}")
            elif identity in known:
                lines.wrong(number, f'{kind} "{identity}" is there twice; ids are unique')
            elif not identity or not text.strip():
                lines.wrong(number, f'{kind} "{identity}" is blank, or its id is; leave it out')
            else:
                yield identity, text


def _triples(
    path: Path, limit: int, fault_of: Callable[[list[str]], str | None]
) -> Iterator[list[str]]:
    if limit < 1:
        raise InvalidRequest.of("limit", f"is {limit}, must be at least 1 triple")
    with checked(path) as lines:
        for number, line in islice(lines, limit):
            columns = line.split("\t")
            if len(columns) != 3:
                lines.wrong(
                    number,
                    f"has {len(columns)} columns, must have 3: "
                    "query, relevant passage, another passage",
                )
            elif not all(column.strip() for column in columns):
                lines.wrong(number, "has a blank column; leave the triple out")
            elif fault := fault_of(columns):
                lines.wrong(number, fault)
            else:
                yield columns


def _known_ids(
    queries: Container[str], documents: Container[str] | None
) -> Callable[[list[str]], str | None]:
    def fault_of(columns: list[str]) -> str | None:
        query_id, relevant, other = columns
        return (
            unknown("query", query_id, queries)
            or unknown("passage", relevant, documents)
            or unknown("passage", other, documents)
        )

    return fault_of


def _judged(
    triples: Iterable[Sequence[str]],
    queries: Mapping[str, str],
    documents: Mapping[str, Text],
) -> Judged:
    relevant: dict[str, dict[str, int]] = {}
    others: dict[str, dict[str, int]] = {}
    for query_id, better, worse in triples:
        relevant.setdefault(query_id, {})[better] = 1
        others.setdefault(query_id, {})[worse] = 0
    grades = {query_id: others[query_id] | relevant[query_id] for query_id in relevant}
    candidates = {query_id: tuple(sorted(of_query)) for query_id, of_query in grades.items()}
    return Judged({q: queries[q] for q in relevant}, documents, grades, candidates)
