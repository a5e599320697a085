"""`ranklift train score` and `ranklift train distil`: a teacher's scores, and a student of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ranklift.cli.options import Home
from ranklift.cli.output import bar, out
from ranklift.cli.train.file import TrainingFile
from ranklift.cli.train.options import (
    Accumulation,
    Batch,
    Bf16,
    Candidates,
    Data,
    Depth,
    Fold,
    Format,
    Qrels,
    Rate,
    Seed,
    Split,
    Steps,
    installation,
    made,
)

Teachers = Annotated[
    list[str],
    typer.Option("--teacher", help="model@version; repeated, or with a weight: model@version=2."),
]
