"""Lists, one a line, that bring everything with them.

    {"query": "...", "query_id": "q1", "documents": [
        {"id": "d1", "title": "...", "text": "...", "grade": 2, "target": 3.25}, ...]}

on one line. `query_id` may be missing: the query's text is its id then. Of a document `title` or
`text` may be missing, not both. `grade` is what people judged, a whole number of at least 0, and
missing where nobody did; `target` is what to learn, e.g. a teacher's score. The order of the
documents means nothing. Other keys are refused, because a misspelt label would pass for none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.lines import MAX_GRADE, checked

LIST_KEYS = {"query", "query_id", "documents"}
DOCUMENT_KEYS = {"id", "title", "text", "grade", "target"}


def read_judged_lists(path: Path) -> Judged:
    """Return the lists of a file as candidates, with the grades of those that have one.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line is malformed, repeats a query id, or has another text for a
            document id than a line before it.
    """
    queries: dict[str, str] = {}
    documents: dict[str, Text] = {}
    grades: dict[str, dict[str, int]] = {}
    candidates: dict[str, tuple[str, ...]] = {}
    for each in _read(path):
        queries[each.query_id] = each.query
        documents |= {document.id: document for document in each.documents}
        candidates[each.query_id] = tuple(document.id for document in each.documents)
        if each.grades:
            grades[each.query_id] = each.grades
    return Judged(queries, documents, grades, candidates)


def read_target_lists(path: Path) -> list[RankingList]:
    """Return the lists of a file with their targets, which every document must have.

    They are the lists that `read_judged_lists` finds there, in the same order.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: as `read_judged_lists`, or a document has no target.
    """
    return [
        RankingList(each.query, each.documents, tuple(each.targets[d.id] for d in each.documents))
        for each in _read(path, all_targets=True)
    ]


def write_lists(path: Path, lists: Iterable[RankingList]) -> None:
    """Write the queries and documents of lists, without grades and targets."""
    with path.open("w", encoding="utf-8") as file:
        for each in lists:
            row = {"query": each.query, "documents": [asdict(d) for d in each.documents]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class _List:
    query_id: str
    query: str
    documents: tuple[Text, ...]
    grades: dict[str, int]
    targets: dict[str, float]


def _read(path: Path, *, all_targets: bool = False) -> Iterator[_List]:
    queries: set[str] = set()
    documents: dict[str, tuple[Text, int]] = {}
    with checked(path) as lines:
        for number, line in lines:
            try:
                each = _parse(line)
                if each.query_id in queries:
                    raise ValueError(f'query "{each.query_id}" is there twice; join the lists')
                for document in each.documents:
                    known, first = documents.get(document.id, (document, number))
                    if known != document:
                        raise ValueError(
                            f'document "{document.id}" has another text than in line {first}; '
                            "one id is one document"
                        )
                missing = [d.id for d in each.documents if d.id not in each.targets]
                if all_targets and missing:
                    raise ValueError(
                        f'{len(missing)} documents have no "target", "{missing[0]}" first; '
                        "score them, or learn from grades"
                    )
            except ValueError as error:
                lines.wrong(number, str(error))
                continue
            queries.add(each.query_id)
            for document in each.documents:
                documents.setdefault(document.id, (document, number))
            yield each


def _parse(line: str) -> _List:
    """Return one line as a list. Raises ValueError with what is wrong."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("is nested too deep to be a list of documents") from error
    if not isinstance(row, dict):
        raise ValueError('is not a JSON object like {"query": "...", "documents": [...]}')
    _only(row, LIST_KEYS)
    query = _string(row, "query")
    if not query.strip():
        raise ValueError('"query" is blank; give it a text')
    rows = row.get("documents")
    if not isinstance(rows, list) or not rows:
        raise ValueError('"documents" must be a list of one document or more')
    documents: dict[str, Text] = {}
    grades: dict[str, int] = {}
    targets: dict[str, float] = {}
    for place, each in enumerate(rows):
        try:
            document, grade, target = _document(each)
            if document.id in documents:
                raise ValueError(f'"{document.id}" is in the list twice; keep one')
        except ValueError as error:
            raise ValueError(f"documents[{place}]: {error}") from error
        documents[document.id] = document
        if grade is not None:
            grades[document.id] = grade
        if target is not None:
            targets[document.id] = target
    query_id = _string(row, "query_id", query)
    ordered = tuple(documents[document_id] for document_id in sorted(documents))
    return _List(query_id, query, ordered, grades, targets)


def _document(row: object) -> tuple[Text, int | None, float | None]:
    if not isinstance(row, dict):
        raise ValueError('is not an object like {"id": "...", "text": "..."}')
    _only(row, DOCUMENT_KEYS)
    document = Text(_string(row, "id"), _string(row, "title", ""), _string(row, "text", ""))
    if not document.id:
        raise ValueError('"id" is empty; every document needs one')
    if not document.body.strip():
        raise ValueError("has neither title nor text; leave it out")
    grade = _number(row["grade"]) if "grade" in row else None
    # Tables that had gaps write 1 as 1.0.
    if "grade" in row and (grade is None or not 0 <= grade < MAX_GRADE or grade % 1):
        raise ValueError(
            f'"grade" is {_shown(row["grade"])}, must be a whole number of at least 0; '
            "leave it out where nobody judged"
        )
    target = _number(row["target"]) if "target" in row else None
    if "target" in row and target is None:
        raise ValueError(f'"target" is {_shown(row["target"])}, must be a finite number')
    return document, None if grade is None else int(grade), target


def _only(row: Mapping[str, object], keys: set[str]) -> None:
    other = sorted(set(row) - keys)
    if other:
        raise ValueError(f'"{other[0]}" is not a key; there are {", ".join(sorted(keys))}')


def _string(row: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f'"{key}" is {_shown(value)}, must be a string')
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f'"{key}" holds half of a surrogate pair, which is no text; mend it')
    return value


def _number(value: object) -> float | None:
    """Return a finite number, None when `value` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    return json.dumps(value)[:80]
