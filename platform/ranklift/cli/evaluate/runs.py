"""A TREC run as a system: what another engine made of the same candidates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ranklift.cli.evaluate.ground import JudgedLists
from ranklift.rankers.base import Values
from ranklift.v1.errors import InvalidRequest


def run_scores(path: Path, ground: JudgedLists) -> tuple[list[Values], str]:
    """Return a run's scores of the candidates, an array a list, and a note on what it lacks.

    Candidates that it does not rank come last, with equal scores; documents that
    are no candidates are passed over.

    Raises:
        InvalidRequest: a line is malformed or repeated, or the run ranks none of the candidates.
    """
    read = _read(path)
    scores, missing = [], 0
    for query_id, each in zip(ground.query_ids, ground.lists, strict=True):
        own = read.get(query_id, {})
        values = np.array([own.get(document.id, np.nan) for document in each.documents])
        lacking = np.isnan(values)
        missing += int(lacking.sum())
        last = float(np.min(values[~lacking], initial=0.0))
        scores.append(np.where(lacking, last - 1, values))
    candidates = sum(len(each.documents) for each in ground.lists)
    if missing == candidates:
        raise InvalidRequest.of(
            "systems", f"{path} ranks none of the candidates; are its ids the collection's?"
        )
    note = f"{missing:,} of {candidates:,} candidates are not in it and come last, tied"
    return scores, note if missing else ""


def _read(path: Path) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest.of("systems", f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 6:
            raise InvalidRequest.of(
                f"{path}:{number}",
                f"has {len(fields)} fields, must have 6: query Q0 document rank score tag",
            )
        query_id, document_id, score = fields[0], fields[2], _number(fields[4])
        if not math.isfinite(score):
            raise InvalidRequest.of(
                f"{path}:{number}", f'has score "{fields[4]}", must be a finite number'
            )
        if document_id in scores.setdefault(query_id, {}):
            raise InvalidRequest.of(
                f"{path}:{number}", f'ranks "{document_id}" for "{query_id}" twice; keep one'
            )
        scores[query_id][document_id] = score
    return scores


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
