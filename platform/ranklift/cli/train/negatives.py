"""Lists to learn from: all candidates, or the relevant documents with chosen negatives."""

from __future__ import annotations

from pathlib import Path

from ranklift.cli.lessons import Lesson
from ranklift.cli.output import bar, notes
from ranklift.cli.train.options import ref_of
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.base import RankingList
from ranklift.rankers.data.judged import Judged
from ranklift.rankers.data.negatives import Mix, negatives, training_lists
from ranklift.rankers.scores import score_lists
from ranklift.store.registry import Registry
from ranklift.v1.errors import InvalidRequest


def lists_with_negatives(
    lesson: Lesson, mix: Mix, hard_by: str, registry: Registry, home: Path, seed: int
) -> list[RankingList]:
    """Return the training lists of a lesson; a mix of no negatives keeps all candidates.

    Raises:
        InvalidRequest: hard negatives without a model that finds them, or a mix out of range.
    """
    if not mix.lexical + mix.hard + mix.random:
        return lesson.training_lists()
    if mix.hard and not hard_by:
        raise InvalidRequest.of("hard_by", "hard negatives need a model; give model@version")
    judged = _learnt(lesson)
    scores = _scores(judged, hard_by, registry, home) if hard_by else None
    chosen = negatives(judged, mix, scores=scores, seed=seed)
    if chosen.doubtful or chosen.short:
        notes.print(
            f"{chosen.doubtful} candidates left out as perhaps relevant; "
            f"{chosen.short} negatives fewer than asked for"
        )
    return training_lists(judged, chosen)


def _learnt(lesson: Lesson) -> Judged:
    judged, train = lesson.judged, set(lesson.train)
    return Judged(
        {q: text for q, text in judged.queries.items() if q in train},
        judged.documents,
        {q: grades for q, grades in judged.grades.items() if q in train},
        {q: documents for q, documents in judged.candidates.items() if q in train},
    )


def _scores(
    judged: Judged, hard_by: str, registry: Registry, home: Path
) -> dict[str, dict[str, float]]:
    """Return a model's scores of every query's candidates and judged documents."""
    version = registry.models.get(ref_of("hard_by", hard_by))
    ids = {
        q: tuple(dict.fromkeys((*judged.candidates.get(q, ()), *judged.grades[q])))
        for q in judged.grades
    }
    lists = [judged.list_of(query_id, documents) for query_id, documents in ids.items()]
    with bar("hard negatives") as progress:
        scored = score_lists(
            load_ranker(Path(version.uri)),
            version.digest,
            lists,
            home / "cache",
            progress=progress.update,
        )
    return {
        query_id: dict(zip(documents, each.targets, strict=True))
        for (query_id, documents), each in zip(ids.items(), scored.lists, strict=True)
    }
