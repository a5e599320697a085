"""Judged collections: documents, queries and graded judgments, in BEIR layout on disk.

    corpus.jsonl     {"_id": ..., "title": ..., "text": ...} on each line
    queries.jsonl    {"_id": ..., "text": ...} on each line
    qrels/test.tsv   a header, then query id, document id, grade; train.tsv and dev.tsv likewise

Layout of Thakur et al., "BEIR: A heterogeneous benchmark for zero-shot
evaluation of information retrieval models", NeurIPS 2021.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ranklift.clicks.keys import hash_id
from ranklift.v1.errors import InvalidRequest, NotFound, Violation

CORPUS, QUERIES, JUDGMENTS = "corpus.jsonl", "queries.jsonl", "qrels/test.tsv"


@dataclass(frozen=True, slots=True)
class Document:
    """A document; at least one of `title` and `text` is not blank."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents by id, query texts by id, and the grade of judged documents by query id.

    A grade is a whole number of at least 0; a document that is not judged for
    a query has grade 0. `empty_documents` are the ids of documents without
    title and text: no ranker takes them, so they and their judgments are left out.
    """

    documents: Mapping[str, Document]
    queries: Mapping[str, str]
    judgments: Mapping[str, Mapping[str, int]]
    empty_documents: tuple[str, ...] = ()

    def grade(self, query_id: str, document_id: str) -> int:
        """Return how relevant the document is to the query, at least 0."""
        return self.judgments.get(query_id, {}).get(document_id, 0)


class Split(StrEnum):
    """What a query may be used for."""

    JUDGED = "judged"  # training with its judgments
    UNLABELLED = "unlabelled"  # training without them, e.g. on a teacher's scores
    HELD_OUT = "held_out"  # evaluation only


def split_of(query_id: str) -> Split:
    """Return the split of a query: 40 % judged, 40 % unlabelled, 20 % held out.

    It depends on nothing but the id, so that a query never moves when others
    come or go.
    """
    fifth = hash_id(f"split:{query_id}") * 5 >> 64
    return (Split.JUDGED, Split.JUDGED, Split.UNLABELLED, Split.UNLABELLED, Split.HELD_OUT)[fifth]


def queries_in(collection: Collection, split: Split) -> tuple[str, ...]:
    """Return the ids of the queries in `split`, in the collection's order."""
    return tuple(q for q in collection.queries if split_of(q) is split)


def load_beir(folder: Path, *, judgments_file: str | None = JUDGMENTS) -> Collection:
    """Return the collection in `folder`, with the judgments of one of its files or none.

    Raises:
        NotFound: the folder or one of its files is missing.
        InvalidRequest: a line is malformed, repeats an id, or judges an
            unknown query or document; the message names file and line.
    """
    documents: dict[str, Document] = {}
    empty: dict[str, None] = {}
    for where, row in _objects(folder, CORPUS):
        document = Document(
            _string(where, row, "_id"),
            _string(where, row, "title", ""),
            _string(where, row, "text"),
        )
        if document.id in documents or document.id in empty:
            raise _invalid(where, f'document "{document.id}" is there twice; ids are unique')
        if document.title.strip() or document.text.strip():
            documents[document.id] = document
        else:
            empty[document.id] = None
    queries: dict[str, str] = {}
    for where, row in _objects(folder, QUERIES):
        query_id, text = _string(where, row, "_id"), _string(where, row, "text")
        if query_id in queries:
            raise _invalid(where, f'query "{query_id}" is there twice; ids are unique')
        if not text.strip():
            raise _invalid(where, f'query "{query_id}" is blank; give it a text or leave it out')
        queries[query_id] = text
    judgments: dict[str, dict[str, int]] = {}
    rows = _judgments(folder, judgments_file) if judgments_file else ()
    for where, query_id, document_id, grade in rows:
        if query_id not in queries:
            raise _invalid(where, f'query "{query_id}" is not in {QUERIES}')
        if document_id not in documents and document_id not in empty:
            raise _invalid(where, f'document "{document_id}" is not in {CORPUS}')
        if document_id in judgments.get(query_id, {}):
            raise _invalid(where, f'"{document_id}" is judged twice for "{query_id}"; keep one')
        if document_id in documents:
            judgments.setdefault(query_id, {})[document_id] = grade
    return Collection(documents, queries, judgments, tuple(empty))


def save_beir(collection: Collection, folder: Path) -> None:
    """Write the collection into `folder`, over what is there."""
    (folder / JUDGMENTS).parent.mkdir(parents=True, exist_ok=True)
    _write(
        folder / CORPUS,
        (
            json.dumps({"_id": d.id, "title": d.title, "text": d.text}, ensure_ascii=False)
            for d in collection.documents.values()
        ),
    )
    _write(
        folder / QUERIES,
        (
            json.dumps({"_id": query_id, "text": text}, ensure_ascii=False)
            for query_id, text in collection.queries.items()
        ),
    )
    _write(
        folder / JUDGMENTS,
        (
            "query-id\tcorpus-id\tscore",
            *(
                f"{query_id}\t{document_id}\t{grade}"
                for query_id, grades in collection.judgments.items()
                for document_id, grade in grades.items()
            ),
        ),
    )


def _write(path: Path, lines: Iterator[str] | tuple[str, ...]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield "name line N" and the line, for each line that is not blank."""
    path = folder / name
    if not path.is_file():
        raise NotFound.of(
            "collection",
            f"{path} does not exist; a collection is a folder with {CORPUS}, {QUERIES} "
            f"and {JUDGMENTS}",
        )
    with path.open(encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{name} line {number}", line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise _invalid(name, f"is not UTF-8 ({error.reason}); convert it") from error


def _objects(folder: Path, name: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    for where, line in _lines(folder, name):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise _invalid(where, f"is not JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(row, dict):
            raise _invalid(where, 'is not a JSON object like {"_id": "1", "text": "..."}')
        yield where, row


def _string(where: str, row: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str) or (key == "_id" and not value):
        raise _invalid(where, f'"{key}" is {json.dumps(value)}, must be a string')
    return value


def _judgments(folder: Path, name: str) -> Iterator[tuple[str, str, str, int]]:
    for number, (where, line) in enumerate(_lines(folder, name)):
        columns = line.split("\t")
        if len(columns) != 3:
            raise _invalid(
                where, f"has {len(columns)} columns, must have 3: query id, document id, grade"
            )
        query_id, document_id, grade = columns
        if number == 0 and not grade.isdecimal():
            continue  # the header
        if not grade.isdecimal():
            raise _invalid(where, f'grade is "{grade}", must be a whole number of at least 0')
        yield where, query_id, document_id, int(grade)


def _invalid(where: str, description: str) -> InvalidRequest:
    return InvalidRequest([Violation("collection", f"{where}: {description}")])
