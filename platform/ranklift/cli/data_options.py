"""The flags that say what data is meant: of training, scoring and evaluation alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Option(
        "--data",
        "--collection",
        help="A BEIR or MS MARCO folder, a file of lists or triples, irds:NAME, or log:.",
    ),
]
Format = Annotated[str, typer.Option("--format", help="How the data is written, if unclear.")]
Split = Annotated[str, typer.Option(help="The part of its queries: train, dev, test, ...")]
Qrels = Annotated[Path | None, typer.Option(help="Judgments to use instead, a TREC qrels file.")]
Candidates = Annotated[Path | None, typer.Option("--run", help="Candidates, a TREC run file.")]
Depth = Annotated[int, typer.Option(min=2, help="Candidates per query, BM25's best.")]
Fold = Annotated[
    str, typer.Option(help='"2/5": learn from all but the second of five parts of the queries.')
]
