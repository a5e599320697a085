"""Run every benchmark and write its page under docs/benchmarks: `make bench`.

python -m tests.benchmarks.run             # all of them
python -m tests.benchmarks.run coverage    # one of them
"""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import (
    assignment,
    coverage,
    fuzz,
    gateway_hop,
    ingest,
    interleaving,
    lift_battery,
    lift_offpolicy,
    lift_peers,
    lift_power,
    lift_rerandomise,
    lift_scale,
    lift_sequential,
    lift_spark,
    lift_speed,
    ramp,
    rank_engine,
    rank_overload,
    rank_served,
    rank_swap,
    rank_teacher_scores,
    rank_tokens,
    sim_calibration,
    sim_fit_counts,
    sim_fit_dbn,
    sim_ope,
    sim_paired,
    sim_power,
    sim_realism,
    sim_replay,
    sim_sampling,
    soak,
    train_speed,
)

PAGES = Path(__file__).parents[2] / "docs" / "benchmarks"
BENCHMARKS: Mapping[str, Callable[[], str]] = {
    "assignment": assignment.measure,
    "coverage": coverage.measure,
    "fuzz": fuzz.measure,
    "gateway_hop": gateway_hop.measure,
    "interleaving": interleaving.measure,
    "ingest": ingest.measure,
    "lift_battery": lift_battery.measure,
    "lift_offpolicy": lift_offpolicy.measure,
    "lift_peers": lift_peers.measure,
    "lift_power": lift_power.measure,
    "lift_rerandomise": lift_rerandomise.measure,
    "lift_scale": lift_scale.measure,
    "lift_sequential": lift_sequential.measure,
    "lift_spark": lift_spark.measure,
    "lift_speed": lift_speed.measure,
    "ramp": ramp.measure,
    "rank_engine": rank_engine.measure,
    "rank_overload": rank_overload.measure,
    "rank_swap": rank_swap.measure,
    "rank_served": rank_served.measure,
    "rank_teacher_scores": rank_teacher_scores.measure,
    "rank_tokens": rank_tokens.measure,
    "train_speed": train_speed.measure,
    "sim_realism": sim_realism.measure,
    "sim_ope": sim_ope.measure,
    "sim_paired": sim_paired.measure,
    "sim_sampling": sim_sampling.measure,
    "sim_calibration": sim_calibration.measure,
    "sim_power": sim_power.measure,
    "sim_replay": sim_replay.measure,
    "sim_fit_counts": sim_fit_counts.measure,
    "sim_fit_dbn": sim_fit_dbn.measure,
    "soak": soak.measure,
}


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    failed: list[str] = []
    for name in names:
        if name not in BENCHMARKS:
            print(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
            return 2
        try:
            body = BENCHMARKS[name]()
        except Exception:
            # Hours of others are not lost for one that fails, or whose peers are not installed.
            traceback.print_exc()
            failed.append(name)
            continue
        PAGES.mkdir(parents=True, exist_ok=True)
        (PAGES / f"{name}.md").write_text(f"{body}\n{_machine(name)}", encoding="utf-8")
        print(body)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _machine(name: str) -> str:
    named = ("torch", "polars", "numpy", "scipy", "grpcio")
    packages = ", ".join(f"{package} {version(package)}" for package in named)
    return (
        f"\n---\nCommand: `python -m tests.benchmarks.run {name}`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"{packages}.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
