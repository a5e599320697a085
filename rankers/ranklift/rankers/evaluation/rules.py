"""What is measured, and by which rules: everything one has to state beside a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ranklift.v1.errors import InvalidRequest

Gain: TypeAlias = Literal["linear", "exponential"]
Ties: TypeAlias = Literal["neither", "half"]

# By name, whether it may be cut off at a rank: always, or if one likes.
NEEDS_CUTOFF = {
    "ndcg": False,
    "mrr": False,
    "map": False,
    "p": True,
    "recall": False,
    "judged": True,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of one query's ranking, e.g. ndcg@10; without a cutoff it reads all candidates."""

    name: str
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"


DEFAULT_MEASURES = (
    Measure("ndcg", 5),
    Measure("ndcg", 10),
    Measure("mrr"),
    Measure("map"),
    Measure("p", 5),
    Measure("recall"),
    Measure("judged", 10),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """How rankings are measured.

    `gain` of a grade y in NDCG: y itself, or 2^y - 1. `ties`: where a pair of
    equal scores counts, in neither side or half in each. `relevant`, at least
    1: the lowest grade that is relevant to the measures that know no grades.
    """

    measures: tuple[Measure, ...] = DEFAULT_MEASURES
    gain: Gain = "linear"
    ties: Ties = "neither"
    relevant: int = 1


def parse_measures(text: str) -> tuple[Measure, ...]:
    """Return the measures of a list such as "ndcg@10, mrr, p@5", in its order, each once.

    Raises:
        InvalidRequest: a name or a cutoff is none, or a cutoff lacks.
    """
    found = [_measure(word) for word in re.split(r"[,\s]+", text.strip().lower()) if word]
    if not found:
        raise InvalidRequest.of("measures", f"there are none; {_offer(tuple(NEEDS_CUTOFF))}")
    return tuple(dict.fromkeys(found))


def _measure(word: str) -> Measure:
    name, at, cutoff = word.partition("@")
    if name not in NEEDS_CUTOFF:
        raise InvalidRequest.of(
            "measures", f'"{word}" is no measure; {_offer(tuple(NEEDS_CUTOFF))}'
        )
    if not at and NEEDS_CUTOFF[name]:
        raise InvalidRequest.of("measures", f'"{word}" needs a cutoff, e.g. {name}@5')
    if at and not re.fullmatch(r"[1-9][0-9]{0,5}", cutoff):
        raise InvalidRequest.of("measures", f'"{word}" has no cutoff of 1 to 999999 after its @')
    return Measure(name, int(cutoff) if at else None)


def _offer(names: Sequence[str]) -> str:
    return f"choose among {', '.join(names)}, with @k for a cutoff"
