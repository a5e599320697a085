"""Whole reports from cold, ours and tea-tasting's, and refreshes after new pages.

python -m tests.benchmarks.run lift_speed
python -m tests.benchmarks.lift_speed PAGES USERS RUNS     # another size, printed only
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

PAGES, USERS, RUNS = 10_000_000, 1_000_000, 5
NEW_PAGES, REFRESHES = 100_000, 20
FILE_PAGES = 1_000_000
AGREEMENT = 1e-9

METRICS = (
    "page_ctr",
    "user_ctr",
    "clicks_per_page",
    "pages_per_unit",
    "dwell_per_click",
    "dwell_per_page",
)

OURS = f"""
import json, sys
from ranklift.lift.analysis import analyze
from ranklift.store.analysis import AnalysisPlan, Horizon
report = analyze(
    sys.argv[1] + "/*.parquet", control="control", primary="page_ctr", metrics={METRICS!r},
    plan=AnalysisPlan(horizon=Horizon.FIXED), details=False,
)
found = {{lift.metric: [lift.found.relative_lift, lift.found.p_value] for lift in report.lifts}}
assert "sample_ratio" in [check.name for check in report.checks]
print(json.dumps(found | {{"units": [arm.assigned_units for arm in report.arms]}}))
"""

# The same estimators: ratio CUPED with the same covariates, Welch's t, relative lifts. Our test of
# the split holds at every look and theirs at one, so the units are compared, not its p-values.
PEER_METRICS = """
experiment = tea_tasting.Experiment(
    page_ctr=tea_tasting.RatioOfMeans("clicked_pages", "pages", "pre_clicked_pages", "pre_pages"),
    user_ctr=tea_tasting.Mean("clicking", "pre_clicked_pages"),
    clicks_per_page=tea_tasting.RatioOfMeans("clicks", "pages", "pre_clicks", "pre_pages"),
    pages_per_unit=tea_tasting.Mean("pages", "pre_pages"),
    dwell_per_click=tea_tasting.RatioOfMeans("dwell_seconds", "clicks"),
    dwell_per_page=tea_tasting.RatioOfMeans("dwell_seconds", "pages"),
    sample_ratio=tea_tasting.SampleRatio(),
)
result = experiment.analyze(users, control="control")
found = {name: [value.rel_effect_size, value.pvalue] for name, value in result.items()
         if name != "sample_ratio"}
split = result["sample_ratio"]
print(json.dumps(found | {"units": [split.control, split.treatment]}))
"""

PEER_POLARS = f"""
import json, sys
import polars as pl
import tea_tasting
sums = pl.read_parquet(sys.argv[1] + "/*.parquet").group_by("user_id").agg(
    pl.col("arm").first(), pl.len().alias("pages"), pl.col("clicks").cast(pl.Int64).sum(),
    (pl.col("clicks") > 0).sum().alias("clicked_pages"), pl.col("dwell_seconds").sum(),
    pl.col("pre_pages", "pre_clicked_pages", "pre_clicks").first(),
)
users = sums.with_columns(variant="arm", clicking=(pl.col("clicks") > 0).cast(pl.Int8))
{PEER_METRICS}
"""

PEER_DUCKDB = f"""
import json, sys
import ibis
import tea_tasting
log = ibis.duckdb.connect().read_parquet(sys.argv[1] + "/*.parquet")
users = log.group_by("user_id").agg(
    variant=log.arm.arbitrary(), pages=log.count(), clicks=log.clicks.sum(),
    clicked_pages=(log.clicks > 0).sum(), dwell_seconds=log.dwell_seconds.sum(),
    pre_pages=log.pre_pages.arbitrary(), pre_clicked_pages=log.pre_clicked_pages.arbitrary(),
    pre_clicks=log.pre_clicks.arbitrary(),
)
users = users.mutate(clicking=(users.clicks > 0).cast("int8"),
                     dwell_seconds=users.dwell_seconds.fill_null(0.0))
{PEER_METRICS}
"""

ENGINES: Mapping[str, str] = {
    "ranklift": OURS,
    "tea-tasting, polars": PEER_POLARS,
    "tea-tasting, DuckDB": PEER_DUCKDB,
}

REFRESH = """
import json, sys, time
from pathlib import Path
import polars as pl
from ranklift.lift.live import LiveLift

