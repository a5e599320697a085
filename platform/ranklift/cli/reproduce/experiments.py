"""Experiments as values: what is trained, from what, how long, how fast, with which seed.

    Language -> Teacher -> Student

The seed of a `Language` is that of everything that follows: the world's words,
documents, queries and candidates, its users' clicks, all initial weights, and
the order of the batches. Two seeds share nothing but the sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Corpus: TypeAlias = Literal["documents", "clicks"]


@dataclass(frozen=True, slots=True)
class Stage:
    """So many steps of language modelling at a rate: of the documents alone, or of clicks,
    query -> document."""

    corpus: Corpus
    steps: int
    rate: float


@dataclass(frozen=True, slots=True)
class Language:
    """A language model from scratch; without stages its weights are random."""

    seed: int
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A language model fine-tuned to rank; after 0 steps its head is as random as at first."""

    language: Language
    steps: int
    rate: float

    @property
    def seed(self) -> int:
        return self.language.seed


@dataclass(frozen=True, slots=True)
class Student:
    """An encoder of so many layers, from scratch, that learns the teacher's scores.

    `loss` is what `DistilOptions` takes beside steps and rate.
    """

    teacher: Teacher
    layers: int
    steps: int
    rate: float
    loss: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.teacher.seed


@dataclass(frozen=True, slots=True)
class Words:
    """BM25: it learns nothing."""

    seed: int


Experiment: TypeAlias = Words | Language | Teacher | Student


def key_of(experiment: Experiment) -> dict[str, Any]:
    """Return everything that tells an experiment from others, as JSON holds it."""
    return {"kind": type(experiment).__name__.lower(), **asdict(experiment)}
