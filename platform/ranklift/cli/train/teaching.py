"""`ranklift train score` and `ranklift train distil`: a teacher's scores, and a student of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.data_options import Candidates, Data, Depth, Fold, Format, Qrels, Split
from ranklift.cli.options import Home, refuse_given
from ranklift.cli.output import bar, notes, out
from ranklift.cli.train.file import TrainingFile
from ranklift.cli.train.options import (
    Accumulation,
    Batch,
    Bf16,
    Rate,
    Seed,
    Steps,
    installation,
    made,
)

if TYPE_CHECKING:
    from ranklift.cli.train.taught import Taught

SCRATCH = "scratch"

TEACHER = typer.Option(
    "--teacher", help="model@version; repeated, or with a weight: model@version=2."
)


def score(
    teacher: Annotated[list[str], TEACHER],
    data: Data,
    fold: Fold = "",
    depth: Depth = 50,
    format_name: Format = "",
    split: Split = "",
    qrels: Qrels = None,
    run: Candidates = None,
    file: TrainingFile = None,
    home: Home = None,
) -> None:
    """Score the candidates of all queries with a teacher, or several, and keep the scores.

    What is kept is not scored again, by this command or by `distil`. Interrupted, the same
    command goes on where it was.
    """
    from ranklift.cli.lessons import choice_of, lesson_of
    from ranklift.cli.train.taught import taught_by

    lesson = lesson_of(data, choice_of(format_name, split, qrels, run, depth), fold, home)
    with installation(home) as (settings, registry), bar("teacher scores") as progress:
        taught = taught_by(
            registry, teacher, lesson.training_lists(), settings.home / "cache", progress.update
        )
    _told(taught)


def distil(
    context: typer.Context,
    teacher: Annotated[list[str] | None, TEACHER] = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            help="Lists (JSONL) that bring a teacher's scores, in place of --teacher. Judged on "
            "what --fold keeps of --data, or of themselves; without it on what else --data asks."
        ),
    ] = None,
    data: Data = "",
    name: Annotated[str, typer.Option(help="The student's name.")] = "student",
    start: Annotated[
        str,
        typer.Option(
            help="An encoder: model@version, a folder, minilm, mpnet, or scratch for a small one "
            "with the teacher's vocabulary."
        ),
    ] = SCRATCH,
    layers: Annotated[
        int, typer.Option(min=0, help="Keep so many of its layers, spread evenly; 0: all.")
    ] = 0,
    first_layers: Annotated[bool, typer.Option(help="Keep the first ones instead.")] = False,
    loss: Annotated[str, typer.Option(help="hybrid, point_mse, margin_mse, ranknet, ...")] = (
        "hybrid"
    ),
    alpha: Annotated[float, typer.Option(min=0, max=1, help="The hybrid's part of Point-MSE.")] = (
        0.5
    ),
    temperature: Annotated[float, typer.Option(min=0, help="Of the losses that have one.")] = 1.0,
    gamma: Annotated[
        float, typer.Option(min=0, help="Weight of a hinge on the judgments; 0 reads none.")
    ] = 0.0,
    steps: Steps = 600,
    batch: Batch = 16,
    learning_rate: Rate = 0.0,
    max_tokens: Annotated[
        int,
        typer.Option(min=0, help="Longest input; 0: as the teacher's, or 256, if it reads that."),
    ] = 0,
    seed: Seed = 0,
    bf16: Bf16 = False,
    accumulation: Accumulation = 1,
    fold: Fold = "",
    depth: Depth = 50,
    format_name: Format = "",
    split: Split = "",
    qrels: Qrels = None,
    run: Candidates = None,
    file: TrainingFile = None,
    home: Home = None,
) -> None:
    """Distil an encoder from a teacher's scores, several teachers' together, or a file's.

    Without --gamma no judgment is read. Interrupted, the same command goes on where it was.
    """
    from ranklift.cli.lessons import choice_of, lesson_of
    from ranklift.cli.train.judging import judged_on, noted
    from ranklift.cli.train.pace import learning_rate_for, max_tokens_for, told
    from ranklift.cli.train.starts import start_of
    from ranklift.cli.train.taught import MAX_TOKENS, longest_read, taught_by, taught_in
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.backbones import outline
    from ranklift.rankers.losses.choice import LOSSES
    from ranklift.rankers.training.distil import DistilOptions, FromScratch, check
    from ranklift.rankers.training.distil import distil as distilled
    from ranklift.rankers.training.processes import is_writer
    from ranklift.v1.errors import InvalidRequest

    if loss in LOSSES:
        says = f'is no setting of the loss "{loss}"; leave it out'
        names = {"alpha", "temperature"} - LOSSES[loss].settings.keys()
        refuse_given(context, dict.fromkeys(sorted(names), says))
    teachers = teacher or []
    if bool(teachers) == bool(targets):
        raise InvalidRequest.of(
            "teacher", "give either --teacher, or --targets with lists that bring their scores"
        )
    if not data and not targets:
        raise InvalidRequest.of("data", "is missing; give the lists that the teacher is to score")
    choice = choice_of(format_name if data else "jsonl", split, qrels, run, depth)
    lesson = lesson_of(data or str(targets), choice, fold, home)
    with installation(home) as (settings, registry):
        begin = start_of(registry, settings.home, start, layers, first_layers, teachers)
        shape = None if isinstance(begin.start, FromScratch) else outline(begin.start.folder)
        longest = longest_read(registry, teachers) or begin.max_tokens or MAX_TOKENS
        options = DistilOptions(
            steps=steps,
            batch=batch,
            learning_rate=learning_rate or learning_rate_for("distil", shape),
            max_tokens=max_tokens or max_tokens_for(shape, longest),
            loss=loss,
            alpha=alpha,
            temperature=temperature,
            gamma=gamma,
            seed=seed,
            bf16=bf16,
            accumulation=accumulation,
        )
        # A teacher may take hours: what is wrong beside its scores is said before.
        check(begin.start, options)
        told(options.learning_rate, options.max_tokens)
        if targets:
            taught = taught_in(targets, lesson)
            if data and not fold:
                lesson = lesson.judged_beside(each.query for each in taught.lists)
        else:
            lists, cache = lesson.training_lists(), settings.home / "cache"
            with bar("teacher scores") as progress:
                taught = taught_by(registry, teachers, lists, cache, progress.update)
        ref, folder = new_version(registry, settings.home / "models", name)
        with bar("distilling") as progress:
            distilled(
                begin.start,
                taught.lists,
                folder,
                options,
                teacher=taught.digest,
                grades=taught.grades if gamma else None,
                progress=progress.update,
                checkpoints=settings.home / "training",
            )
        if is_writer():
            made(register(registry, ref, folder, parents=(*taught.refs, *begin.parents)))
            _told(taught)
            judged = judged_on(lesson, {**taught.folders, str(ref): folder})
            if judged:
                registry.models.record_metrics(ref, judged[str(ref)])
            # Of an ensemble, one that is worse than the student says nothing.
            alone = str(taught.refs[0]) if len(taught.refs) == 1 else ""
            noted(judged, teacher=alone, student=str(ref))


def _told(taught: Taught) -> None:
    if not taught.refs:
        out.print(f"{len(taught.lists)} lists with scores that their file brought")
        return
    for name in taught.damaged:
        notes.print(f"warning: {name} was damaged and set aside; its scores were computed again")
    out.print(
        f"{taught.computed} teacher scores computed, {taught.found} found in the cache "
        f"({taught.hit_rate:.1%})"
    )
