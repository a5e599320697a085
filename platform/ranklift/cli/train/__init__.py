"""`ranklift train`: model versions from a collection and the log, one stage a command.

bm25, bi-encoder                  a baseline from a collection, or a pretrained sentence encoder
pseudo-queries                    lists for a teacher to score where people asked too little
cpt -> sft -> score -> distil     a language model, a teacher, its scores, its student
convert                           a version in other numerics, quicker to serve
cascade                           a cheap version for all documents, a dearer one for the best
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import typer

from ranklift.cli.train.asking import pseudo_queries
from ranklift.cli.train.derived import bi_encoder, bm25, cascade, convert
from ranklift.cli.train.finetuning import sft
from ranklift.cli.train.pretraining import cpt
from ranklift.cli.train.teaching import distil, score

EXAMPLES: Mapping[Callable[..., None], str] = {
    bm25: "bm25 --collection data/cranfield",
    bi_encoder: "bi-encoder --start mpnet --name cosine",
    pseudo_queries: "pseudo-queries --collection data/cranfield --output asked.jsonl",
    cpt: "cpt --name teacher-lm --steps 2000",
    sft: "sft --start teacher-lm@1 --data data/cranfield --fold 1/5",
    score: "score --teacher teacher@1 --data data/cranfield",
    distil: "distil --teacher teacher@1 --data data/cranfield --fold 1/5",
    cascade: "cascade --first bm25@1 --second student@1",
    convert: "convert student@3 --numerics bf16",
}

app = typer.Typer(no_args_is_help=True, help="Make model versions.")
for command, example in EXAMPLES.items():
    app.command(epilog=f"Example: ranklift train {example}")(command)
