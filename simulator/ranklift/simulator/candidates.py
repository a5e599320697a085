"""The candidates of each query: saved beside the collection, or what BM25 finds first.

A first stage as most search systems have it: rankers then order what it found,
and relevant documents that it missed are missed by all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import bm25s
import numpy as np
from numpy.typing import NDArray

from ranklift.simulator.collections import Collection
from ranklift.v1.errors import InvalidRequest

DEPTH = 20
RUN = "candidates.trec"


def lexical_candidates(collection: Collection, depth: int = DEPTH) -> dict[str, tuple[str, ...]]:
    """Return up to `depth` documents for each query, best first by BM25.

    Words are runs of letters and digits in lower case. Documents that share no
    word with the query are left out, and so are queries that find none.
    """
    document_ids = list(collection.documents)
    candidates = {}
    for query_id, scores in lexical_scores(collection):
        best = np.argsort(-scores, kind="stable")[:depth]
        candidates[query_id] = tuple(document_ids[row] for row in best if scores[row] > 0)
    return candidates


def lexical_scores(collection: Collection) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each query that shares a word with any document, and BM25's score of every document.

    Shape (documents,), in the order of the collection.
    """
    corpus = [_words(f"{d.title} {d.text}") for d in collection.documents.values()]
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    vocabulary = {word for words in corpus for word in words}
    for query_id, text in collection.queries.items():
        words = [word for word in _words(text) if word in vocabulary]
        if words:
            yield query_id, index.get_scores(words)


def save_run(candidates: Mapping[str, Sequence[str]], folder: Path, name: str = RUN) -> None:
    """Write candidates beside a collection as a TREC run: query, Q0, document, rank, score, tag."""
    lines = [
        f"{query_id} Q0 {document_id} {rank} {-rank} candidates\n"
        for query_id, document_ids in candidates.items()
        for rank, document_id in enumerate(document_ids, start=1)
    ]
    (folder / name).write_text("".join(lines), encoding="utf-8")


def load_run(
    collection: Collection, folder: Path, name: str = RUN
) -> dict[str, tuple[str, ...]] | None:
    """Return the candidates saved beside a collection in their order, None when there are none.

    Raises:
        InvalidRequest: a line that is malformed or names what the collection does not have; the
            field is "file:line".
    """
    path = folder / name
    if not path.is_file():
        return None
    candidates: dict[str, list[str]] = {}
    for _, fields in _lines(collection, path):
        candidates.setdefault(fields[0], []).append(fields[2])
    return {query_id: tuple(document_ids) for query_id, document_ids in candidates.items()}


def read_run(collection: Collection, path: Path) -> dict[str, tuple[str, ...]]:
    """Return the rankings of a TREC run, best score first; equal scores keep their order.

    As trec_eval reads it: the scores count, not the ranks beside them.

    Raises:
        InvalidRequest: as `load_run`, and for a score that is no number.
    """
    scored: dict[str, list[tuple[float, str]]] = {}
    for number, fields in _lines(collection, path):
        try:
            score = float(fields[4])
        except ValueError:
            score = float("nan")
        if not np.isfinite(score):
            raise InvalidRequest.of(f"{path}:{number}", f'has score "{fields[4]}", not a number')
        scored.setdefault(fields[0], []).append((score, fields[2]))
    return {
        query_id: tuple(d for _, d in sorted(of_query, key=lambda pair: -pair[0]))
        for query_id, of_query in scored.items()
    }


def _lines(collection: Collection, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a TREC run, from 1, as fields: query, Q0, document, rank, score, tag."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if len(fields) != 6:
            raise InvalidRequest.of(
                f"{path}:{number}",
                f"has {len(fields)} fields, must have 6: query Q0 document rank score tag",
            )
        query_id, document_id = fields[0], fields[2]
        if query_id not in collection.queries or document_id not in collection.documents:
            raise InvalidRequest.of(
                f"{path}:{number}",
                f'names query "{query_id}" and document "{document_id}", '
                "one of which is not in the collection",
            )
        yield number, fields


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
