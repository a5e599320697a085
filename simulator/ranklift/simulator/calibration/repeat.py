"""Many experiments in several processes; what comes out does not depend on how many."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from ranklift.v1.errors import InvalidRequest

# Parts for each process: many enough that none waits long for the last one, few enough that
# sending a world along with each costs nothing.
_PARTS = 8

T = TypeVar("T")
A = TypeVar("A")


def repeat(
    run: Callable[[A], T],
    arguments: Sequence[A],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[T]:
    """Return `run` of every argument, in their order.

    With one worker it runs in this process; else `run` and the arguments are pickled. `progress`
    is called with how many are done, and of how many.

    Raises:
        InvalidRequest: there is no worker, or one of the runs raises it.
    """
    if workers < 1:
        raise InvalidRequest.of("workers", f"{workers}, must be at least 1")
    size = max(1, -(-len(arguments) // (workers * _PARTS)))
    parts = [arguments[start : start + size] for start in range(0, len(arguments), size)]
    tell = progress or (lambda done, total: None)
    done: list[list[T]] = [[] for _ in parts]
    count = 0
    if workers == 1:
        for number, part in enumerate(parts):
            done[number] = _run_all(run, part)
            count += len(part)
            tell(count, len(arguments))
        return [one for part_done in done for one in part_done]
    # Forked processes would inherit the locks of polars' threads.
    spawning = multiprocessing.get_context("spawn")
    with _one_thread_each(), ProcessPoolExecutor(workers, mp_context=spawning) as pool:
        futures = {pool.submit(_run_all, run, part): n for n, part in enumerate(parts)}
        try:
            for future in as_completed(futures):
                done[futures[future]] = future.result()
                count += len(parts[futures[future]])
                tell(count, len(arguments))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [one for part_done in done for one in part_done]


def _run_all(run: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
    return [run(argument) for argument in arguments]


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have processes that start meanwhile use one thread of polars each: there are several."""
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
