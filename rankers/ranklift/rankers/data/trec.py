"""TREC's two formats: what a system ranked, and what was judged.

    run     query Q0 document rank score tag
    qrels   query iteration document grade

Qrels in BEIR's columns, after its header line, are read as well.
"""

from __future__ import annotations

import math
from collections.abc import Container
from pathlib import Path

from ranklift.rankers.data.lines import checked, unknown, whole
from ranklift.v1.errors import InvalidRequest

RUN_COLUMNS = "query, Q0, document, rank, score, tag"
QRELS_COLUMNS = "query, iteration, document, grade"
BEIR_HEADER = ["query-id", "corpus-id", "score"]


def read_qrels(
    path: Path,
    *,
    queries: Container[str] | None = None,
    documents: Container[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Return the grades by query id and document id, in the file's order.

    `queries` and `documents` are the ids that may be judged; None takes any.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line has other columns, names an unknown id, repeats a judgment, or its
            grade is not a whole number of at least 0; or nothing is judged.
    """
    grades: dict[str, dict[str, int]] = {}
    beir = False
    with checked(path) as lines:
        for number, line in lines:
            columns = line.split("\t") if beir else line.split()
            if columns == BEIR_HEADER and not grades:
                beir = True
                continue
            if len(columns) != (3 if beir else 4):
                names = ", ".join(BEIR_HEADER) if beir else QRELS_COLUMNS
                lines.wrong(
                    number, f"has {len(columns)} columns, must have {3 if beir else 4}: {names}"
                )
                continue
            query_id, document_id, written = columns[0], columns[-2], columns[-1]
            grade = whole(written)
            fault = unknown("query", query_id, queries) or unknown(
                "document", document_id, documents
            )
            if grade is None:
                fault = (
                    f'grade is "{written}", must be a whole number of at least 0; 0 is not relevant'
                )
            elif document_id in grades.get(query_id, {}):
                fault = f'"{document_id}" is judged twice for "{query_id}"; keep one'
            if fault:
                lines.wrong(number, fault)
            elif grade is not None:
                grades.setdefault(query_id, {})[document_id] = grade
    if not grades:
        raise InvalidRequest.of(str(path), "judges nothing; give a file with judgments")
    return grades


def read_run(
    path: Path,
    *,
    queries: Container[str] | None = None,
    documents: Container[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Return the scores by query id and document id, the best document first.

    As trec_eval orders them: by score, whatever the rank beside it says, and equal scores by
    descending document id. `queries` and `documents` are the ids that may be ranked; None takes
    any.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line has other columns, names an unknown id, repeats a document, or its
            score is not a finite number.
    """
    scores: dict[str, dict[str, float]] = {}
    with checked(path) as lines:
        for number, line in lines:
            columns = line.split()
            if len(columns) != 6:
                lines.wrong(number, f"has {len(columns)} columns, must have 6: {RUN_COLUMNS}")
                continue
            query_id, document_id, written = columns[0], columns[2], columns[4]
            score = _number(written)
            fault = unknown("query", query_id, queries) or unknown(
                "document", document_id, documents
            )
            if not math.isfinite(score):
                fault = f'score is "{written}", must be a finite number'
            elif document_id in scores.get(query_id, {}):
                fault = f'"{document_id}" is ranked twice for "{query_id}"; keep one'
            if fault:
                lines.wrong(number, fault)
            else:
                scores.setdefault(query_id, {})[document_id] = score
    return {query_id: _best_first(of_query) for query_id, of_query in scores.items()}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _best_first(scores: dict[str, float]) -> dict[str, float]:
    order = sorted(scores, key=lambda document_id: (scores[document_id], document_id), reverse=True)
    return {document_id: scores[document_id] for document_id in order}
