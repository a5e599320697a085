"""Do the demo's intervals hold the truth? Twenty quick demos, each with its own world and users."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SEEDS = range(20)
AT_ONCE = 2
METRICS = ("page_ctr", "user_ctr", "dwell_per_click")
WANTED = 17


def measure() -> str:
    """Run the demos and return the page: one row a seed, and how many intervals hold the truth."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reports = list(pool.map(_report, SEEDS))
    covered = {metric: sum(_covers(r["metrics"][metric]) for r in reports) for metric in METRICS}
    lines = [
        "# Do the intervals of the quick demo hold the true lift?",
        "",
        f"`ranklift demo --quick --seed N` for {len(SEEDS)} seeds, {AT_ONCE} at a time. Each seed "
        "makes its own documents, models and users. The truth is the world's: everybody on the "
        "student against everybody on BM25, in expectation over what these users do. Lifts in per "
        f"cent with 95 % intervals; **bold**: the interval misses the truth. Wanted: {WANTED} or "
        "more of 20.",
        "",
        "| seed | valid | PageCTR | true | UserCTR | true | dwell per click | true | "
        "student@2 - champion, pair accuracy | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(seed, report) for seed, report in zip(SEEDS, reports, strict=True)),
        "",
        *(
            f"- {metric}: {covered[metric]} of {len(SEEDS)} intervals hold the truth."
            for metric in METRICS
        ),
    ]
    return "\n".join(lines) + "\n"


def _report(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        command = [sys.executable, "-m", "ranklift.cli", "demo", "--quick"]
        began = time.monotonic()
        finished = subprocess.run(
            [*command, "--seed", str(seed), "--home", str(home)],
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(f"seed {seed}: {finished.stderr}")
        report: dict[str, Any] = json.loads((home / "report.json").read_text())
        print(f"seed {seed}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return report | {"seconds": time.monotonic() - began}


def _row(seed: int, report: dict[str, Any]) -> str:
    cells = [str(seed), "yes" if report["valid"] else "no"]
    for metric in METRICS:
        found = report["metrics"][metric]
        if "relative_lift" not in found:
            cells += [found["unavailable_reason"], f"{found['true_lift']:+.1%}"]
            continue
        lower, upper = found["interval"]
        text = f"{found['relative_lift']:+.1%} ({lower:+.1%} to {upper:+.1%})"
        cells += [text if _covers(found) else f"**{text}**", f"{found['true_lift']:+.1%}"]
    compared = [c for c in report["retrained"]["comparisons"] if c["metric"] == "pair_accuracy"]
    cells.append(
        "; ".join(
            f"{c['difference']:+.3f} ({c['difference_lower']:+.3f} to {c['difference_upper']:+.3f})"
            for c in compared
        )
    )
    return f"| {' | '.join(cells)} | {report['seconds']:.0f} |"


def _covers(found: dict[str, Any]) -> bool:
    if "interval" not in found:
        return False
    lower, upper = found["interval"]
    return bool(lower <= found["true_lift"] <= upper)
