"""How many tokens a request will have, before it is tokenised."""

from __future__ import annotations

from collections.abc import Sequence

from ranklift.rankers.base import Encoded, Sized, Text

# Until something was seen: about English in a vocabulary of 30,000.
TOKENS_PER_CHAR = 0.25
# After so many characters an observation counts half.
HALF_LIFE_CHARS = 100_000


class Lengths:
    """Tokens per character of one loaded version, a moving average. It lives on one thread.

    A pair has at most `max_tokens`, 0 for no limit.
    """

    def __init__(self, max_tokens: int = 0) -> None:
        self._most = max_tokens or None
        self._chars = 1.0
        self._tokens = TOKENS_PER_CHAR

    def estimate(
        self, query: str, documents: Sequence[Text], max_tokens_per_document: int | None = None
    ) -> int:
        """Return about how many tokens the pairs of `query` with `documents` will have."""
        ratio = self._tokens / self._chars
        asked = len(query) * ratio
        most = self._most or float("inf")
        if max_tokens_per_document:
            most = min(most, asked + max_tokens_per_document)
        return int(sum(min(asked + _chars(each) * ratio, most) for each in documents)) + 1

    def observe(self, query: str, documents: Sequence[Text], encoded: Encoded[Sized]) -> None:
        """Learn from a request that was tokenised; what was cut tells nothing."""
        cut = set(encoded.truncated)
        whole = [i for i in range(len(documents)) if i not in cut]
        chars = sum(len(query) + _chars(documents[i]) for i in whole)
        kept = 0.5 ** (chars / HALF_LIFE_CHARS)
        self._chars = self._chars * kept + chars
        self._tokens = self._tokens * kept + sum(encoded.pairs[i].tokens for i in whole)


def _chars(document: Text) -> int:
    return len(document.title) + len(document.text)
