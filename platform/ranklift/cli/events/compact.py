"""`ranklift events compact`."""

from __future__ import annotations

from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out


def compact(home: Home = None) -> None:
    """Merge all small files of the event log; a gateway does so by itself, a few at a time."""
    from ranklift.cli.composition import log_of
    from ranklift.events.compaction import compact as merge
    from ranklift.events.compaction import delete_obsolete
    from ranklift.events.log import utc_now
    from ranklift.settings import load_settings

    with told_plainly():
        log = log_of(load_settings(home=home))
        done = merge(log.folder, log.files, utc_now, fully=True)
        deleted = delete_obsolete(log.folder, log.files, utc_now)
    out.print(
        f"{done.merged} files became {done.into}; "
        f"{deleted} that were replaced an hour ago or earlier are deleted"
    )