folder, names, text = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3] == "text"
named = pl.format("user-{}", "user_id") if text else pl.col("user_id")

def pages(pattern):
    return pl.scan_parquet(folder / pattern).with_columns(user_id=named)

def live():
    return LiveLift({"control": 1, "student": 1}, primary=names[0], metrics=names)

def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

def refresh(path):
    first.add(pages(path.name))
    return first.lifts(), first.sample_ratio()

first, second, state = live(), live(), folder / "live.arrow"
counted = sum(timed(lambda: first.add(pages(path.name))) for path in folder.glob("pages-*.parquet"))
times = [timed(lambda: refresh(path)) for path in sorted(folder.glob("new-*.parquet"))]
saved, restored = timed(lambda: first.save(state)), timed(lambda: second.restore(state))
for kept, anew in zip(first.lifts(), second.lifts(), strict=True):
    # A lift is a small difference of ratios, so its error is held against 1, not against itself.
    assert abs(kept.found.relative_lift - anew.found.relative_lift) <= 1e-9
    assert abs(kept.found.p_value / anew.found.p_value - 1) <= 1e-6
print(json.dumps({"refresh": times, "count": counted, "save": saved, "load": restored}))
"""


@dataclass(frozen=True)
class Run:
    """A process from its start to its end: seconds, peak of resident memory, what it printed."""

    seconds: float
    mebibytes: float
    output: str


def measure() -> str:
    """Write a log, run the engines in turns, and return the page."""
    return measured(PAGES, USERS, RUNS)


def measured(pages: int, users: int, runs: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder)
        write_pages(log, "pages", pages, users, seed=1)
        found: dict[str, list[Run]] = {name: [] for name in ENGINES}
        # In turns, so that a slow moment of the machine meets all of them alike; the first round
        # fills the system's file cache and is not counted.
        for turn in range(runs + 1):
            for name, script in ENGINES.items():
                run = run_script(script, str(log))
                if turn:
                    found[name].append(run)
        worst = disagreement({name: of[0].output for name, of in found.items()})
        for number in range(REFRESHES):
            write_pages(log, f"new-{number:02}", NEW_PAGES, users, seed=100 + number)
        refreshes = {
            kind: json.loads(run_script(REFRESH, str(log), ",".join(METRICS), kind).output)
            for kind in ("numbers", "text")
        }
    tables = _report_table(found, pages, users, runs), _refresh_table(refreshes, users)
    return "\n".join([*tables[0], "", *_agreement(worst), "", *tables[1]])


def write_pages(folder: Path, name: str, pages: int, users: int, *, seed: int) -> None:
    """Write Parquet files `name`-*.parquet: `pages` pages of users drawn evenly.

    Users differ in how likely they click, the same in every file; dwell is log-normal.
    """
    of_user = np.random.default_rng(0)
    likely = of_user.beta(4, 6, users)
    pre_pages = 1 + of_user.poisson(9, users)
    pre_clicked = of_user.binomial(pre_pages, likely)
    pre_clicks = pre_clicked + of_user.binomial(pre_clicked, 0.2)
    rng = np.random.default_rng(seed)
    for number, start in enumerate(range(0, pages, FILE_PAGES)):
        rows = min(FILE_PAGES, pages - start)
        user = rng.integers(0, users, rows)
        clicked = rng.random(rows) < likely[user]
        clicks = clicked + (clicked & (rng.random(rows) < 0.2))
        milliseconds = np.rint(1000 * rng.lognormal(3, 1, rows) * clicks)
        pl.DataFrame(
            {
                "user_id": user,
                "arm": pl.Series(["control", "student"]).gather(user % 2),
                "clicks": clicks.astype(np.int8),
                "dwell_seconds": pl.select(
                    pl.when(pl.Series(clicked)).then(pl.Series(milliseconds / 1000))
                ).to_series(),
                "pre_pages": pre_pages[user],
                "pre_clicked_pages": pre_clicked[user],
                "pre_clicks": pre_clicks[user],
            }
        ).write_parquet(folder / f"{name}-{number:04}.parquet")


def run_script(script: str, *arguments: str) -> Run:
    """Run a Python script in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"a measured script failed with status {process.returncode}")
        output.seek(0)
        return Run(seconds, usage.ru_maxrss / 1024, output.read())


