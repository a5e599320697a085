"""Which queries say the same: they must be on one side of every split."""

from __future__ import annotations

import unicodedata


def normalised(query: str) -> str:
    """Return what two queries share that say the same.

    Compatibility forms (NFKC), case, runs of white space and a final ".", "!" or "?" make no
    difference; other signs do: "c++" is not "c#".
    """
    text = unicodedata.normalize("NFKC", query).casefold()
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.rstrip(".!? ") or text
