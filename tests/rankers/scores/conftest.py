"""Teachers to count and to kill: small programs that score, each a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCORE = """
import pickle, sys
from pathlib import Path

import torch

torch.set_num_threads(1)
from ranklift.rankers.artefacts import load_ranker
from ranklift.rankers.scores import scoring

model, lists, cache = map(Path, sys.argv[1:])
scoring.CHUNK_PAIRS = 64
teacher = load_ranker(model)
lists = pickle.loads(lists.read_bytes())


def wait():
    print("ready", flush=True)
    sys.stdin.read()


{fault}
scored = scoring.score_lists(teacher, "sha256:teacher", lists, cache)
print(scored.computed, scored.found, flush=True)
"""

Scorer = Callable[[str, Path, Path, Path], "subprocess.Popen[str]"]


@pytest.fixture
def start_scoring() -> Iterator[Scorer]:
    """Start a process that scores the lists of a file, with a fault planted or with none ("")."""
    started = []

    def start(fault: str, model: Path, lists: Path, cache: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCORE.format(fault=fault), model, lists, cache],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
