"""Candidates for collections that come without: what BM25 finds first.

A first stage as most search systems have it: rankers then order what it found,
and relevant documents that it missed are missed by all of them.
"""

from __future__ import annotations

import re

import bm25s
import numpy as np

from ranklift.simulator.collections import Collection

DEPTH = 20


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


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
