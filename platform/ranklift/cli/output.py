"""What the commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

out = Console(highlight=False)
notes = Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Print one line that says what is wrong and what to do."""
    notes.print(f"[bold red]error:[/] {_escaped(message)}", soft_wrap=True)


def step(message: str) -> None:
    """Print one line that says what begins now."""
    notes.print(f"[bold cyan]>[/] {_escaped(message)}", soft_wrap=True)


def _escaped(message: str) -> str:
    return message.replace("[", "\\[")


class Bar:
    """One progress bar with the time left; `update` has the shape that long work calls back."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=None)

    def update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def bar(description: str) -> Iterator[Bar]:
    """Show a progress bar while the block runs."""
    with Progress(
        TextColumn("  {task.description:<34}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=notes,
    ) as progress:
        yield Bar(progress, description)
