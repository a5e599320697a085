"""Forgets a unit and dies at a named point, as by kill -9.

python forgetter.py HOME UNIT rewriting|swapping|swapped|deleting|scrubbing
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ranklift.events import forgetting
from ranklift.events.files import LocalFiles
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.log import utc_now
from ranklift.events.manifest import Manifest


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        die()

    return both


def main(home: Path, unit: str, point: str) -> None:
    match point:
        case "rewriting":
            forgetting._rewrite = then_die(forgetting._rewrite)
        case "swapping":
            Manifest.swap = then_die(Manifest.swap)  # type: ignore[method-assign]
        case "swapped":
            Manifest.due = die  # type: ignore[method-assign,assignment]
        case "deleting":
            LocalFiles.delete = then_die(LocalFiles.delete)  # type: ignore[method-assign]
        case "scrubbing":
            forgetting._scrub = die
    folder = home / FOLDER_NAME
    forgetting.forget(folder, LocalFiles(folder), unit, utc_now)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
