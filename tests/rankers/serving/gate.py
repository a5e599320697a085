"""A ranker whose pace and faults the test decides."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ranklift.rankers.base import Encoded, Text, Values


@dataclass(frozen=True)
class Word:
    """A pair of a request named `of`, scored by its length."""

    of: str
    tokens: int = 1


@dataclass
class Gate:
    """A ranker that scores only when it is let, and remembers its batches."""

    kind: str = "bm25"
    numerics: str = "fp32"
    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Word]] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    encoded: list[str] = field(default_factory=list)

    def encode(
        self, query: str, documents: Sequence[Text], *, max_tokens_per_document: int | None = None
    ) -> Encoded[Word]:
        self.encoded.append(query)
        return Encoded((Word(query),) * len(documents))

    def scores(self, pairs: Sequence[Word]) -> Values:
        self.batches.append(list(pairs))
        self.entered.set()
        assert self.opened.wait(30)
        if self.broken & {pair.of for pair in pairs}:
            raise ArithmeticError("not finite")
        return np.array([float(pair.tokens) for pair in pairs])

    @property
    def order(self) -> list[str]:
        """The requests, in the order of their first batch."""
        return list(dict.fromkeys(pair.of for batch in self.batches for pair in batch))
