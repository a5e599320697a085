"""What a stage says of its model afterwards, on queries that it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ranklift.cli.lessons import Lesson
from ranklift.cli.output import bar, notes, out
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.evaluation import evaluate

Figures = Mapping[str, Mapping[str, float]]


def judged_on(lesson: Lesson, versions: Mapping[str, Path]) -> Figures:
    """Return the figures of versions, given as folders by name, on a lesson's test queries.

    Without test queries that have judgments there are none.
    """
    queries = lesson.test_queries()
    lists = lesson.judged.lists(queries)
    judgments = [lesson.judged.grades[query_id] for query_id in queries]
    found: dict[str, Mapping[str, float]] = {}
    if not any(len(set(each.targets)) > 1 for each in lists):
        return found
    with bar("judging") as progress:
        for done, (name, folder) in enumerate(versions.items(), start=1):
            one = evaluate(load_ranker(folder), lists, judgments=judgments)
            found[name] = {
                "queries": float(one.queries),
                "pair_accuracy": one.pair_accuracy.value,
                "ndcg@5": one.ndcg[5].value,
                "ndcg@10": one.ndcg[10].value,
            }
            progress.update(done, len(versions))
    return found


def noted(figures: Figures, *, teacher: str = "", student: str = "") -> None:
    """Print figures, and a warning where a teacher is not better than its student."""
    for name, values in figures.items():
        shown = ", ".join(
            f"{metric} {value:.4f}" for metric, value in values.items() if metric != "queries"
        )
        out.print(f"{name} on {values['queries']:.0f} queries that were held out: {shown}")
    if teacher in figures and student in figures:
        taught, learnt = (figures[name]["pair_accuracy"] for name in (teacher, student))
        if taught <= learnt:
            # Distillation gains only from a better teacher (arXiv 2507.08336).
            notes.print(
                f"warning: {teacher} orders {taught:.1%} of the pairs right and {student} "
                f"{learnt:.1%}: the teacher is not better than its student; train a better one",
                soft_wrap=True,
            )
