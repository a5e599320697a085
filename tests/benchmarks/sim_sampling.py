"""How many pages a second are simulated, in memory and into Parquet, beside other samplers?

python -m tests.benchmarks.run sim_sampling

Beside ULTRA, its checkout at build/peers/ULTRA (ULTR-Community/ULTRA_pytorch), and CLAX, an
environment at build/peers/clax (clax-models 0.1.1 with "jax<0.8").
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from ranklift.clicks.dbn import Dbn
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.collections import Collection, Document
from ranklift.simulator.compact import Script, compact_log, script
from ranklift.simulator.shards import write_log
from ranklift.simulator.users import Population
from ranklift.simulator.world import Appeal, World

PEERS = Path(__file__).parents[2] / "build" / "peers"
CLAX, ULTRA = PEERS / "clax" / "bin" / "python", PEERS / "ULTRA" / "ultra" / "utils"
CLAX_SAMPLE = Path(__file__).parent / "peers" / "clax_sample.py"
USERS, PAGES_PER_USER = 1_000_000, 4.0
QUERIES, DOCUMENTS = 5_000, 16
WORKERS, ROUNDS = 2, 5
ULTRA_PAGES, CLAX_PAGES = 100_000, 2_000_000


def measure() -> str:
    """Sample in turns and return the page."""
    world = _world()
    rankings = dict(world.candidates)
    played = script(world, {"control": rankings, "challenger": rankings})
    pages = len(compact_log(played, 0, USERS, workers=WORKERS).pages)
    ways: dict[str, Callable[[], float]] = {
        "ranklift, in memory": lambda: _in_memory(played, pages),
        "ranklift, into Parquet": lambda: _into_parquet(played, pages),
        "ULTRA, UBM": _ultra,
        "CLAX, DBN": _clax,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(way())
    ours = median(rates["ranklift, in memory"])
    bytes_per_page = _size(played) / pages
    return "\n".join(
        [
            "# How many pages a second?",
            "",
            f"{pages:,} pages of {USERS:,} users with ten results each, {QUERIES:,} queries, two "
            "arms: DBN with satisfaction, log-normal dwell, users that differ, every draw keyed; "
            f"planning who searches for what and when is included. {WORKERS} threads; {ROUNDS} "
            "rounds in turn, median [lowest, highest]. Into Parquet: a table of pages and one of "
            f"clicks, zstd, {bytes_per_page:.1f} bytes a page, which `ranklift lift` reads.",
            "",
            "| | pages a second | ranklift in memory is faster |",
            "|---|---|---|",
            *(
                f"| {name} | {median(found) / 1e6:.2f} M [{min(found) / 1e6:.2f}, "
                f"{max(found) / 1e6:.2f}] | "
                f"{'' if name.startswith('ranklift') else f'{ours / median(found):.1f} times'} |"
                for name, found in rates.items()
            ),
            "",
            "Wanted: 3 M in memory, 1.5 M into Parquet. ULTRA draws clicks page by page in Python, "
            "without satisfaction and dwell; CLAX draws clicks and satisfaction in compiled "
            "batches, which stay in memory, without dwell, users or times, after compilation.",
        ]
    )


def _world() -> World:
    rng = np.random.default_rng(1)
    documents = {f"d{n}": Document(f"d{n}", "words", "") for n in range(QUERIES * DOCUMENTS)}
    queries = {f"q{n}": f"query {n}" for n in range(QUERIES)}
    candidates = {
        f"q{q}": tuple(f"d{q * DOCUMENTS + n}" for n in range(DOCUMENTS)) for q in range(QUERIES)
    }
    appeals = {
        query: {
            document: Appeal(float(a), float(s))
            for document, a, s in zip(
                ids, rng.beta(1.3, 2.7, DOCUMENTS), rng.uniform(0.1, 0.8, DOCUMENTS), strict=True
            )
        }
        for query, ids in candidates.items()
    }
    population = Population(users=USERS, pages_per_user=PAGES_PER_USER)
    world = World(
        "bench", 1, Collection(documents, queries, {}), candidates, population, appeals=appeals
    )
    return replace(world, behaviour=Behaviour(browsing=Dbn()))


def _in_memory(played: Script, pages: int) -> float:
    began = time.perf_counter()
    compact_log(played, 0, USERS, workers=WORKERS)
    return pages / (time.perf_counter() - began)


def _into_parquet(played: Script, pages: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_log(played, Path(folder), 0, USERS, workers=WORKERS)
        return pages / (time.perf_counter() - began)


def _size(played: Script) -> int:
    with tempfile.TemporaryDirectory() as folder:
        write_log(played, Path(folder), 0, USERS, workers=WORKERS)
        files = (path for table in ("pages", "clicks") for path in Path(folder, table).glob("*"))
        return sum(path.stat().st_size for path in files)


def _ultra() -> float:
    if not ULTRA.is_dir():
        return float("nan")
    sys.path.insert(0, str(ULTRA))
    try:
        import click_models  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    random.seed(1)
    model = click_models.UserBrowsingModel(0.1, 1.0, 4, 1.0)
    lists = [[random.randrange(5) for _ in range(10)] for _ in range(1_000)]
    began = time.perf_counter()
    for n in range(ULTRA_PAGES):
        model.sampleClicksForOneList(lists[n % 1_000])
    return ULTRA_PAGES / (time.perf_counter() - began)


def _clax() -> float:
    if not CLAX.exists():
        return float("nan")
    finished = subprocess.run(
        [str(CLAX), str(CLAX_SAMPLE), str(CLAX_PAGES), str(QUERIES)],
        capture_output=True,
        check=True,
        text=True,
    )
    return float(json.loads(finished.stdout)["pages_per_second"])
