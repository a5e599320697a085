"""`ranklift events forget`."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from ranklift.cli.events.archive import told
from ranklift.cli.events.storage import told_plainly
from ranklift.cli.options import Home
from ranklift.cli.output import out


def forget(
    unit: Annotated[str, typer.Argument(help="The id of a user or a session, as it was sent.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only count.")] = False,
    home: Home = None,
) -> None:
    """Remove a user or a session from the log for good, and from what is kept of the log."""
    from ranklift.cli.composition import kept_sums, log_of
    from ranklift.cli.protection import pseudonyms_of
    from ranklift.events import forgetting
    from ranklift.events.log import utc_now
    from ranklift.lift.kept import drop_kept
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    pseudonyms = pseudonyms_of(settings)
    # Pages from before ids were hashed have the id itself.
    ids = [unit] if pseudonyms is None else [pseudonyms.of(unit), unit]
    counts: Counter[str] = Counter()
    with told_plainly():
        log = log_of(settings)
        if not yes:
            for each in ids:
                counts.update(forgetting.count(log.folder, log.files, each))
            out.print(f"{told(counts)} would be removed; add --yes to remove them for good")
            return
        for each in ids:
            counts.update(forgetting.forget(log.folder, log.files, each, utc_now))
        drop_kept(kept_sums(settings))
    out.print(f"{told(counts)} removed; reports add up past days anew")
