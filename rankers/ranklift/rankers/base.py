"""What a ranker is, and the values that go in and come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
    of the documents that were cut.
    """

    values: NDArray[np.float64]
    tokens: int
    truncated: tuple[int, ...]
    tokenize_seconds: float
    inference_seconds: float


class Ranker(Protocol):
    """Scores documents for a query; the same input always gets the same scores."""

    @property
    def kind(self) -> str:
        """ "bm25", "encoder" or "decoder"."""

    @property
    def numerics(self) -> str:
        """The numerics of the forward pass: "fp32", "bf16" or "int8"."""

    def score(
        self,
        query: str,
        documents: Sequence[Text],
        *,
        max_tokens_per_document: int | None = None,
    ) -> Scores:
        """Return the scores of `documents` in their order.

        Raises:
            ArithmeticError: a score is not finite.
        """


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values`, shape (documents,), which must be finite.

    Raises:
        ArithmeticError: one of them is not. A ranking by NaN is no ranking.
    """
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise ArithmeticError(
            f"the scores of {wrong.size} of {values.size} documents are not finite, "
            f"first at position {wrong[0]}; the model version is broken"
        )
    return values
