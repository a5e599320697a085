"""BM25: the baseline ranker, and the first stage that finds candidates.

The formula is Lucene's variant in Kamphuis, de Vries, Boytsov, Lin, "Which BM25
Do You Mean?" (ECIR 2020, table 1), bm25s's default:

    score(q, d) = sum_{t in q} idf(t) * tf / (tf + k1 * (1 - b + b * |d| / average length))
    idf(t)      = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import bm25s
import numpy as np

from ranklift.rankers.artefacts import Lineage, Manifest, new_artefact
from ranklift.rankers.base import Encoded, Text, Values, finite
from ranklift.v1.errors import InvalidRequest, NotFound

STATISTICS = "bm25.json"
K1 = 1.5
B = 0.75


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 knows of a collection: N, df(t) and the average length in tokens."""

    documents: int
    average_length: float
    document_frequencies: Mapping[str, int]
    k1: float = K1
    b: float = B


@dataclass(frozen=True, slots=True)
class TermPair:
    """A query as the weights of its terms, and the terms of a document."""

    weights: Mapping[str, float]
    terms: tuple[str, ...]

    @property
    def tokens(self) -> int:
        return len(self.terms)


@dataclass(frozen=True, slots=True)
class BM25:
    """Scores any text with the statistics of one collection; unseen terms count nothing."""

    statistics: Statistics
    kind: ClassVar[str] = "bm25"
    # Plain double precision; the protocol's words go no finer than fp32.
    numerics: ClassVar[str] = "fp32"

    def encode(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Encoded[TermPair]:
        """Return the terms of each document beside the weights of the query's terms."""
        terms, *texts = tokenize([query, *(document.body for document in documents)])
        weights = {term: self._idf(term) * count for term, count in Counter(terms).items()}
        limit = max_tokens_per_document or None
        return Encoded(
            pairs=tuple(TermPair(weights, tuple(tokens[:limit])) for tokens in texts),
            truncated=tuple(
                i for i, tokens in enumerate(texts) if limit is not None and len(tokens) > limit
            ),
        )

    def scores(self, pairs: Sequence[TermPair]) -> Values:
        """Return one score per document, at least 0."""
        return finite(np.array([self._score(pair) for pair in pairs], np.float64))

    def _idf(self, term: str) -> float:
        known = self.statistics
        frequency = known.document_frequencies.get(term, 0)
        if not frequency:
            return 0.0
        return math.log(1 + (known.documents - frequency + 0.5) / (frequency + 0.5))

    def _score(self, pair: TermPair) -> float:
        known, weights = self.statistics, pair.weights
        counts = Counter(term for term in pair.terms if term in weights)
        length = pair.tokens / known.average_length if known.average_length else 0.0
        saturation = known.k1 * (1 - known.b + known.b * length)
        # fsum: the score must not depend on the order of the query's terms.
        return math.fsum(weights[term] * tf / (tf + saturation) for term, tf in counts.items())


def tokenize(texts: Sequence[str]) -> list[list[str]]:
    """Return the terms of each text: lower-case words of two letters or more, no English
    stop words."""
    tokens: list[list[str]] = bm25s.tokenize(list(texts), return_ids=False, show_progress=False)
    return tokens


def collect(documents: Iterable[Text]) -> Statistics:
    """Return the statistics of a collection."""
    texts = tokenize([document.body for document in documents])
    if not texts:
        raise InvalidRequest.of("documents", "the collection is empty; give at least one document")
    return Statistics(
        documents=len(texts),
        average_length=sum(map(len, texts)) / len(texts),
        document_frequencies=dict(Counter(term for tokens in texts for term in set(tokens))),
    )


def build_bm25(documents: Iterable[Text], folder: Path) -> BM25:
    """Write the artefact of a BM25 ranker over a collection, and return the ranker.

    Raises:
        InvalidRequest: the collection is empty.
        AlreadyExists: `folder` is there already.
    """
    statistics = collect(documents)
    manifest = Manifest("bm25", BM25.numerics, max_tokens=0, lineage=Lineage("index"))
    with new_artefact(folder, manifest) as temporary:
        content = json.dumps(asdict(statistics), sort_keys=True, ensure_ascii=False)
        (temporary / STATISTICS).write_text(content, "utf-8")
    return BM25(statistics)


def load_bm25(folder: Path) -> BM25:
    """Return the BM25 ranker whose artefact is in `folder`.

    Raises:
        NotFound: the statistics are missing.
        InvalidRequest: they cannot be read.
    """
    path = folder / STATISTICS
    if not path.is_file():
        raise NotFound.of("uri", f'"{folder}" lacks {STATISTICS}')
    try:
        return BM25(Statistics(**json.loads(path.read_text("utf-8"))))
    except (ValueError, TypeError) as error:
        raise InvalidRequest.of(
            "uri", f'"{path}" holds no BM25 statistics; build the model version again'
        ) from error
