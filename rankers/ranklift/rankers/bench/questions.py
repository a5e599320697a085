"""What a server is asked: recorded requests, or made-up ones of realistic length."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ranklift.rankers.base import Text
from ranklift.v1.errors import InvalidRequest, NotFound

MAX_DOCUMENTS = 1_000
GENERATED = 1_000
# Every one is a single token of BERT's vocabulary, so that words count as tokens.
VOCABULARY = (
    "about after again air all along also always area back before best better big black blue book "
    "both bring build business buy call car care case change child city class clear close cold "
    "come cost country course cut day deep door down early east easy eat end eye face fact family "
    "far fast feel few field find fire five follow food foot form four free friend full game girl "
    "give good great green ground group grow hand hard head health hear heart help here high hold "
    "home hope hot hour house idea keep kind king know land large last late lead learn leave left "
    "less level life light like line list little live local long look love low make many market "
    "mean men mind money month more morning most move much music name near need new next night "
    "north number off often oil old only open order other own page paper part past pay people "
    "place plan plant play point power price public put question quick rain read real red rest "
    "right river road rock room round run same school sea second see seven ship short show side "
    "six size small snow some song soon sound south space stand star start state stay step still "
    "stone stop story street strong study sun sure system table take talk teach ten test thing "
    "think three time top town trade train travel tree true try turn two under unit use very "
    "voice walk wall war warm watch water way week well west wheel white wide wind winter wood "
    "word work world write year young"
)
QUERY_WORDS = (2, 10)
# Pairs of 73 tokens on average, 39 to 123 in the middle nine tenths, once the query and three
# special tokens are added: log-normal documents.
DOCUMENT_MEDIAN_WORDS, DOCUMENT_SIGMA = 59.0, 0.40
DOCUMENT_WORDS = (4, 300)
WORDS = VOCABULARY.split()


@dataclass(frozen=True, slots=True)
class Question:
    """A query and the documents to rank for it."""

    query: str
    documents: tuple[Text, ...]


def generated(
    documents: tuple[int, int], *, rng: np.random.Generator, count: int = GENERATED
) -> list[Question]:
    """Return `count` questions with `documents` from, and up to, so many documents.

    Queries have 2 to 10 words, documents a log-normal number with median 59; a pair has 73 tokens
    on average (5 % below 39, 5 % above 123) when every word is one token, as in BERT's vocabulary.
    The words are drawn at random: no document repeats, and what they say means nothing.
    """
    return [
        _generated(int(rng.integers(documents[0], documents[1] + 1)), rng) for _ in range(count)
    ]


def _generated(documents: int, rng: np.random.Generator) -> Question:
    drawn = np.exp(rng.normal(np.log(DOCUMENT_MEDIAN_WORDS), DOCUMENT_SIGMA, documents))
    lengths = np.clip(drawn.round().astype(int), *DOCUMENT_WORDS)
    query = _text(int(rng.integers(QUERY_WORDS[0], QUERY_WORDS[1] + 1)), rng)
    return Question(
        query, tuple(Text(f"d{i}", "", _text(int(n), rng)) for i, n in enumerate(lengths))
    )


def _text(words: int, rng: np.random.Generator) -> str:
    return " ".join(WORDS[i] for i in rng.integers(len(WORDS), size=words))


def read_questions(path: Path) -> list[Question]:
    """Return the requests in a JSON-lines file, in the fields of the usual rerank services:
    `{"query": "...", "documents": ["...", {"id": "...", "title": "...", "text": "..."}]}`.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it is empty, or a line is no request; the field is "file:line".
    """
    if not path.is_file():
        raise NotFound.of("requests", f'there is no file "{path}"')
    with path.open(encoding="utf-8") as lines:
        found = [
            _question(f"{path.name}:{number}", line)
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
    if not found:
        raise InvalidRequest.of("requests", f'"{path}" is empty; give one request a line')
    return found


def _question(where: str, line: str) -> Question:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidRequest.of(where, f"is not JSON: {error}") from error
    query, documents = (row.get("query"), row.get("documents")) if isinstance(row, dict) else (0, 0)
    if not isinstance(query, str) or not query.strip():
        raise InvalidRequest.of(where, 'lacks a "query" that is not blank')
    if not isinstance(documents, list) or not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise InvalidRequest.of(where, f'needs "documents", a list of 1 to {MAX_DOCUMENTS}')
    texts = tuple(_document(where, i, each) for i, each in enumerate(documents))
    if len({each.id for each in texts}) < len(texts):
        raise InvalidRequest.of(where, "names a document id twice; ids are unique in a request")
    return Question(query, texts)


def _document(where: str, number: int, value: Any) -> Text:
    row = {"text": value} if isinstance(value, str) else value
    if not isinstance(row, dict):
        row = {}
    id_, title, text = row.get("id", f"d{number}"), row.get("title", ""), row.get("text", "")
    if (
        not all(isinstance(each, str) for each in (id_, title, text))
        or not f"{title}{text}".strip()
    ):
        raise InvalidRequest.of(
            where, f'documents[{number}] is neither a text nor an object with "title" or "text"'
        )
    return Text(id_, title, text)
