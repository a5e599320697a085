"""What is learnt from and judged on alike: a figure that such a query is part of is no evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ranklift.clicks.query_text import normalised
from ranklift.rankers.base import ClickedText, RankingList, Text

LONGEST = 40  # characters of an example


@dataclass(frozen=True, slots=True)
class Leakage:
    """The queries of the test split that are in the training split too, and their documents.

    `queries` and `pairs` (query, document id) are in the test split's order and words, out of
    `test_queries` and `test_pairs`.
    """

    queries: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    test_queries: int
    test_pairs: int

    def __bool__(self) -> bool:
        return bool(self.queries)

    def __str__(self) -> str:
        """Return it in one line: counts, and two examples."""
        if not self.queries:
            return f"none of {self.test_queries} test queries is in the training split"
        line = (
            f"{len(self.queries)} of {self.test_queries} test queries are in the training split "
            f"too ({_examples(self.queries)})"
        )
        if self.pairs:
            pairs = tuple(f"{document_id} for {query}" for query, document_id in self.pairs)
            line += (
                f", and {len(self.pairs)} of {self.test_pairs} pairs of query and document "
                f"({_examples(pairs)})"
            )
        return f"{line}; split by query text"


def leakage(
    train: Iterable[RankingList | ClickedText], test: Iterable[RankingList | ClickedText]
) -> Leakage:
    """Return what of `test` is in `train` too.

    Queries are the same when they say the same (see `splits.normalised`), documents when title
    and text are: the ids of two sources need not agree.
    """
    queries: dict[str, str] = {}
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for example in test:
        same = normalised(example.query)
        queries.setdefault(same, example.query)
        for document in _documents(example):
            pairs.setdefault((same, document.body), (example.query, document.id))
    learnt: set[str] = set()
    learnt_pairs: set[tuple[str, str]] = set()
    for example in train:
        same = normalised(example.query)
        if same in queries:
            learnt.add(same)
            learnt_pairs.update((same, document.body) for document in _documents(example))
    return Leakage(
        tuple(query for same, query in queries.items() if same in learnt),
        tuple(pair for same, pair in pairs.items() if same in learnt_pairs),
        len(queries),
        len(pairs),
    )


def _documents(example: RankingList | ClickedText) -> tuple[Text, ...]:
    return example.documents if isinstance(example, RankingList) else (example.document,)


def _examples(texts: tuple[str, ...]) -> str:
    shown = [" ".join(text.split()) for text in texts[:2]]
    shown = [f'"{text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"}"' for text in shown]
    return ("e.g. " if len(texts) > len(shown) else "") + ", ".join(shown)
