"""What does it cost to know a unit's arm, one at a time and ten million at once?

python -m tests.benchmarks.run assignment

The peers have an environment of their own:
python3.11 -m venv build/peers/assignment
build/peers/assignment/bin/pip install growthbook==4.0.0 planout==0.6.0 six
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

PEERS = Path(__file__).parents[2] / "build" / "peers" / "assignment" / "bin" / "python"
PEER_CALLS = Path(__file__).parent / "peers" / "assignment_peers.py"
ROUNDS = 5
MANY = 10_000_000
UNITS = 200_000
PEER_UNITS = 20_000
BAR_SECONDS, BAR_NANOSECONDS = 1.5, 1_000.0

Figures = Mapping[str, float]


def measure() -> str:
    """Measure and return the page: every round has a process of ours and one of the peers'."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_run([sys.executable, "-m", "tests.benchmarks.assignment"]))
        if PEERS.exists():
            theirs.append(_run([str(PEERS), str(PEER_CALLS), str(PEER_UNITS)]))
    return "\n".join(page(ours, theirs))


def _run(command: Sequence[str]) -> Figures:
    core = str(max(os.sched_getaffinity(0)))
    # One thread on one core, whatever a library would like.
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        ["taskset", "-c", core, *command], check=True, capture_output=True, env=environment
    )
    found: Figures = json.loads(finished.stdout)
    return found


def page(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[str]:
    scalar = [one["assign"] - one["key"] for one in ours]
    lines = [
        "# Assignment",
        "",
        f"One core and one thread; {ROUNDS} rounds, in each a process of ours and then one of the "
        "peers'. Medians with the least and the greatest.",
        "",
        f"## {MANY:,} units at once",
        "",
        "`assign_many` over a polars series of texts such as `user-1234567`; each unit's arm is "
        "the one that `Splitter.assign` says (tests/platform/traffic/test_many_units.py).",
        "",
        "| | seconds | of CPU time | wanted |",
        "|---|---|---|---|",
    ]
    for name, label in (
        ("whole", "an experiment that has its layer for itself"),
        ("part", "with slots of its layer and a holdout: three hashes a unit"),
    ):
        wanted = f"at most {BAR_SECONDS:g} s" if name == "whole" else ""
        lines.append(
            f"| {label} | {_spread([one[name] for one in ours], 2)} | "
            f"{_spread([one[f'{name}_cpu'] for one in ours], 2)} | {wanted} |"
        )
    lines += [
        "",
        "## One unit",
        "",
        "CPU time of a call, from the text of the unit's id to its arm.",
        "",
        "| | ns | times `Splitter.assign` | times `route` |",
        "|---|---|---|---|",
        f"| **`Splitter.assign`, net of making the key** (wanted: at most {BAR_NANOSECONDS:g}) | "
        f"{_spread(scalar)} | | |",
        f"| `Splitter.assign`: a hash and a look-up | "
        f"{_spread([one['assign'] for one in ours])} | 1 | |",
        f"| `ServingConfig.route` of one experiment: conditions, holdouts, what is logged | "
        f"{_spread([one['route'] for one in ours])} | | 1 |",
    ]
    if not theirs:
        return [*lines, "| growthbook, PlanOut | not run | | |"]
    for name, label in (
        ("growthbook_hashes", "growthbook 4.0.0: its hash (version 2) alone"),
        ("growthbook_evaluates", "growthbook 4.0.0: `set_attributes` and `run` of an experiment"),
        ("planout_evaluates", "PlanOut 0.6.0: a `SimpleExperiment` with `UniformChoice`, no log"),
    ):
        beside = [
            _spread([peer[name] / one[of] for one, peer in zip(ours, theirs, strict=True)], 1)
            for of in ("assign", "route")
        ]
        if name == "growthbook_hashes":
            beside[1] = ""
        lines.append(
            f"| {label} | {_spread([peer[name] for peer in theirs])} | " + " | ".join(beside) + " |"
        )
    return lines


def _spread(values: Sequence[float], digits: int = 0) -> str:
    low, middle, high = (f"{v:,.{digits}f}" for v in np.quantile(values, (0, 0.5, 1)))
    return f"{middle} [{low} .. {high}]"


def _ours() -> Figures:
    import polars as pl

    from ranklift.store.values import (
        Arm,
        Experiment,
        ExperimentState,
        Layer,
        ModelRef,
        RegisteredExperiment,
    )
    from ranklift.traffic.many_units import assign_many
    from ranklift.traffic.routing import ServingConfig
    from ranklift.traffic.splitter import Place, Splitter

    model = ModelRef("student", "1")
    arms = (Arm("control", 5_000, model), Arm("treatment", 5_000, model))
    experiment = Experiment("title-boost", arms, "control", "default/title-boost")
    splitter = Splitter.of(experiment)
    found: dict[str, float] = {}
    units = [f"user-{i}" for i in range(UNITS)]
    began = time.process_time()
    for unit in units:
        splitter.assign(unit)
    found["assign"] = (time.process_time() - began) / UNITS * 1e9
    now = datetime(2030, 1, 1, tzinfo=UTC)
    running = RegisteredExperiment(experiment, ExperimentState.RUNNING, 2, now, now)
    config = ServingConfig.of([running], model)
    began = time.process_time()
    for unit in units:
        config.route(unit, "")
    found["route"] = (time.process_time() - began) / UNITS * 1e9
    prefix = b"default/title-boost:"
    began = time.process_time()
    for unit in units:
        prefix + unit.encode()
    found["key"] = (time.process_time() - began) / UNITS * 1e9
    many = pl.Series([f"user-{i}" for i in range(MANY)])
    part = Place(Layer("default", "default/slots/1", 500), ((0, 2_500), (5_000, 7_500)))
    for name, place in (("whole", None), ("part", part)):
        wall, cpu = time.perf_counter(), time.process_time()
        assign_many(experiment, many, place)
        found[name] = time.perf_counter() - wall
        found[f"{name}_cpu"] = time.process_time() - cpu
    return found


if __name__ == "__main__":
    print(json.dumps(_ours()))
