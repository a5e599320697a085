"""The flags that several commands share."""

from __future__ import annotations

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
