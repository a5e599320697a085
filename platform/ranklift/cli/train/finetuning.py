"""`ranklift train sft`: a pretrained model learns to rank, and is a teacher."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ranklift.cli.data_options import Candidates, Data, Depth, Fold, Format, Qrels, Split
from ranklift.cli.options import Home, refuse_given
from ranklift.cli.output import bar
from ranklift.cli.train.file import TrainingFile
from ranklift.cli.train.options import (
    Accumulation,
    Batch,
    Bf16,
    LoraRank,
    Rate,
    Seed,
    Sharded,
    Steps,
    installation,
    made,
)


def sft(
    context: typer.Context,
    start: Annotated[
        str,
        typer.Option(
            "--start",
            "--language-model",
            help="model@version, a folder, minilm, mpnet or smollm2: what learns.",
        ),
    ],
    data: Data,
    name: Annotated[str, typer.Option(help="The teacher's name.")] = "teacher",
    steps: Steps = 300,
    batch: Batch = 16,
    learning_rate: Rate = 0.0,
    max_tokens: Annotated[
        int,
        typer.Option(
            min=0,
            help="Longest input; 0: as the version it starts from, or 64 for small models (96 wide "
            "at most), 256 for pretrained ones.",
        ),
    ] = 0,
    loss: Annotated[str, typer.Option(help="hinge (with a margin) or ranknet.")] = "hinge",
    tau: Annotated[float, typer.Option(min=0, help="The hinge's margin.")] = 1.0,
    head: Annotated[
        Literal["scalar", "genfr"],
        typer.Option(help='scalar, or genfr: the expected label, "0" to "labels - 1".'),
    ] = "scalar",
    labels: Annotated[int, typer.Option(min=2, help="Labels of the genfr head.")] = 3,
    lexical: Annotated[
        int, typer.Option(min=0, help="BM25 negatives a query; 0: all candidates are learnt.")
    ] = 0,
    random: Annotated[int, typer.Option(min=0, help="Random negatives beside them.")] = 0,
    hard: Annotated[int, typer.Option(min=0, help="Hard negatives, as --hard-by ranks.")] = 0,
    hard_by: Annotated[str, typer.Option(help="model@version that finds hard negatives.")] = "",
    margin: Annotated[
        float, typer.Option(min=0, help="How far below the positives its scores must lie.")
    ] = 0.0,
    seed: Seed = 0,
    bf16: Bf16 = False,
    accumulation: Accumulation = 1,
    lora_rank: LoraRank = 0,
    sharded: Sharded = False,
    fold: Fold = "",
    depth: Depth = 50,
    format_name: Format = "",
    split: Split = "",
    qrels: Qrels = None,
    run: Candidates = None,
    file: TrainingFile = None,
    home: Home = None,
) -> None:
    """Fine-tune a language model, or an encoder, to rank judged lists: a teacher.

    Interrupted, the same command goes on where it was.
    """
    from ranklift.cli.lessons import choice_of, lesson_of
    from ranklift.cli.train.judging import judged_on, noted
    from ranklift.cli.train.negatives import lists_with_negatives
    from ranklift.cli.train.pace import learning_rate_for, max_tokens_for, told
    from ranklift.cli.train.sources import source_of
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.backbones import outline
    from ranklift.rankers.data.negatives import Mix
    from ranklift.rankers.training.processes import is_writer
    from ranklift.rankers.training.sft import SftOptions, finetune

    unread = {}
    if loss != "hinge":
        unread["tau"] = f'is no setting of the loss "{loss}"; leave it out'
    if head == "scalar":
        unread["labels"] = "are those of --head genfr; give that, or leave them out"
    refuse_given(context, unread)
    lesson = lesson_of(data, choice_of(format_name, split, qrels, run, depth), fold, home)
    mix = Mix(lexical=lexical, hard=hard, random=random, depth=depth, margin=margin)
    with installation(home) as (settings, registry):
        source = source_of(registry, settings.home, "start", start)
        shape = outline(source.folder)
        lists = lists_with_negatives(lesson, mix, hard_by, registry, settings.home, seed)
        options = SftOptions(
            steps=steps,
            batch=batch,
            learning_rate=learning_rate or learning_rate_for("sft", shape),
            max_tokens=max_tokens or max_tokens_for(shape, source.max_tokens),
            loss=loss,
            tau=tau,
            head=head,
            labels=labels,
            seed=seed,
            bf16=bf16,
            accumulation=accumulation,
            lora_rank=lora_rank,
        )
        told(options.learning_rate, options.max_tokens)
        ref, folder = new_version(registry, settings.home / "models", name)
        with bar("fine-tuning") as progress:
            finetune(
                source.folder,
                lists,
                folder,
                options,
                progress=progress.update,
                checkpoints=settings.home / "training",
                sharded=sharded,
            )
        if is_writer():
            made(register(registry, ref, folder, parents=source.parents))
            judged = judged_on(lesson, {str(ref): folder})
            if judged:
                registry.models.record_metrics(ref, judged[str(ref)])
            noted(judged)
