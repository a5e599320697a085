"""A thousand A/A experiments on a million users' own sums: how long, how much memory?

python -m tests.benchmarks.run lift_rerandomise
python -m tests.benchmarks.lift_rerandomise UNITS REPLICATES     # the measured process alone
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl

from ranklift.lift.adjust import Covariate
from ranklift.lift.rerandomise import (
    Rerandomised,
    false_positive_band,
    rerandomise,
    uniformity,
)

UNITS, REPLICATES = 1_000_000, 1_000
RUNS = 3
METRICS: tuple[tuple[str, tuple[str, str | None], tuple[Covariate, ...]], ...] = (
    ("PageCTR", ("clicked_pages", "pages"), ()),
    (
        "PageCTR, CUPED",
        ("clicked_pages", "pages"),
        (Covariate("pre_clicked_pages", "pre_pages"),),
    ),
    ("UserCTR", ("clicked", None), ()),
    ("UserCTR, CUPED", ("clicked", None), (Covariate("pre_clicked_pages"),)),
    ("dwell per click", ("dwell_ms", "dwell_count"), ()),
    ("dwell per page", ("dwell_ms", "pages"), ()),
)


def measure() -> str:
    """Run the re-randomisations in processes of their own and return the page."""
    command = [sys.executable, "-m", "tests.benchmarks.lift_rerandomise"]
    runs = []
    for _ in range(RUNS):
        finished = subprocess.run(
            [*command, str(UNITS), str(REPLICATES)], check=True, capture_output=True, text=True
        )
        runs.append(json.loads(finished.stdout))
    low, high = false_positive_band(REPLICATES, 0.05)
    seconds = sorted(run["seconds"] for run in runs)
    return "\n".join(
        [
            f"# {REPLICATES:,} A/A experiments on {UNITS:,} users",
            "",
            f"`lift.rerandomise`: six metrics of one table of users, two of them with CUPED, each "
            f"split {REPLICATES:,} times into two arms. Time from the table in memory to all "
            "statistics; memory is the peak of the whole process, imports and table included.",
            "",
            "| | wanted | found |",
            "|---|---|---|",
            f"| seconds, median of {RUNS} (fastest to slowest) | 30 | {seconds[RUNS // 2]:.1f} "
            f"({seconds[0]:.1f} to {seconds[-1]:.1f}) |",
            f"| peak memory, MiB | 2048 | {max(run['peak_mib'] for run in runs):.0f} |",
            f"| of that before the start | | {max(run['start_mib'] for run in runs):.0f} |",
            "",
            f"| metric | p below 0.05 (a correct test: {low:.1%} to {high:.1%}) "
            "| p of uniformity (Kolmogorov-Smirnov) |",
            "|---|---|---|",
            *(
                f"| {name} | {rate:.2%} | {p:.3f} |"
                for name, (rate, p) in runs[0]["metrics"].items()
            ),
            "",
        ]
    )


def draw(units: int) -> pl.DataFrame:
    """Draw the sums of users that differ in how often they come, click and how long they stay."""
    rng = np.random.default_rng(0)
    likely, busy = rng.beta(4, 6, units), rng.gamma(3, 3, units)
    pages, pre_pages = (1 + rng.poisson(busy) for _ in range(2))
    clicked_pages, pre_clicked = rng.binomial(pages, likely), rng.binomial(pre_pages, likely)
    stay = rng.lognormal(10, 0.7, units)
    return pl.DataFrame(
        {
            "pages": pages,
            "clicked_pages": clicked_pages,
            "clicked": (clicked_pages > 0).astype(np.int64),
            "dwell_ms": np.rint(clicked_pages * stay).astype(np.int64),
            "dwell_count": clicked_pages,
            "pre_pages": pre_pages,
            "pre_clicked_pages": pre_clicked,
        }
    )


def main() -> None:
    units, replicates = map(int, sys.argv[1:])
    table = draw(units)
    start_mib = _peak_mib()
    began = time.perf_counter()
    results = rerandomise(
        table,
        [metric for _, metric, _ in METRICS],
        replicates=replicates,
        seed=1,
        covariates=[covariates for _, _, covariates in METRICS],
    )
    seconds = time.perf_counter() - began
    metrics = {}
    for (name, _, _), found in zip(METRICS, results, strict=True):
        if not isinstance(found, Rerandomised):
            raise RuntimeError(f"{name}: {found.reason}")
        metrics[name] = (found.false_positive_rate(), uniformity(found.p_values))
    figures = {
        "seconds": seconds,
        "start_mib": start_mib,
        "peak_mib": _peak_mib(),
        "metrics": metrics,
    }
    print(json.dumps(figures))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
