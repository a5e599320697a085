"""PBM and UBM by EM on counts, beside PyClick (EM on sessions) and CLAX (gradients).

python -m tests.benchmarks.run sim_fit_counts

PyClick is a checkout of github.com/markovi/PyClick at build/peers/PyClick; CLAX has an environment:
python3.11 -m venv build/peers/clax && build/peers/clax/bin/pip install clax-models==0.1.1 "jax<0.8"
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ranklift.clicks import pbm, ubm
from ranklift.clicks.counts import by_last_click, by_rank
from ranklift.clicks.em import NO_PRIOR, BetaPrior
from ranklift.clicks.keys import extend
from ranklift.clicks.log import ClickLog, click_log
from ranklift.clicks.model import Fitted
from ranklift.clicks.results import table

BUILD = Path(__file__).parents[2] / "build" / "peers"
PEERS = Path(__file__).parent / "peers"
CLAX = BUILD / "clax" / "bin" / "python"
PYCLICK = BUILD / "PyClick"
ITERATIONS = 50
ROUNDS = 5
QUERIES, DOCUMENTS, RANKS = 500, 20, 10
# What PyClick computes: (1 + sum) / (2 + n).
PYCLICK_PRIOR = BetaPrior(1, 1)
SMALL, LARGE, HELD = 20_000, 200_000, 20_000
MANY, PARTS = 10_000_000, 20
# A slow and a fast one: the fast one stops early more often.
RATES = (0.003, 0.03)
MODELS: dict[str, tuple[Callable[..., Fitted], str]] = {
    "PBM": (pbm.fit, "PositionBasedModel"),
    "UBM": (ubm.fit, "UserBrowsingModel"),
}


def measure() -> str:
    """Fit with every peer that is installed and return the page."""
    small, large = simulated(SMALL, seed=1), simulated(LARGE + HELD, seed=1)
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            path = _saved(small, SMALL, Path(folder) / "small.npz")
            if PYCLICK.exists():
                theirs = _answer(
                    [sys.executable, "-W", "ignore"],
                    "pyclick_fit.py",
                    [name, str(path), str(ITERATIONS)],
                    PYTHONPATH=str(PYCLICK),
                )
                rows.append(_row(name, "PyClick", small[:SMALL], PYCLICK_PRIOR, theirs))
            path = _saved(large, LARGE, Path(folder) / "large.npz")
            for rate in RATES if CLAX.exists() else ():
                theirs = _answer(
                    [str(CLAX), "-W", "ignore"],
                    "clax_fit.py",
                    [MODELS[name][1], str(path), str(rate)],
                )
                peer = f"CLAX, rate {rate}, {theirs['epochs']} epochs"
                rows.append(_row(name, peer, large[:LARGE], NO_PRIOR, theirs))
    return "\n".join(
        [
            "# Fitting PBM and UBM: EM on counts",
            "",
            f"Simulated by the default UBM: {QUERIES} queries, popular ones more often, {RANKS} of "
            f"{DOCUMENTS} documents a page in orders that vary. {ITERATIONS} iterations. Seconds "
            "on the clock, and how many times less we take there and of the processors' time, in "
            "which an idle thread of the linear algebra counts while it spins. Ours, counting and "
            f"standard errors included, is the median of {ROUNDS} fits (smallest to largest). "
            "CLAX's is without compilation. Log-likelihood of the log that is fitted, in nats per "
            "result.",
            "",
            "| model | peer | pages | peer, s | ours, s | times | of the processors' time "
            "| peer's LL | ours | difference |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Wanted: PyClick 500 times with a difference below 1e-8 (with its prior of one click "
            "and one skip); CLAX 50 times with a difference of at least 0. Peers that are not "
            "installed are left out.",
            "",
            *_many(),
            "",
        ]
    )


def simulated(pages: int, *, seed: int) -> ClickLog:
    """Return a log of the default UBM, with popular and rare queries and orders that vary."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, QUERIES + 1)
    query = rng.choice(QUERIES, pages, p=popularity / popularity.sum())
    attractiveness = rng.beta(1.3, 2.7, QUERIES * DOCUMENTS)
    opinion = rng.normal(size=(QUERIES, DOCUMENTS))[query]
    order = np.argsort(opinion + rng.normal(size=opinion.shape), axis=1)[:, :RANKS]
    pair = query[:, None] * DOCUMENTS + order
    keys = extend(seed, np.arange(pages)[:, None], pair)
    clicked = ubm.Ubm().sample(table(keys, attractiveness[pair])).clicked
    return click_log(pair, clicked, pairs=QUERIES * DOCUMENTS)


def _many() -> list[str]:
    """Return the table of a log of `MANY` sessions, counted and fitted once by each model."""
    parts = [simulated(MANY // PARTS, seed=seed) for seed in range(PARTS)]
    log = ClickLog(
        np.concatenate([part.pair for part in parts]),
        np.concatenate([part.clicked for part in parts]),
        np.ones(MANY),
        QUERIES * DOCUMENTS,
    )
    rows = []
    for name, count in (("PBM", by_rank), ("UBM", by_last_click)):
        began = time.perf_counter()
        counts = count(log)
        counted = time.perf_counter()
        MODELS[name][0](counts, max_iterations=ITERATIONS, tolerance=0)
        ended = time.perf_counter()
        rows.append(
            f"| {name} | {counted - began:.1f} | {ended - counted:.1f} | {ended - began:.1f} | "
            f"{len(counts.pair):,} |"
        )
    return [
        f"{MANY:,} sessions of {RANKS} results ({QUERIES * DOCUMENTS:,} pairs), seconds on the "
        "clock; wanted: at most 60.",
        "",
        f"| model | counting | {ITERATIONS} iterations and errors | together | combinations |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _saved(log: ClickLog, fitted: int, path: Path) -> Path:
    held = log[fitted:] if len(log) > fitted else log[:1]
    np.savez(
        path,
        query=log.pair[:fitted, 0] // DOCUMENTS,
        pair=log.pair[:fitted],
        clicked=log.clicked[:fitted],
        held_pair=held.pair,
        held_clicked=held.clicked,
    )
    return path


def _answer(python: list[str], script: str, arguments: list[str], **variables: str) -> Any:
    done = subprocess.run(
        [*python, str(PEERS / script), *arguments],
        env=os.environ | variables,
        capture_output=True,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


def _row(name: str, peer: str, log: ClickLog, prior: BetaPrior, theirs: Any) -> str:
    seconds, processor = [], []
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        fitted = MODELS[name][0](log, prior=prior, max_iterations=ITERATIONS, tolerance=0)
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    ours, best = statistics.median(seconds), float(fitted.log_likelihood[-1]) / log.pair.size
    return (
        f"| {name} | {peer} | {len(log):,} | {theirs['seconds']:.2f} | {ours:.3f} "
        f"({min(seconds):.3f} to {max(seconds):.3f}) | {theirs['seconds'] / ours:,.0f} "
        f"| {theirs['processor'] / statistics.median(processor):,.0f} "
        f"| {theirs['log_likelihood']:.9f} | {best:.9f} | {best - theirs['log_likelihood']:.1e} |"
    )
