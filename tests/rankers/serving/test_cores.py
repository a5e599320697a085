"""How cores are shared among batches."""

from __future__ import annotations

import pytest

from ranklift.rankers.serving.cores import Cores, shared


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (12, 6, 2), (64, 8, 8)]
)
def test_a_core_each_for_up_to_eight_batches(cores: int, workers: int, threads: int) -> None:
    assert shared(cores) == Cores(workers, threads)


def test_all_cores_of_this_process_by_default() -> None:
    assert shared().workers >= 1
