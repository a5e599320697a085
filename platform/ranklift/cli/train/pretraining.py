"""`ranklift train cpt`: a language model learns what users click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.data_options import Format, Qrels, Split
from ranklift.cli.options import Home
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
    pass

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCRATCH = "scratch"


def cpt(
    data: SomeData = "log:",
    start: Annotated[
        str, typer.Option(help='A decoder: model@version, a folder, or "scratch" for a small one.')
    ] = SCRATCH,
    name: Annotated[str, typer.Option(help="The language model's name.")] = "language-model",
    steps: Steps = 600,
    batch: Batch = 64,
    learning_rate: Rate = 5e-3,
    max_tokens: Annotated[int, typer.Option(min=8, help="Longest input in tokens.")] = 64,
    vocabulary: Annotated[
        int, typer.Option(min=100, help="Most tokens to know, from scratch.")
    ] = 20_000,
    seed: Seed = 0,
    bf16: Bf16 = False,
    accumulation: Accumulation = 1,
    lora_rank: LoraRank = 0,
    sharded: Sharded = False,
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
    from ranklift.cli.lessons import choice_of
    from ranklift.cli.train.sources import source_of
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.backbones import TINY_DECODER, load_language_model, new_decoder
    from ranklift.rankers.cross_encoder import load_tokenizer
    from ranklift.rankers.tokenizers import train_tokenizer
    from ranklift.rankers.training.cpt import CptOptions, pretrain
    from ranklift.rankers.training.processes import is_writer

    clicks = open_clicks(data, choice_of(format_name, split, qrels, None, 2), home=home)
    options = CptOptions(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
        bf16=bf16,
        accumulation=accumulation,
        lora_rank=lora_rank,
    )
    with installation(home) as (settings, registry):
        source = None if start == SCRATCH else source_of(registry, settings.home, "start", start)
        if source is None:
            texts = (f"{click.query} {click.document.body}" for click in clicks)
            tokenizer: PreTrainedTokenizerBase = train_tokenizer(texts, vocabulary)
            model = new_decoder(TINY_DECODER, tokenizer, max_tokens, seed=seed)
        else:
            tokenizer = load_tokenizer(source.folder)
            model = load_language_model(source.folder)
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
