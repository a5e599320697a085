"""The token ids of documents read before: most pages show documents that others have shown.

A pair whose document is found takes about a twentieth of the time of tokenising it
(docs/benchmarks/rank_tokens.md).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from hashlib import sha256

from ranklift.rankers.lru import CacheUse, Lru

# Ids lie side by side, 4 bytes each. A document takes 200 to 350 bytes besides, whatever its
# length: its key, the head of its array and its place in a table that grows by doubling.
TOKEN_BYTES = 4
DOCUMENT_TOKENS = 88


class TokenCache:
    """Token ids by the text of a document, for one tokenizer. Any thread may use it.

    `capacity` is in tokens, and a document counts `DOCUMENT_TOKENS` besides its
    own, so that empty documents are bounded too: the cache takes `TOKEN_BYTES`
    times its capacity at most.
    """

    def __init__(self, capacity: int) -> None:
        self._ids: Lru[bytes, array[int]] = Lru(capacity, lambda ids: len(ids) + DOCUMENT_TOKENS)

    def find(self, texts: Sequence[str]) -> tuple[list[bytes], list[array[int] | None]]:
        """Return the key of each text, and its ids or None."""
        keys = [_key(text) for text in texts]
        return keys, self._ids.find(keys)

    def keep(self, ids: Iterable[tuple[bytes, list[int]]]) -> None:
        """Keep the ids of the texts with these keys."""
        self._ids.keep((key, array("i", each)) for key, each in ids)

    @property
    def use(self) -> CacheUse:
        """Hits and misses in documents, and how many tokens are held."""
        return self._ids.use


def _key(text: str) -> bytes:
    # A digest, not the text: a text may be long and have few tokens.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
