"""Where a training stage goes on after it was interrupted.

Every piece of work - what is learnt, from what, with which settings - has a
folder of its own, named after it; `work.json` says it in words. Which
checkpoint is whole is told by the Trainer's state, the last file that it writes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from pathlib import Path

import structlog

from ranklift.rankers.artefacts import Lineage
from ranklift.rankers.training.processes import is_writer, world_size

log = structlog.get_logger(__name__)

WORK, STATE, LOSSES = "work.json", "trainer_state.json", "losses.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# A kill loses at most so large a part of the steps.
LOST_SHARE = 0.05
# Longer than people are away. Work that runs writes far more often.
ABANDONED_DAYS = 30


def steps_between(steps: int) -> int:
    """Return after how many steps a checkpoint is due, 1 or more."""
    return max(1, int(LOST_SHARE * steps))


def folder_of(root: Path, lineage: Lineage, *, sharded: bool = False) -> Path:
    """Return the folder below `root` of the work that a lineage describes, and make it.

    Checkpoints of a model that is spread over processes are of another kind.
    """
    work = {
        "stage": lineage.stage,
        "parents": lineage.parents,
        "data": lineage.data,
        "processes": world_size(),
        "sharded": sharded,
        "options": dict(lineage.options),
    }
    words = json.dumps(work, indent=2, sort_keys=True) + "\n"
    folder = root / f"{lineage.stage}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
    if is_writer():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WORK).write_text(words, "utf-8")
    return folder


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint in `folder`, if there is one."""
    if not folder.is_dir():
        return None
    return max(filter(_is_whole, folder.iterdir()), key=_step, default=None)


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of work that is done."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(root: Path) -> None:
    """Remove the folders below `root` of work that nobody went on with for `ABANDONED_DAYS`.

    Each holds a model and its optimiser's state, twice. What is removed is logged.
    """
    latest = time.time() - ABANDONED_DAYS * 24 * 3600
    old = sorted(work.parent for work in root.glob(f"*/{WORK}") if _touched(work) < latest)
    for folder in old:
        remove_checkpoints(folder)
    if old:
        log.warning(
            "checkpoints of interrupted work removed",
            reason=f"nobody went on with it for {ABANDONED_DAYS} days",
            folders=[str(folder) for folder in old],
        )


def keep_losses(folder: Path, step: int, losses: list[float]) -> None:
    """Keep the losses so far beside the checkpoint of a step."""
    (folder / f"checkpoint-{step}" / LOSSES).write_text(json.dumps(losses), "utf-8")


def kept_losses(checkpoint: Path) -> list[float]:
    """Return the losses of all steps before a checkpoint."""
    losses: list[float] = json.loads((checkpoint / LOSSES).read_text("utf-8"))
    return losses


def _touched(work: Path) -> float:
    """Return when work was last begun, gone on with, or saved, in seconds since the epoch."""
    try:
        return max(work.stat().st_mtime, work.parent.stat().st_mtime)
    except FileNotFoundError:  # another process is done with it
        return time.time()


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
