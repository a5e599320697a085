"""The flags that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None,
    typer.Option(help="Folder of the installation. Default: RANKLIFT_HOME, or .ranklift."),
]
Actor = Annotated[
    str, typer.Option("--actor", envvar="USER", help="Who makes the change, for the record.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


def refuse_given(context: typer.Context, unread: Mapping[str, str]) -> None:
    """Refuse flags that nothing would read, by name with the reason, if somebody gave them.

    Raises:
        InvalidRequest: one is on the command line or in the file of settings.
    """
    from ranklift.v1.errors import Violation, refuse_if_any

    sources = {name: context.get_parameter_source(name) for name in unread}
    given = [name for name, source in sources.items() if source and source.name != "DEFAULT"]
    refuse_if_any([Violation(name, unread[name]) for name in given])
