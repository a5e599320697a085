"""The token ids of documents read before: most pages show documents that others have shown.

Looking up a document takes about a hundredth of the time of tokenising it
(docs/benchmarks/rank_tokens.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from ranklift.rankers.lru import CacheUse, Lru

Ids: TypeAlias = tuple[int, ...]

# An id takes a pointer of 8 bytes; the number it points to is shared. A document takes
# 180 to 290 bytes besides, whatever its length: its key, the head of its tuple and its place
# in a table that grows by doubling.
TOKEN_BYTES = 8
DOCUMENT_TOKENS = 36


class TokenCache:
    """Token ids by the text of a document, for one tokenizer. Any thread may use it.

    `capacity` is in tokens, and a document counts `DOCUMENT_TOKENS` besides its
    own, so that empty documents are bounded too: the cache takes `TOKEN_BYTES`
    times its capacity at most, and a number for each word of the vocabulary.
    """

    def __init__(self, capacity: int) -> None:
        self._ids: Lru[bytes, Ids] = Lru(capacity, lambda ids: len(ids) + DOCUMENT_TOKENS)
        self._numbers: dict[int, int] = {}

    def find(self, texts: Sequence[str]) -> tuple[list[bytes], list[Ids | None]]:
        """Return the key of each text, and its ids or None."""
        keys = [_key(text) for text in texts]
        return keys, self._ids.find(keys)

    def keep(self, ids: Iterable[tuple[bytes, Ids]]) -> None:
        """Keep the ids of the texts with these keys."""
        shared = self._numbers.setdefault
        # One object per number in all documents: 8 bytes an id instead of 36.
        self._ids.keep((key, tuple([shared(i, i) for i in each])) for key, each in ids)

    @property
    def use(self) -> CacheUse:
        """Hits and misses in documents, and how many tokens are held."""
        return self._ids.use


def _key(text: str) -> bytes:
    # A digest, not the text: a text may be long and have few tokens.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
