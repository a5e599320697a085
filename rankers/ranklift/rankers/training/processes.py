"""Which of the processes that train together this one is; alone unless torchrun started it."""

from __future__ import annotations

import os


def rank() -> int:
    """Return this process's number among those that train together, 0 for the one that writes."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_writer() -> bool:
    """Return whether this is the one process that writes files and prints."""
    return rank() == 0
