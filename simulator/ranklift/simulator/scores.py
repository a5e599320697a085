"""A ranker's scores of documents as a TREC run: query, Q0, document, rank, score, tag."""

from __future__ import annotations

import math
from pathlib import Path

from ranklift.v1.errors import InvalidRequest, NotFound


def load_scores(path: Path) -> dict[str, dict[str, float]]:
    """Return the scores by query and document id.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: a line is malformed; the field is "file:line".
    """
    if not path.is_file():
        raise NotFound.of("scores", f"there is no file {path}")
    scores: dict[str, dict[str, float]] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 6:
                raise InvalidRequest.of(
                    f"{path}:{number}",
                    f"has {len(fields)} fields, must have 6: query Q0 document rank score tag",
                )
            scores.setdefault(fields[0], {})[fields[2]] = _number(f"{path}:{number}", fields[4])
    return scores


def _number(at: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InvalidRequest.of(at, f'score "{text}", must be a number')
    return score
