"""`ranklift events forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from ranklift.cli.events.archive import told
from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out


def forget(
    unit: Annotated[str, typer.Argument(help="The id of a user or a session, as it was recorded.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only count.")] = False,
    home: Home = None,
) -> None:
    """Remove a user or a session from the log for good, and from what is kept of the log."""
    from ranklift.cli.composition import kept_sums, log_of
    from ranklift.events import forgetting
    from ranklift.events.log import utc_now
    from ranklift.lift.kept import drop_kept
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with told_plainly():
        log = log_of(settings)
        if not yes:
            found = forgetting.count(log.folder, log.files, unit)
            out.print(f"{told(found)} would be removed; add --yes to remove them for good")
            return
        removed = forgetting.forget(log.folder, log.files, unit, utc_now)
        drop_kept(kept_sums(settings))
    out.print(f"{told(removed)} removed; reports add up past days anew")
