"""Where a training stage goes on after it was interrupted.

A folder of checkpoints belongs to one piece of work: what is learnt, from what,
with which settings. It says so in `work.json`, and other work is refused.
Which is whole is told by the Trainer's state, the last file that it writes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ranklift.rankers.training.processes import is_writer
from ranklift.v1.errors import InvalidRequest

WORK, STATE, LOSSES = "work.json", "trainer_state.json", "losses.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# A kill loses at most so large a part of the steps.
LOST_SHARE = 0.05


def steps_between(steps: int) -> int:
    """Return after how many steps a checkpoint is due, 1 or more."""
    return max(1, int(LOST_SHARE * steps))


def last_checkpoint(folder: Path, work: Mapping[str, object]) -> Path | None:
    """Return the last whole checkpoint of `work` in `folder`, which is made if need be.

    Raises:
        InvalidRequest: the folder holds other files, or the checkpoints of other work.
    """
    described = json.loads(json.dumps(work, sort_keys=True))
    if not folder.exists() or not any(folder.iterdir()):
        if is_writer():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / WORK).write_text(json.dumps(described, indent=2) + "\n", "utf-8")
        return None
    try:
        found = json.loads((folder / WORK).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest.of(
            "checkpoints", f'"{folder}" holds no checkpoints but other files; name another folder'
        ) from error
    if found != described:
        keys = sorted(set(found) | set(described))
        key = next(key for key in keys if found.get(key) != described.get(key))
        raise InvalidRequest.of(
            "checkpoints",
            f'"{folder}" holds the checkpoints of other work ({key} is {found.get(key)} there and '
            f"{described.get(key)} here); name another folder, or delete it",
        )
    whole = [path for path in folder.iterdir() if _is_whole(path)]
    return max(whole, key=_step, default=None)


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of work that is done."""
    shutil.rmtree(folder, ignore_errors=True)


def keep_losses(folder: Path, step: int, losses: list[float]) -> None:
    """Keep the losses so far beside the checkpoint of a step."""
    (folder / f"checkpoint-{step}" / LOSSES).write_text(json.dumps(losses), "utf-8")


def kept_losses(checkpoint: Path) -> list[float]:
    """Return the losses of all steps before a checkpoint."""
    losses: list[float] = json.loads((checkpoint / LOSSES).read_text("utf-8"))
    return losses


def _is_whole(path: Path) -> bool:
    if not CHECKPOINT.fullmatch(path.name) or not (path / LOSSES).is_file():
        return False
    try:
        json.loads((path / STATE).read_text("utf-8"))
        json.loads((path / LOSSES).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _step(path: Path) -> int:
    found = CHECKPOINT.fullmatch(path.name)
    assert found  # noqa: S101
    return int(found[1])
