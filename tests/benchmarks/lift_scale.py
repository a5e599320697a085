"""Do time and memory stay in proportion up to a hundred million pages?

python -m tests.benchmarks.run lift_scale
python -m tests.benchmarks.lift_scale PAGES...     # other sizes, printed only
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.lift_speed import OURS, run_script, write_pages

SIZES = (1_000_000, 10_000_000, 30_000_000, 100_000_000)
PAGES_PER_USER = 10
MOST_MEBIBYTES = 2048

SUMS = """
import sys
import polars as pl
from ranklift.lift.dense import dense_unit_sums
rows = pl.scan_parquet(sys.argv[1] + "/*.parquet").select(
    "arm", "clicks", "pre_pages", "pre_clicked_pages", "pre_clicks", unit_id="user_id",
    pages=pl.lit(1, pl.Int8), clicked_pages=pl.col("clicks") > 0,
    dwell_ms=(pl.col("dwell_seconds") * 1000).round().cast(pl.Int64), dwell_count="clicks")
units = dense_unit_sums(
    rows, measures=("pages", "clicked_pages", "clicks", "dwell_ms", "dwell_count"),
    constants=("pre_pages", "pre_clicked_pages", "pre_clicks"))
print(units.height)
"""


def measure() -> str:
    """Measure all sizes and return the page."""
    return measured(SIZES)


def measured(sizes: Sequence[int]) -> str:
    lines = [
        "# Time and memory by the number of pages",
        "",
        f"{PAGES_PER_USER} pages a user, in Parquet. The sums per user alone (`lift.dense`), and "
        "the whole report of `lift_speed`: processes from their start to their end, the better of "
        f"two. Target: linear, and at most {MOST_MEBIBYTES:,} MiB for the largest.",
        "",
        "| pages | sums: seconds | per million | MiB | report: seconds | per million | MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for pages in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_pages(Path(folder), "pages", pages, pages // PAGES_PER_USER, seed=1)
            cells = []
            for script in (SUMS, OURS):
                runs = [run_script(script, folder) for _ in range(2)]
                seconds = min(run.seconds for run in runs)
                memory = max(run.mebibytes for run in runs)
                cells += [f"{seconds:.2f}", f"{1e6 * seconds / pages:.3f}", f"{memory:,.0f}"]
        lines.append(f"| {pages:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(measured([int(size) for size in sys.argv[1:]]))
