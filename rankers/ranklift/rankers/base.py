"""What a ranker is, and the values that go in and come out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ranklift.rankers.failures import NotFinite

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Text:
    """A document as a ranker reads it; `title` or `text` may be empty."""

    id: str
    title: str
    text: str

    @property
    def body(self) -> str:
        """Title and text as one string; a missing title leaves no trace."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class RankingList:
    """The candidates of one query, each with a target: a grade (0 or more) or a teacher's score."""

    query: str
    documents: tuple[Text, ...]
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClickedText:
    """A document that a user clicked for a query."""

    query: str
    document: Text


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one query's documents and what they cost.

    `values`, shape (documents,), are finite and higher is better. `tokens` is
    the number of tokens read, padding excluded. `truncated` holds the positions
    of the documents that were cut. `reranked` is how many of the best a
    cascade's second stage ranked again.
    """

    values: Values
    tokens: int
    truncated: tuple[int, ...]
    tokenize_seconds: float
    inference_seconds: float
    reranked: int = 0


class Sized(Protocol):
    """What a ranker reads of one query and document, ready to be scored."""

    @property
    def tokens(self) -> int:
        """How many tokens that is, special ones included: what it costs."""


SizedP = TypeVar("SizedP", bound=Sized)


@dataclass(frozen=True, slots=True)
class Encoded(Generic[SizedP]):
    """The pairs of one query; `truncated` holds the positions of the documents that were cut."""

    pairs: tuple[SizedP, ...]
    truncated: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        return sum(pair.tokens for pair in self.pairs)


class Ranker(Protocol[SizedP]):
    """Scores documents for a query in two steps; the same input always gets the same scores.

    The steps are apart because a server takes pairs of many requests together.
    """

    @property
    def kind(self) -> str:
        """ "bm25", "encoder", "decoder" or "bi_encoder"."""

    @property
    def numerics(self) -> str:
        """The numerics of the forward pass: "fp32", "bf16" or "int8"."""

    def encode(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Encoded[SizedP]:
        """Return the pairs of `query` with each document, in their order. Any thread may."""

    def scores(self, pairs: Sequence[SizedP]) -> Values:
        """Return the scores of pairs, of any queries, shape (pairs,). Any threads, at once.

        Raises:
            NotFinite: a score is not finite.
        """


@runtime_checkable
class ListRanker(Protocol):
    """Scores the documents of a query as a list: what one gets depends on the others."""

    @property
    def kind(self) -> str:
        """ "cascade"."""

    @property
    def numerics(self) -> str:
        """The numerics of the forward pass, the coarsest of all that take part."""

    def score_list(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Scores:
        """Return the scores of `documents` in their order, however long it takes.

        Raises:
            NotFinite: a score is not finite.
        """


def score_texts(
    ranker: Ranker[SizedP] | ListRanker,
    query: str,
    documents: Sequence[Text],
    *,
    max_tokens_per_document: int | None = None,
) -> Scores:
    """Return the scores of `documents` in their order, and what they cost.

    Raises:
        NotFinite: a score is not finite.
    """
    if isinstance(ranker, ListRanker):
        return ranker.score_list(query, documents, max_tokens_per_document=max_tokens_per_document)
    started = time.perf_counter()
    encoded = ranker.encode(query, documents, max_tokens_per_document=max_tokens_per_document)
    tokenized = time.perf_counter()
    values = ranker.scores(encoded.pairs)
    return Scores(
        values=values,
        tokens=encoded.tokens,
        truncated=encoded.truncated,
        tokenize_seconds=tokenized - started,
        inference_seconds=time.perf_counter() - tokenized,
    )


def finite(values: Values) -> Values:
    """Return `values`, shape (documents,), which must be finite.

    Raises:
        NotFinite: one of them is not. A ranking by NaN is no ranking.
    """
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise NotFinite(
            f"the scores of {wrong.size} of {values.size} documents are not finite, "
            f"first at position {wrong[0]}; the model version is broken"
        )
    return values
