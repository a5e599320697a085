"""A made-up collection in which words alone mislead and meaning can be learnt.

Each concept has several synonyms, each attribute one word, and filler words
mean nothing. A topic is a concept with an attribute. A query asks for a topic
with one of the synonyms; the documents on the topic use any of them, and also
mention other concepts in passing. A ranker that matches words does well; one
that has learnt which words mean the same does clearly better.

    grade 2   same concept, same attribute
    grade 1   same concept, another attribute
    grade 0   another concept
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.simulator.collections import Collection, Document
from ranklift.v1.errors import InvalidRequest, Violation

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
CANDIDATES = 16
PASSING, SAME_ATTRIBUTE = 3, 6  # most distractors of either kind
HABIT = 0.8  # P(a mention uses the document's own synonym rather than any)


@dataclass(frozen=True, slots=True)
class SyntheticSize:
    """How much there is of everything.

    Queries: concepts * attributes_per_concept * queries_per_topic. Documents:
    concepts * attributes_per_concept * documents_per_topic. Words: concepts *
    synonyms + attributes + fillers.
    """

    concepts: int
    attributes: int
    fillers: int
    attributes_per_concept: int
    synonyms: int = 3
    documents_per_topic: int = 3
    queries_per_topic: int = 1

    def __post_init__(self) -> None:
        distractors = (self.concepts - 1) * self.attributes_per_concept * self.documents_per_topic
        checks = {
            "concepts": (distractors >= CANDIDATES, "enough for 16 documents on other concepts"),
            "attributes_per_concept": (
                1 <= self.attributes_per_concept <= self.attributes,
                f"in [1, {self.attributes}], the number of attributes",
            ),
            "fillers": (self.fillers >= 1, "at least 1"),
            "queries_per_topic": (
                1 <= self.queries_per_topic <= self.synonyms,
                f"in [1, {self.synonyms}], the number of synonyms",
            ),
        }
        violations = [
            Violation(f"size.{name}", f"{getattr(self, name)}, must be {allowed}")
            for name, (right, allowed) in checks.items()
            if not right
        ]
        if violations:
            raise InvalidRequest(violations)


# Documents enough that a small model learns which words mean the same before it knows the
# documents by heart: with 3 a topic, a teacher does not beat BM25.
QUICK = SyntheticSize(
    concepts=50,
    attributes=20,
    fillers=120,
    attributes_per_concept=8,
    documents_per_topic=12,
    queries_per_topic=3,
)
FULL = SyntheticSize(
    concepts=100,
    attributes=30,
    fillers=200,
    attributes_per_concept=10,
    documents_per_topic=12,
    queries_per_topic=3,
)


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A collection and the documents that are ranked for each query: sixteen, shuffled."""

    collection: Collection
    candidates: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Topic:
    concept: int
    attribute: int


@dataclass(frozen=True, slots=True)
class _Index:
    """Where to look for documents that share something with a query."""

    by_concept: dict[int, list[tuple[str, _Topic]]]
    by_attribute: dict[int, list[tuple[str, _Topic]]]
    by_word: dict[str, list[tuple[str, _Topic]]]


