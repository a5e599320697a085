"""`ranklift events retain`."""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out


def retain(
    days: Annotated[int, typer.Option(min=1, help="Keep today, UTC, and so many days before it.")],
    home: Home = None,
) -> None:
    """Drop all older days of the log for good; the setting events.retention_days does so daily."""
    from ranklift.cli.composition import kept_sums, log_of
    from ranklift.events import retention
    from ranklift.events.log import utc_now
    from ranklift.lift.kept import drop_kept
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with told_plainly():
        log = log_of(settings)
        done = retention.retain(log.folder, log.files, days, utc_now)
        drop_kept(kept_sums(settings), before=done.first)
    rows = ", ".join(f"{count:,} {frame}" for frame, count in sorted(done.dropped.items()))
    out.print(f"{len(done.days)} days before {done.first} dropped" + (f": {rows}" if rows else ""))
