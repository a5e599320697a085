"""What a replay came to, as a table or as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table

from ranklift.simulator.punctuality import Punctuality, Spread
from ranklift.simulator.replay import ReplayResult

# The sending machine is then a part of what is measured.
MANY_LATE = 0.01


def to_table(result: ReplayResult) -> RenderableType:
    """Return what came back, how long it took, and whether it was sent on time."""
    lines = [
        f"{result.pages:,} pages in {result.seconds:.1f} s, {result.clicks:,} clicks, "
        f"{result.fallback_pages:,} fallback pages, {result.unrecorded_pages:,} unrecorded, "
        f"{result.failed_calls:,} failed calls",
        *(f"  {status}: {count:,}" for status, count in sorted(result.failures.items())),
    ]
    table = Table(box=None, header_style="bold")
    table.add_column("milliseconds")
    for title in ("p50", "p90", "p99", "max"):
        table.add_column(title, justify="right")
    kept = result.punctuality
    if kept is not None:
        _row(table, "latency, from when due", kept.from_due)
    _row(table, "latency, from when sent", result.latency)
    if kept is None:
        return Group(*lines, "", table)
    _row(table, "sent after it was due", kept.lag)
    return Group(*lines, "", table, "", *_on_time(kept))


def _row(table: Table, title: str, spread: Spread) -> None:
    table.add_row(
        title, *(f"{each:,.2f}" for each in (spread.p50, spread.p90, spread.p99, spread.max))
    )


def _on_time(kept: Punctuality) -> list[str]:
    lines = [
        f"Sent {kept.achieved_rate:,.1f} a second, {kept.scheduled_rate:,.1f} were due.",
        f"{kept.late:,} of {kept.sends:,} sends ({kept.late_share:.2%}) were more than "
        f"{kept.late_after_ms:g} ms late: {kept.late_for_user:,} waited for their user's last "
        f"page, {kept.late_for_room:,} for room among the calls in flight, "
        f"{kept.late_for_sender:,} for this machine.",
    ]
    if kept.held:
        lines.append(f"{kept.held:,} sends found as many calls in flight as are allowed.")
    if kept.sends and kept.late_for_sender > MANY_LATE * kept.sends:
        lines.append(
            "This machine was too slow for the schedule: the latencies are its own as well."
        )
    return lines


def as_json(result: ReplayResult) -> Mapping[str, object]:
    """Return all of the result; numbers that do not exist are null."""
    whole = asdict(result)
    kept = result.punctuality
    if kept is not None:
        whole["punctuality"] |= {
            "late_for_sender": kept.late_for_sender,
            "late_share": kept.late_share,
        }
    return {name: _without_nan(value) for name, value in whole.items()}


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