def synthesize(size: SyntheticSize, *, rng: np.random.Generator) -> Synthetic:
    """Return a collection of the given size, with its judgments and candidates."""
    words = _words(rng)
    synonyms = [[next(words) for _ in range(size.synonyms)] for _ in range(size.concepts)]
    attributes = [next(words) for _ in range(size.attributes)]
    fillers = [next(words) for _ in range(size.fillers)]
    topics = [
        _Topic(concept, int(attribute))
        for concept in range(size.concepts)
        for attribute in rng.permutation(size.attributes)[: size.attributes_per_concept]
    ]
    documents: dict[str, Document] = {}
    index = _Index(defaultdict(list), defaultdict(list), defaultdict(list))
    for topic in topics:
        for _ in range(size.documents_per_topic):
            document_id = f"d{len(documents):05d}"
            document = _document(document_id, topic, synonyms, attributes, fillers, rng)
            documents[document_id] = document
            index.by_concept[topic.concept].append((document_id, topic))
            index.by_attribute[topic.attribute].append((document_id, topic))
            for word in dict.fromkeys(document.text.split()):
                index.by_word[word].append((document_id, topic))
    queries: dict[str, str] = {}
    judgments: dict[str, dict[str, int]] = {}
    candidates: dict[str, tuple[str, ...]] = {}
    for topic in topics:
        own = synonyms[topic.concept]
        for choice in rng.permutation(len(own))[: size.queries_per_topic]:
            query_id = f"q{len(queries):05d}"
            queries[query_id] = f"{own[choice]} {attributes[topic.attribute]}"
            judgments[query_id] = {
                document_id: 2 if other == topic else 1
                for document_id, other in index.by_concept[topic.concept]
            }
            candidates[query_id] = _candidates(
                topic, own[choice], judgments[query_id], index, list(documents), rng
            )
    return Synthetic(Collection(documents, queries, judgments), candidates)


def _words(rng: np.random.Generator) -> Iterator[str]:
    """Yield distinct words of two or three syllables."""
    seen = set()
    while True:
        syllables = int(rng.integers(2, 4))
        word = "".join(
            CONSONANTS[rng.integers(len(CONSONANTS))] + VOWELS[rng.integers(len(VOWELS))]
            for _ in range(syllables)
        )
        if word not in seen:
            seen.add(word)
            yield word


def _document(
    document_id: str,
    topic: _Topic,
    synonyms: Sequence[Sequence[str]],
    attributes: Sequence[str],
    fillers: Sequence[str],
    rng: np.random.Generator,
) -> Document:
    own, attribute = synonyms[topic.concept], attributes[topic.attribute]
    # A document keeps to one of the synonyms, mostly: it often never has the query's word.
    habit = _pick(own, rng)
    title = [habit, attribute]
    if rng.random() < 0.5:
        title.append(_pick(fillers, rng))
    text = [habit if rng.random() < HABIT else _pick(own, rng) for _ in range(rng.integers(2, 4))]
    text += [attribute] * int(rng.integers(1, 3))
    # In passing: two words of one other concept, enough to mislead a count of words.
    passing = (topic.concept + int(rng.integers(1, len(synonyms)))) % len(synonyms)
    text += [_pick(synonyms[passing], rng) for _ in range(rng.integers(1, 3))]
    text += [_pick(fillers, rng) for _ in range(int(rng.integers(10, 17)) - len(text))]
    return Document(document_id, " ".join(title), " ".join(rng.permutation(text)))


def _candidates(
    topic: _Topic,
    synonym: str,
    grades: Mapping[str, int],
    index: _Index,
    everything: list[str],
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Return 2 or 3 documents of grade 2, 2 to 4 of grade 1, and distractors: sixteen in all."""
    chosen = _some([d for d, grade in grades.items() if grade == 2], int(rng.integers(2, 4)), rng)
    chosen += _some([d for d, grade in grades.items() if grade == 1], int(rng.integers(2, 5)), rng)
    # Two kinds of distractor: the query's word in passing, and the attribute of another concept.
    for sharing, most in (
        (index.by_word[synonym], PASSING),
        (index.by_attribute[topic.attribute], SAME_ATTRIBUTE),
    ):
        chosen += _some([d for d, _ in sharing if d not in grades and d not in chosen], most, rng)
    while len(chosen) < CANDIDATES:
        other = _pick(everything, rng)
        if other not in grades and other not in chosen:
            chosen.append(other)
    return tuple(_some(chosen, CANDIDATES, rng))


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _some(items: list[str], count: int, rng: np.random.Generator) -> list[str]:
    return [items[i] for i in rng.permutation(len(items))[:count]]
