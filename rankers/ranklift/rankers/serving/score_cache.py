"""Scores computed before, for the same version, query, document and limit.

Calls of experiments go past it unless an installation says otherwise: an arm
that answers from a cache is quicker than the arm that was launched, and users
notice how quick an answer is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from ranklift.rankers.base import Scores, Text
from ranklift.rankers.lru import CacheUse, Lru

# What a pair takes: its key, its score, its place, and a table that grows by doubling.
PAIR_BYTES = 320


@dataclass(frozen=True, slots=True)
class Kept:
    """The score of a pair, and whether its document was cut."""

    score: float
    truncated: bool


class ScoreCache:
    """Scores of up to `pairs` pairs, `PAIR_BYTES` each. Any thread may use it."""

    def __init__(self, pairs: int) -> None:
        self._kept: Lru[bytes, Kept] = Lru(pairs, lambda _: 1)

    async def scores(
        self,
        digest: str,
        query: str,
        documents: Sequence[Text],
        most: int | None,
        score: Callable[[Sequence[Text]], Awaitable[Scores]],
    ) -> Scores:
        """Return the scores of `documents`, of which `score` computes those that are not kept.

        Kept ones are bit by bit what was computed first. `tokens` and the times
        are those of the call itself: what was kept, nobody read.
        """
        keys = _keys(digest, query, documents, most)
        kept = self._kept.find(keys)
        missing = [i for i, each in enumerate(kept) if each is None]
        computed = NOTHING
        if missing:
            computed = await score([documents[i] for i in missing])
            cut = set(computed.truncated)
            values = computed.values.tolist()
            for place, (i, value) in enumerate(zip(missing, values, strict=True)):
                kept[i] = Kept(value, place in cut)
            self._kept.keep((keys[i], each) for i in missing if (each := kept[i]) is not None)
        found = [each for each in kept if each is not None]
        return replace(
            computed,
            values=np.array([each.score for each in found]),
            truncated=tuple(i for i, each in enumerate(found) if each.truncated),
        )

    @property
    def use(self) -> CacheUse:
        """Hits and misses in pairs, and how many are held."""
        return self._kept.use


NOTHING = Scores(
    values=np.empty(0), tokens=0, truncated=(), tokenize_seconds=0.0, inference_seconds=0.0
)


def _keys(digest: str, query: str, documents: Sequence[Text], most: int | None) -> list[bytes]:
    asked = query.encode("utf-8", "surrogatepass")
    # Lengths before contents: no two calls run together into the same bytes.
    begin = sha256(f"{digest}:{most or 0}:{len(asked)}:".encode() + asked)
    keys = []
    for document in documents:
        key = begin.copy()
        key.update(document.body.encode("utf-8", "surrogatepass"))
        keys.append(key.digest())
    return keys
