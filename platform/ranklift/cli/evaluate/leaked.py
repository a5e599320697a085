"""Whether a system was judged on what it had learnt."""

from __future__ import annotations

from pathlib import Path

from ranklift.cli.datasets import Choice, open_dataset
from ranklift.cli.evaluate.ground import JudgedLists
from ranklift.cli.output import notes
from ranklift.rankers.data.leakage import leakage


def tell_leakage(learnt_from: str, ground: JudgedLists, home: Path | None) -> None:
    """Say in one line which of the queries judged on are among those that were learnt from.

    Raises:
        RequestError: the data that was learnt from is not as it must be.
    """
    learnt = open_dataset(learnt_from, Choice(), home=home)
    found = leakage(learnt.lists(), ground.lists)
    if found:
        notes.print(f"warning: {found}", soft_wrap=True, markup=False)
