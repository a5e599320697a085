"""Experiments made in several processes, a seed in each: seeds share nothing but the sizes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait

import torch

from ranklift.cli.reproduce.experiments import Experiment
from ranklift.cli.reproduce.workshop import Workshop
from ranklift.rankers.training.loop import Progress

LOOK_EVERY_SECONDS = 2.0


def make(
    workshop: Workshop,
    by_seed: Mapping[int, Sequence[Experiment]],
    jobs: int,
    progress: Progress,
) -> None:
    """Measure what the run's folder does not hold yet, so many seeds at a time.

    `progress` is told how many are there, of all.
    """
    missing = {
        seed: [each for each in experiments if not workshop.holds(each)]
        for seed, experiments in by_seed.items()
    }
    wanted = [each for experiments in missing.values() for each in experiments]
    total = sum(map(len, by_seed.values()))
    before = total - len(wanted)
    progress(before, total)
    jobs = min(jobs, sum(map(bool, missing.values())))
    if jobs < 2:
        for count, each in enumerate(wanted, 1):
            workshop.measure(each)
            progress(before + count, total)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        pending = {pool.submit(_measure, workshop, each) for each in missing.values() if each}
        try:
            while pending:
                done, pending = wait(pending, LOOK_EVERY_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                progress(before + sum(map(workshop.holds, wanted)), total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _measure(workshop: Workshop, experiments: Sequence[Experiment]) -> None:
    parent = multiprocessing.parent_process()
    for each in experiments:
        # Of a run that was killed nobody waits for the rest, and another one may be at it already.
        if parent is not None and not parent.is_alive():
            return
        workshop.measure(each)
