"""Queries parted for training and judging: by what they say, so that none is on both sides.

A query's place depends on nothing but its text and the seed. It never moves when others come or
go, and two queries that differ in case, spacing or a final question mark go together, whatever
their ids. Parts are therefore of about equal size, not exactly.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ranklift.clicks.keys import hash_id
from ranklift.rankers.data.judged import Judged
from ranklift.v1.errors import InvalidRequest

BITS = 64


@dataclass(frozen=True, slots=True)
class Fold:
    """The ids of the queries to learn from, and of those to be judged on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def normalised(query: str) -> str:
    """Return what two queries share that say the same.

    Compatibility forms (NFKC), case, runs of white space and a final ".", "!" or "?" make no
    difference; other signs do: "c++" is not "c#".
    """
    text = unicodedata.normalize("NFKC", query).casefold()
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.rstrip(".!? ") or text


def folds(queries: Mapping[str, str], count: int, *, seed: int = 0) -> tuple[Fold, ...]:
    """Return `count` folds of queries, given as texts by id; each query is tested in one of them.

    Raises:
        InvalidRequest: fewer than two folds are asked for, or one would test no query.
    """
    if count < 2:
        raise InvalidRequest.of("folds", f"is {count}, must be at least 2")
    members: list[list[str]] = [[] for _ in range(count)]
    for query_id, text in queries.items():
        members[_place(text, seed) * count >> BITS].append(query_id)
    empty = [str(number) for number, of_fold in enumerate(members, start=1) if not of_fold]
    if empty:
        raise InvalidRequest.of(
            "folds",
            f"{len(queries)} queries leave {len(empty)} of {count} folds empty "
            f"(number {', '.join(empty[:5])}); ask for fewer folds or give more queries",
        )
    return tuple(_fold(queries, set(of_fold)) for of_fold in members)


def held_out(queries: Mapping[str, str], share: float, *, seed: int = 0) -> Fold:
    """Return queries, given as texts by id, with about `share` of them kept for judging.

    Raises:
        InvalidRequest: the share is not between 0 and 1, or leaves one side empty.
    """
    if not 0 < share < 1:
        raise InvalidRequest.of("held_out", f"is {share}, must be between 0 and 1")
    fold = _fold(
        queries, {q for q, text in queries.items() if _place(text, seed) < share * 2**BITS}
    )
    for side, query_ids in (("learnt from", fold.train), ("held out", fold.test)):
        if not query_ids:
            raise InvalidRequest.of(
                "held_out",
                f"of {len(queries)} queries, with a share of {share:g}, none is {side}; "
                "give more queries or another share",
            )
    return fold


def deduplicated(judged: Judged) -> Judged:
    """Return `judged` with the queries that say the same as one, under the smallest of their ids.

    Its candidates are those of all of them; of two grades of a document the higher counts.
    """
    groups: dict[str, list[str]] = {}
    for query_id, text in judged.queries.items():
        groups.setdefault(normalised(text), []).append(query_id)
    first = {min(group): sorted(group) for group in groups.values()}
    queries = {q: text for q, text in judged.queries.items() if q in first}
    return Judged(
        queries,
        judged.documents,
        {
            q: _highest(judged.grades[each] for each in first[q] if each in judged.grades)
            for q in queries
            if any(each in judged.grades for each in first[q])
        },
        {
            q: tuple(dict.fromkeys(d for each in first[q] for d in judged.candidates.get(each, ())))
            for q in queries
            if any(each in judged.candidates for each in first[q])
        },
    )


def _fold(queries: Iterable[str], test: set[str]) -> Fold:
    return Fold(
        tuple(query_id for query_id in queries if query_id not in test),
        tuple(query_id for query_id in queries if query_id in test),
    )


def _place(text: str, seed: int) -> int:
    """Return where a query stands, uniform over [0, 2^64)."""
    return hash_id(f"fold:{seed}:{normalised(text)}")


def _highest(grades: Iterable[Mapping[str, int]]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for of_query in grades:
        for document_id, grade in of_query.items():
            merged[document_id] = max(grade, merged.get(document_id, 0))
    return merged
