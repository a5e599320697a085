"""The candidates of each query: saved beside the collection, or what BM25 finds first.

A first stage as most search systems have it: rankers then order what it found,
and relevant documents that it missed are missed by all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import bm25s
import numpy as np

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
    corpus = [_words(f"{d.title} {d.text}") for d in collection.documents.values()]
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    vocabulary = {word for words in corpus for word in words}
    candidates = {}
    for query_id, text in collection.queries.items():
        words = [word for word in _words(text) if word in vocabulary]
        if not words:
            continue
        scores = index.get_scores(words)
        best = np.argsort(-scores, kind="stable")[:depth]
        candidates[query_id] = tuple(document_ids[row] for row in best if scores[row] > 0)
    return candidates


def save_run(candidates: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write candidates beside a collection as a TREC run: query, Q0, document, rank, score, tag."""
    lines = [
        f"{query_id} Q0 {document_id} {rank} {-rank} candidates\n"
        for query_id, document_ids in candidates.items()
        for rank, document_id in enumerate(document_ids, start=1)
    ]
    (folder / RUN).write_text("".join(lines), encoding="utf-8")


def load_run(collection: Collection, folder: Path) -> dict[str, tuple[str, ...]] | None:
    """Return the candidates saved beside a collection in their order, None when there are none.

    Raises:
        InvalidRequest: a line that is malformed or names what the collection does not have; the
            field is "file:line".
    """
    path = folder / RUN
    if not path.is_file():
        return None
    candidates: dict[str, list[str]] = {}
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
        candidates.setdefault(query_id, []).append(document_id)
    return {query_id: tuple(document_ids) for query_id, document_ids in candidates.items()}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
