"""What systems are evaluated on: the same candidates for all of them, and what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.datasets import Choice
from ranklift.cli.lessons import lesson_of
from ranklift.rankers.base import RankingList
from ranklift.simulator.candidates import RUN
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class JudgedLists:
    """The candidates of judged queries, and the grades of all documents judged for each.

    `query_ids` and `judgments` go with `lists`. `candidates` says where the
    candidates come from; `without` is the number of judged queries that have none.
    """

    collection: str
    candidates: str
    query_ids: tuple[str, ...]
    lists: tuple[RankingList, ...]
    judgments: tuple[Mapping[str, int], ...]
    without: int


def judged_lists(data: str, choice: Choice, fold: str, home: Path | None) -> JudgedLists:
    """Return what a dataset, or the part of its queries that `fold` holds out, has to evaluate on.

    Raises:
        RequestError: the data is not as it must be, or no judged query has candidates.
    """
    lesson = lesson_of(data, choice, fold, home)
    judged = lesson.judged
    asked = [q for q in (lesson.test if fold else judged.queries) if q in judged.grades]
    found = tuple(query_id for query_id in asked if judged.candidates.get(query_id))
    if not found:
        raise InvalidRequest.of("data", f"{data} has no candidates for a judged query")
    return JudgedLists(
        collection=f"{Path(data).name}, fold {fold}" if fold else Path(data).name,
        candidates=_told(data, choice),
        query_ids=found,
        lists=tuple(judged.lists(found)),
        judgments=tuple(judged.grades[query_id] for query_id in found),
        without=len(asked) - len(found),
    )


def _told(data: str, choice: Choice) -> str:
    if choice.run:
        return f"those of {choice.run.name}"
    if (Path(data) / RUN).is_file():
        return f"those of {RUN}"
    return f"the data's own, or the {choice.depth} best of BM25"
