"""Tokenising in a thread of its own, in slices, so that no request holds up the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

from ranklift.rankers.base import Encoded, Ranker, SizedP, Text

# What others wait for: a few milliseconds of work.
SLICE_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class Tokenized(Generic[SizedP]):
    """The pairs of a request, and how long the tokenizer worked on them."""

    encoded: Encoded[SizedP]
    seconds: float


class Tokenizing:
    """One thread that tokenises slices of requests in turn. It belongs to one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizing")

    async def encode(
        self,
        ranker: Ranker[SizedP],
        query: str,
        documents: Sequence[Text],
        max_tokens_per_document: int | None,
    ) -> Tokenized[SizedP]:
        """Return what `ranker.encode` returns of the whole request."""
        loop = asyncio.get_running_loop()
        pairs: list[SizedP] = []
        truncated: list[int] = []
        seconds = 0.0
        for some in slices(documents, SLICE_CHARS):
            encoded, spent = await loop.run_in_executor(
                self._thread, _timed_encode, ranker, query, some, max_tokens_per_document
            )
            truncated += [len(pairs) + i for i in encoded.truncated]
            pairs += encoded.pairs
            seconds += spent
        return Tokenized(Encoded(tuple(pairs), tuple(truncated)), seconds)


def slices(documents: Sequence[Text], chars: int) -> Iterator[Sequence[Text]]:
    """Yield `documents` in runs of at most `chars` characters, or of one longer document."""
    start, held = 0, 0
    for i, document in enumerate(documents):
        more = len(document.title) + len(document.text)
        if i > start and held + more > chars:
            yield documents[start:i]
            start, held = i, 0
        held += more
    yield documents[start:]


def _timed_encode(
    ranker: Ranker[SizedP], query: str, documents: Sequence[Text], most: int | None
) -> tuple[Encoded[SizedP], float]:
    began = time.perf_counter()
    encoded = ranker.encode(query, documents, max_tokens_per_document=most)
    return encoded, time.perf_counter() - began
