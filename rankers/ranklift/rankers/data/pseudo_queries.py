"""Queries made of documents: what a student learns from where people asked too little.

Nobody judges them. A teacher scores them as it scores any query, and a few
hundred real queries teach no encoder to compare texts that it has not seen
together. The idea of the inverse cloze task (Lee, Chang, Toutanova, "Latent
Retrieval for Weakly Supervised Open Domain Question Answering", ACL 2019,
arXiv 1906.00300), with words instead of sentences: abstracts and logs often
have no full stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.base import Text
from ranklift.v1.errors import InvalidRequest, Violation, refuse_if_any

SHORTEST, LONGEST = 5, 14
OPENINGS = 0.6
# So many rounds in a row that say nothing new: the documents are all but used up.
BARREN_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class PseudoQuery:
    """Words that stand together in a document, and the id of that document."""

    text: str
    source: str


def pseudo_queries(
    documents: Sequence[Text],
    count: int,
    *,
    shortest: int = SHORTEST,
    longest: int = LONGEST,
    openings: float = OPENINGS,
    seed: int = 0,
) -> tuple[PseudoQuery, ...]:
    """Return `count` different queries of `shortest` to `longest` words, or all that there are.

    A share of `openings`, in [0, 1], begins where the document does, title
    first: that says what it is about. The others begin at any of its words.
    Every document is asked once before any is asked again; documents of fewer
    than `shortest` words are asked never.

    Raises:
        InvalidRequest: no document is long enough, or a number is out of its range.
    """
    refuse_if_any(
        [
            *([] if count >= 1 else [Violation("count", f"is {count}, must be at least 1")]),
            *(
                []
                if 1 <= shortest <= longest
                else [
                    Violation("shortest", f"is {shortest}, must be in [1, {longest}], the longest")
                ]
            ),
            *(
                []
                if 0 <= openings <= 1
                else [Violation("openings", f"{openings} is not in [0, 1]")]
            ),
        ]
    )
    sources = [
        (document.id, words)
        for document in documents
        if len(words := document.body.split()) >= shortest
    ]
    if not sources:
        raise InvalidRequest.of(
            "documents", f"none has {shortest} words; ask for shorter queries, or give longer texts"
        )
    rng = np.random.default_rng(seed)
    found: dict[str, PseudoQuery] = {}
    barren = 0
    while barren < BARREN_ROUNDS and len(found) < count:
        before = len(found)
        for i in rng.permutation(len(sources)):
            source, words = sources[i]
            opening = rng.random() < openings
            start = 0 if opening else int(rng.integers(len(words) - shortest + 1))
            text = " ".join(words[start : start + int(rng.integers(shortest, longest + 1))])
            found.setdefault(text.casefold(), PseudoQuery(text, source))
            if len(found) == count:
                break
        barren = 0 if len(found) > before else barren + 1
    return tuple(found.values())
