"""What rankers cost: the time they take for queries of 50 documents, side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ranklift.rankers.base import Ranker, Text, score_texts

DOCUMENTS = 50
Quartiles = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Speed:
    """What each round of a ranker took, in seconds, and how many tokens it read."""

    system: str
    parameters: int
    seconds: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def milliseconds(self) -> Quartiles:
        """Quartiles of the milliseconds for 50 documents."""
        return _quartiles([1_000 * each for each in self.seconds])

    @property
    def pairs_per_second(self) -> Quartiles:
        return _quartiles([DOCUMENTS / each for each in self.seconds])

    @property
    def tokens_per_second(self) -> Quartiles:
        return _quartiles([n / each for n, each in zip(self.tokens, self.seconds, strict=True)])

    def cost_against(self, other: Speed) -> Quartiles:
        """Quartiles of this ranker's time as a share of the other's in the same round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return _quartiles([own / others for own, others in pairs])


def measure_speeds(
    rankers: Mapping[str, tuple[Ranker[Any], int]],
    questions: Sequence[tuple[str, Sequence[Text]]],
) -> tuple[Speed, ...]:
    """Return how fast rankers are, given with their numbers of parameters.

    A round is one question, asked of every ranker in turn: what else the machine does meanwhile
    slows all of them. A first round is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rankers}
    tokens: dict[str, list[int]] = {name: [] for name in rankers}
    for query, documents in (questions[0], *questions):
        for name, (ranker, _) in rankers.items():
            started = time.perf_counter()
            read = score_texts(ranker, query, documents).tokens
            seconds[name].append(time.perf_counter() - started)
            tokens[name].append(read)
    return tuple(
        Speed(name, parameters, tuple(seconds[name][1:]), tuple(tokens[name][1:]))
        for name, (_, parameters) in rankers.items()
    )


def _quartiles(values: Sequence[float]) -> Quartiles:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)
