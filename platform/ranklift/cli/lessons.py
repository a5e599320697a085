"""Which queries a stage learns from, and which it is judged on afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ranklift.cli.dataset_formats import Format
from ranklift.cli.datasets import Choice, open_dataset
from ranklift.clicks.query_text import normalised
from ranklift.rankers.base import ClickedText, RankingList
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.splits import fold_of, folds
from ranklift.v1.errors import InvalidRequest

FOLD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Lesson:
    """Data, and the ids of the queries to learn from, and of those to be judged on, if any."""

    judged: Judged
    train: tuple[str, ...]
    test: tuple[str, ...]

    def training_lists(self) -> list[RankingList]:
        """Return the candidates of the queries to learn from, with their grades."""
        return self.judged.lists(self.train)

    def test_queries(self) -> tuple[str, ...]:
        """Return the ids of the other queries that have a judgment and candidates."""
        judged = self.judged
        return tuple(q for q in self.test if q in judged.grades and judged.candidates.get(q))

    def judged_beside(self, learnt: Iterable[str]) -> Lesson:
        """Return the lesson that is judged on all queries but those that say what `learnt` do.

        Raises:
            InvalidRequest: no other query has a judgment.
        """
        said = {normalised(query) for query in learnt}
        queries = self.judged.queries.items()
        lesson = replace(self, test=tuple(q for q, text in queries if normalised(text) not in said))
        if not lesson.test_queries():
            raise InvalidRequest.of(
                "data", "judges no query beside those that are learnt; give --fold, or leave it out"
            )
        return lesson


def lesson_of(data: str, choice: Choice, fold: str, home: Path | None) -> Lesson:
    """Return the lesson of `data`, without the part that `fold` ("2/5") keeps for judging.

    Raises:
        RequestError: the data is not as it must be, or there is no such fold.
    """
    judged = open_dataset(data, choice, home=home)
    if not fold:
        return Lesson(judged, tuple(judged.queries), ())
    number, count = _parsed(fold)
    chosen = folds(judged.queries, count)[number - 1]
    return Lesson(judged, chosen.train, chosen.test)


def learnt_clicks(clicks: Sequence[ClickedText], fold: str) -> list[ClickedText]:
    """Return the clicks but for those of queries that `fold` ("2/5") keeps for judging.

    Raises:
        InvalidRequest: there is no such fold.
    """
    if not fold:
        return list(clicks)
    number, count = _parsed(fold)
    return [each for each in clicks if fold_of(each.query, count) != number]


def _parsed(fold: str) -> tuple[int, int]:
    match = FOLD.fullmatch(fold)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise InvalidRequest.of("fold", f'"{fold}" must be like 2/5: the second of five parts')
    return int(match[1]), int(match[2])


def choice_of(
    format_name: str, split: str, qrels: Path | None, run: Path | None, depth: int
) -> Choice:
    """Return what of a dataset the flags mean.

    Raises:
        InvalidRequest: there is no such format.
    """
    try:
        kind = Format(format_name) if format_name else None
    except ValueError as error:
        raise InvalidRequest.of(
            "format", f'"{format_name}" must be one of {", ".join(Format)}'
        ) from error
    return Choice(format=kind, split=split or None, qrels=qrels, run=run, depth=depth)
