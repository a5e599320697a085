"""A TREC run as a system: what another engine made of the same candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ranklift.cli.evaluate.ground import JudgedLists
from ranklift.rankers.base import Values
from ranklift.rankers.data.trec import read_run
from ranklift.v1.errors import InvalidRequest


def run_scores(path: Path, ground: JudgedLists) -> tuple[list[Values], str]:
    """Return a run's scores of the candidates, an array a list, and a note on what it lacks.

    Candidates that it does not rank come last, with equal scores; documents that
    are no candidates are passed over.

    Raises:
        NotFound, InvalidRequest: there is no such file, a line is malformed or repeated, or the
            run ranks none of the candidates.
    """
    read = read_run(path)
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
