"""Between the simulator's collections and the rankers' lists: the two do not know each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ranklift.rankers.base import RankingList, Text
from ranklift.simulator.candidates import lexical_candidates, load_run
from ranklift.simulator.collections import Collection, load_beir
from ranklift.simulator.synthetic import SyntheticSize, synthesize


@dataclass(frozen=True, slots=True)
class Ground:
    """A collection, and the documents that are ranked for each of its queries."""

    collection: Collection
    candidates: Mapping[str, tuple[str, ...]]

    def texts(self) -> list[Text]:
        """Return every document as rankers read it."""
        return [text_of(self.collection, document) for document in self.collection.documents]

    def lists(self, query_ids: Iterable[str]) -> list[RankingList]:
        """Return the candidates of the given queries with their grades; queries without
        candidates are left out."""
        return [
            RankingList(
                self.collection.queries[query_id],
                tuple(text_of(self.collection, d) for d in self.candidates[query_id]),
                tuple(float(self.collection.grade(query_id, d)) for d in self.candidates[query_id]),
            )
            for query_id in query_ids
            if query_id in self.candidates
        ]


def synthetic_ground(size: SyntheticSize, seed: int) -> Ground:
    """Return the made-up collection of a seed."""
    made = synthesize(size, rng=np.random.default_rng(seed))
    return Ground(made.collection, made.candidates)


def judged_ground(folder: Path, depth: int) -> Ground:
    """Return the collection in a folder in BEIR layout, with the candidates saved beside it, or
    else BM25's `depth` best.

    Raises:
        NotFound, InvalidRequest: the folder, or a line of it, is not as it must be.
    """
    collection = load_beir(folder)
    saved = load_run(collection, folder)
    return Ground(collection, saved or lexical_candidates(collection, depth))


def text_of(collection: Collection, document_id: str) -> Text:
    """Return a document as rankers read it."""
    document = collection.documents[document_id]
    return Text(document.id, document.title, document.text)


def ranking_of(documents: Sequence[str], scores: Sequence[float]) -> tuple[str, ...]:
    """Return documents by descending score; equal scores keep their order, as in a reply."""
    order = sorted(range(len(documents)), key=lambda i: -scores[i])
    return tuple(documents[i] for i in order)