def disagreement(outputs: Mapping[str, str]) -> dict[str, float]:
    """Return, by statistic, how far a peer is from ours: the largest relative difference.

    Raises:
        RuntimeError: it is more than `AGREEMENT`.
    """
    ours, *peers = (json.loads(output.splitlines()[-1]) for output in outputs.values())
    worst = {
        name: max(
            abs(a - b) / abs(b) for peer in peers for a, b in zip(values, peer[name], strict=True)
        )
        for name, values in ours.items()
    }
    for name, difference in worst.items():
        if not difference <= AGREEMENT:
            raise RuntimeError(f"{name}: engines differ by {difference:.2g}")
    return worst


def _report_table(
    found: Mapping[str, Sequence[Run]], pages: int, users: int, runs: int
) -> list[str]:
    peers = {name: of for name, of in found.items() if name != "ranklift"}
    faster = min(peers, key=lambda name: _seconds(peers[name]))
    ours = found["ranklift"]
    time_part = _seconds(ours) / _seconds(peers[faster])
    memory_part = _memory(ours) / _memory(peers[faster])
    return [
        f"# A report of {pages:,} pages",
        "",
        f"{pages:,} pages of {users:,} users in Parquet; {len(METRICS)} metrics "
        f"({', '.join(METRICS)}), four of them with CUPED, and the sample-ratio check. A process "
        f"each, from its start to its end, {runs} runs of every engine in turns after a round that "
        "is not counted.",
        "",
        "| | seconds, median | least | peak memory, MiB, median |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_seconds(of):.2f} | {min(run.seconds for run in of):.2f} "
            f"| {_memory(of):,.0f} |"
            for name, of in found.items()
        ),
        "",
        f"The faster peer is {faster}: ranklift takes {time_part:.2f} of its time and "
        f"{memory_part:.2f} of its memory (target: 0.7 and 1.0).",
    ]


def _agreement(worst: Mapping[str, float]) -> list[str]:
    return [
        "The engines agree. Largest relative difference of ours from either peer, lifts and "
        f"p-values: {max(worst.values()):.1g} (bound: {AGREEMENT:g}).",
    ]


def _refresh_table(refreshes: Mapping[str, Mapping[str, object]], users: int) -> list[str]:
    lines = [
        f"## A refresh after {NEW_PAGES:,} new pages",
        "",
        f"`LiveLift`, {users:,} known users: from the Parquet file with the new pages to the lifts "
        f"of the same metrics and the sample-ratio check, {REFRESHES} times (target: 50 ms). "
        "Beside it what counting all pages costs, and writing and reading the state.",
        "",
        "| user ids | refresh, median | largest | all pages | save | load |",
        "|---|---|---|---|---|---|",
    ]
    for kind, of in refreshes.items():
        times = [float(seconds) for seconds in of["refresh"]]  # type: ignore[attr-defined]
        count, save, load = (float(str(of[name])) for name in ("count", "save", "load"))
        lines.append(
            f"| {kind} | {1000 * statistics.median(times):.0f} ms | {1000 * max(times):.0f} ms "
            f"| {count:.2f} s | {save:.2f} s | {load:.2f} s |"
        )
    return lines


def _seconds(runs: Sequence[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _memory(runs: Sequence[Run]) -> float:
    return statistics.median(run.mebibytes for run in runs)


if __name__ == "__main__":
    print(measured(*map(int, sys.argv[1:])))
