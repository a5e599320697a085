"""`ranklift events status`."""

from __future__ import annotations

from collections import Counter, defaultdict

from rich.table import Table

from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out


def status(home: Home = None) -> None:
    """What the log holds, where it lies, and what became of the events that came, by day."""
    import polars as pl

    from ranklift.cli.composition import log_of
    from ranklift.events.frames import frames_of
    from ranklift.events.ledger import read_counts
    from ranklift.events.rows import SCHEMAS
    from ranklift.events.snapshot import read_snapshot
    from ranklift.settings import load_settings

    with told_plainly():
        log = log_of(load_settings(home=home))
        snapshot = read_snapshot(log.folder, log.files.url)
        sizes = log.files.sizes()
        counts = read_counts(log.folder)
        frames = frames_of(log.files, snapshot)
        rows = {name: getattr(frames, name).select(pl.len()).collect().item() for name in SCHEMAS}
        clicked = frames.dwells.select(pl.col("click_event_id").n_unique()).collect().item()
    waiting = Counter(row.frame for row in snapshot.rows)
    held = Table("frame", "rows", "in the journal", "files", "MB", box=None)
    for frame in SCHEMAS:
        paths = [file.path for file in snapshot.files if file.frame == frame]
        held.add_row(
            frame,
            f"{rows[frame]:,}",
            f"{waiting[frame]:,}",
            f"{len(paths):,}",
            f"{sum(sizes.get(path, 0) for path in paths) / 1e6:,.1f}",
        )
    out.print(held)
    out.print(f"second dwells of a click, among the dwells: {rows['dwells'] - clicked:,}")
    by_day: dict[str, list[str]] = defaultdict(list)
    for (date, rule), n in counts.items():
        by_day[date].append(f"{n:,} {rule}")
    for date, told in by_day.items():
        out.print(f"{date}: {', '.join(told)}")
