"""The teacher's scores of ranking lists, computed once.

Scores are kept by content: one folder for each teacher digest (weights,
tokenizer and length limit are part of it), one row for each text of query and
document. Files are only ever added, each whole at once, so that two processes
may share a cache.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ranklift.rankers.artefacts import text_digest
from ranklift.rankers.base import Ranker, RankingList, SizedP, Text, score_texts
from ranklift.rankers.training.loop import Progress, no_progress

SCHEMA = {"pair": pl.String, "score": pl.Float64}
# So many lists are scored before their scores are kept: what an interruption loses.
LISTS_PER_FILE = 1_000


@dataclass(frozen=True, slots=True)
class Scored:
    """Lists with the teacher's scores as targets, and how many pairs were computed and found."""

    lists: tuple[RankingList, ...]
    computed: int
    found: int


def score_lists(
    teacher: Ranker[SizedP],
    digest: str,
    lists: Sequence[RankingList],
    cache: Path,
    *,
    progress: Progress = no_progress,
) -> Scored:
    """Return `lists` with the scores of `teacher`, whose artefact's digest is `digest`.

    A pair that the cache knows is not computed again. `progress` counts lists.
    """
    folder = cache / digest.replace(":", "-")
    known = _read(folder)
    computed = 0
    fresh: dict[str, float] = {}
    scored: list[RankingList] = []
    for done, ranking in enumerate(lists, start=1):
        keys = [text_digest(ranking.query, document) for document in ranking.documents]
        missing: dict[str, Text] = {
            key: document
            for key, document in zip(keys, ranking.documents, strict=True)
            if key not in known
        }
        if missing:
            values = score_texts(teacher, ranking.query, list(missing.values())).values.tolist()
            new = dict(zip(missing, values, strict=True))
            known |= new
            fresh |= new
            computed += len(new)
        targets = tuple(known[key] for key in keys)
        scored.append(RankingList(ranking.query, ranking.documents, targets))
        if fresh and (done % LISTS_PER_FILE == 0 or done == len(lists)):
            _write(folder, fresh)
            fresh = {}
        progress(done, len(lists))
    pairs = sum(len(ranking.documents) for ranking in lists)
    return Scored(tuple(scored), computed=computed, found=pairs - computed)


def _read(folder: Path) -> dict[str, float]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        return {}
    frame = pl.read_parquet(files, schema=SCHEMA)
    return dict(zip(frame["pair"].to_list(), frame["score"].to_list(), strict=True))


def _write(folder: Path, scores: dict[str, float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame({"pair": list(scores), "score": list(scores.values())}, schema=SCHEMA)
    name = uuid.uuid4().hex
    temporary = folder / f"{name}.partial"
    frame.write_parquet(temporary)
    temporary.rename(folder / f"{name}.parquet")
