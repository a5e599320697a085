"""How the cores of a machine are shared among the batches that are scored at once."""

from __future__ import annotations

import os
from dataclasses import dataclass

# Each worker holds the interpreter for a part of its time; more of them would wait for it.
MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Cores:
    """`workers` batches at once, each on `threads` cores.

    A small model's layers are too short to be worth splitting among cores: two
    batches on a core each end sooner than one after the other on both.
    """

    workers: int
    threads: int


def shared(cores: int = 0) -> Cores:
    """Return how `cores` are shared, all that this process may use when 0."""
    cores = cores or _usable()
    threads = -(-cores // MOST_WORKERS)
    return Cores(cores // threads, threads)


def _usable() -> int:
    # Not every system tells what a process may use, which can be fewer than there are.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
