"""`ranklift events export` and `ranklift events import`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out

if TYPE_CHECKING:
    from ranklift.events.ubi import Mapped

Place = Annotated[str, typer.Argument(help="A folder, or an fsspec URL like s3://bucket/prefix.")]
Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])]


class Format(StrEnum):
    """What the files look like."""

    RANKLIFT = "ranklift"
    UBI = "ubi"


Form = Annotated[Format, typer.Option("--format", help="ubi: OpenSearch's User Behavior Insights.")]


def export(
    target: Place,
    form: Form = Format.RANKLIFT,
    start: Moment = None,
    end: Moment = None,
    home: Home = None,
) -> None:
    """Write the log to an empty place, in the format of docs/events-format.md.

    START and END, in UTC, bound the time at which pages were shown.
    """
    from ranklift.cli.composition import log_of, place_of
    from ranklift.events.archive import write_archive
    from ranklift.events.ubi import write_ubi
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with told_plainly():
        log = log_of(settings)
        place = place_of(target, settings)
        if form is Format.RANKLIFT:
            counts = write_archive(log.folder, log.files, place, start=_utc(start), end=_utc(end))
            out.print(f"{told(counts)} written to {target}")
            return
        mapped = write_ubi(log.folder, log.files, place, start=_utc(start), end=_utc(end))
    out.print(f"{mapped.queries:,} queries and {mapped.events:,} events written to {target}")
    _print_left_out(mapped)


def import_(source: Place, form: Form = Format.RANKLIFT, home: Home = None) -> None:
    """Read into the log what `export` wrote; what was recorded before stays as it is."""
    from ranklift.cli.composition import new_log_of, place_of
    from ranklift.events.archive import read_archive
    from ranklift.events.log import utc_now
    from ranklift.events.ubi import read_ubi
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with told_plainly():
        log = new_log_of(settings)
        place = place_of(source, settings)
        if form is Format.RANKLIFT:
            done = read_archive(log.folder, log.files, place, utc_now)
        else:
            mapped, done = read_ubi(log.folder, log.files, place, utc_now)
            out.print(f"{mapped.queries:,} queries and {mapped.events:,} events read")
            _print_left_out(mapped)
    out.print(f"recorded {told(done.recorded)}; seen before {told(done.duplicates)}")
    if done.orphans.total():
        out.print(f"left out, for their pages were removed from this log: {told(done.orphans)}")


def told(counts: Mapping[str, int]) -> str:
    """Return counts by frame in words."""
    return ", ".join(f"{count:,} {frame}" for frame, count in counts.items() if count) or "nothing"


def _print_left_out(mapped: Mapped) -> None:
    for what, count in sorted(mapped.left_out.items()):
        out.print(f"left out, for want of a place: {count:,} {what}")


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)
