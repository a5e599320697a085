"""Whether a system was judged on what it had learnt."""

from __future__ import annotations

from pathlib import Path

from ranklift.cli.dataset_formats import Format, format_of
from ranklift.cli.datasets import Choice
from ranklift.cli.evaluate.ground import JudgedLists
from ranklift.cli.lessons import lesson_of
from ranklift.cli.output import notes
from ranklift.rankers.data.leakage import leakage


def tell_leakage(
    learnt_from: str,
    learnt_split: str,
    ground: JudgedLists,
    home: Path | None,
    *,
    data: str,
    choice: Choice,
    fold: str,
) -> None:
    """Say in one line which of the queries judged on are among those that were learnt from.

    Judged on is a `fold` of `data`, or all of it; where that is what was learnt from too, then
    without this fold.

    Raises:
        RequestError: the data that was learnt from is not as it must be.
    """
    same = Path(learnt_from).resolve() == Path(data).resolve()
    kind = (choice.format if same else None) or format_of(learnt_from)
    if same and fold and learnt_split in {"", choice.split or ""}:
        lesson = lesson_of(learnt_from, choice, fold, home)
    else:
        lesson = lesson_of(learnt_from, Choice(kind, learnt_split or None), "", home)
    learnt = lesson.judged
    # The queries of other splits stand in the same file: judgments tell whose they are. Of lists,
    # each one is learnt from, judged or not.
    asked = [q for q in lesson.train if kind is Format.JSONL or q in learnt.grades]
    found = leakage(learnt.lists(asked), ground.lists)
    if found:
        notes.print(f"warning: {found}", soft_wrap=True, markup=False)
