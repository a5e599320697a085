"""`ranklift train cpt`: a language model learns what users click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.data_options import Fold, Format, Qrels, Split
from ranklift.cli.options import Home, refuse_given
from ranklift.cli.output import bar, out
from ranklift.cli.train.file import TrainingFile
from ranklift.cli.train.options import (
    Accumulation,
    Batch,
    Bf16,
    LoraRank,
    Rate,
    Seed,
    Sharded,
    SomeData,
    Steps,
    installation,
    made,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCRATCH = "scratch"


def cpt(
    context: typer.Context,
    data: SomeData = "log:",
    start: Annotated[
        str, typer.Option(help='A decoder: model@version, a folder, or "scratch" for a small one.')
    ] = SCRATCH,
    name: Annotated[str, typer.Option(help="The language model's name.")] = "language-model",
    steps: Steps = 600,
    batch: Batch = 64,
    learning_rate: Rate = 0.0,
    max_tokens: Annotated[
        int,
        typer.Option(
            min=0,
            help="Longest input; 0: as the version it starts from, or 64 for small models (96 wide "
            "at most) and from scratch, 256 for pretrained ones.",
        ),
    ] = 0,
    vocabulary: Annotated[
        int, typer.Option(min=100, help="Most tokens to know, from scratch.")
    ] = 20_000,
    seed: Seed = 0,
    bf16: Bf16 = False,
    accumulation: Accumulation = 1,
    lora_rank: LoraRank = 0,
    sharded: Sharded = False,
    fold: Fold = "",
    format_name: Format = "",
    split: Split = "",
    qrels: Qrels = None,
    file: TrainingFile = None,
    home: Home = None,
) -> None:
    """Pre-train a decoder on clicks: from a query to the document that was clicked.

    It learns from the log's clicks, or from the relevant documents of judged data. Interrupted,
    the same command goes on where it was.
    """
    from ranklift.cli.datasets import open_clicks
    from ranklift.cli.lessons import choice_of, learnt_clicks
    from ranklift.cli.train.pace import learning_rate_for, max_tokens_for, told
    from ranklift.cli.train.sources import source_of
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.backbones import TINY_DECODER, load_language_model, new_decoder
    from ranklift.rankers.cross_encoder import load_tokenizer
    from ranklift.rankers.tokenizers import train_tokenizer
    from ranklift.rankers.training.cpt import CptOptions, pretrain
    from ranklift.rankers.training.processes import is_writer

    if start != SCRATCH:
        refuse_given(context, {"vocabulary": "is that of --start; leave it out"})
    clicks = open_clicks(data, choice_of(format_name, split, qrels, None, 2), home=home)
    clicks = learnt_clicks(clicks, fold)
    with installation(home) as (settings, registry):
        source = None if start == SCRATCH else source_of(registry, settings.home, "start", start)
        begun = load_language_model(source.folder) if source else None
        options = CptOptions(
            steps=steps,
            batch=batch,
            learning_rate=learning_rate or learning_rate_for("cpt", begun),
            max_tokens=max_tokens or max_tokens_for(begun, source.max_tokens if source else 0),
            seed=seed,
            bf16=bf16,
            accumulation=accumulation,
            lora_rank=lora_rank,
        )
        told(options.learning_rate, options.max_tokens)
        if source is None:
            texts = (f"{click.query} {click.document.body}" for click in clicks)
            tokenizer: PreTrainedTokenizerBase = train_tokenizer(texts, vocabulary)
        else:
            tokenizer = load_tokenizer(source.folder)
        model = begun or new_decoder(TINY_DECODER, tokenizer, options.max_tokens, seed=seed)
        ref, folder = new_version(registry, settings.home / "models", name)
        with bar("pre-training") as progress:
            done = pretrain(
                model,
                tokenizer,
                clicks,
                folder,
                options,
                parents=(source.digest,) if source else (),
                progress=progress.update,
                checkpoints=settings.home / "training",
                sharded=sharded,
            )
        if is_writer():
            made(register(registry, ref, folder, parents=source.parents if source else ()))
            out.print(
                f"{len(clicks)} clicks, loss {done.loss:.4f}; "
                f'go on with "ranklift train sft --start {ref}"'
            )
