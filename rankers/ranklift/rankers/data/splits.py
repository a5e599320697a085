"""Queries parted for training and judging: by what they say, so that none is on both sides.

A query's place depends on nothing but its text and the seed. It never moves when others come or
go, and two queries that differ in case, spacing or a final question mark go together, whatever
their ids. Parts are therefore of about equal size, not exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ranklift.clicks.keys import hash_id
from ranklift.clicks.query_text import normalised
from ranklift.v1.errors import InvalidRequest

BITS = 64


@dataclass(frozen=True, slots=True)
class Fold:
    """The ids of the queries to learn from, and of those to be judged on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def folds(queries: Mapping[str, str], count: int, *, seed: int = 0) -> tuple[Fold, ...]:
    """Return `count` folds of queries, given as texts by id; each query is tested in one of them.

    Raises:
        InvalidRequest: fewer than two folds are asked for, or one would test no query.
    """
    if count < 2:
        raise InvalidRequest.of("folds", f"is {count}, must be at least 2")
    members: list[list[str]] = [[] for _ in range(count)]
    for query_id, text in queries.items():
        members[fold_of(text, count, seed=seed) - 1].append(query_id)
    empty = [str(number) for number, of_fold in enumerate(members, start=1) if not of_fold]
    if empty:
        raise InvalidRequest.of(
            "folds",
            f"{len(queries)} queries leave {len(empty)} of {count} folds empty "
            f"(number {', '.join(empty[:5])}); ask for fewer folds or give more queries",
        )
    return tuple(_fold(queries, set(of_fold)) for of_fold in members)


def fold_of(query: str, count: int, *, seed: int = 0) -> int:
    """Return which of `count` folds, from 1 on, tests a query, whatever other queries there are."""
    return (_place(query, seed) * count >> BITS) + 1


def _fold(queries: Iterable[str], test: set[str]) -> Fold:
    return Fold(
        tuple(query_id for query_id in queries if query_id not in test),
        tuple(query_id for query_id in queries if query_id in test),
    )


def _place(text: str, seed: int) -> int:
    """Return where a query stands, uniform over [0, 2^64)."""
    return hash_id(f"fold:{seed}:{normalised(text)}")
