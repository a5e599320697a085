"""`ranklift train`: model versions from a collection and the log, one stage a command.

bm25                      a baseline from a collection
cpt  -> sft  -> distil    a teacher's language model, the teacher, its student
convert                   a version in other numerics, quicker to serve
cascade                   a cheap version for all documents, a dearer one for the best
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.options import Home
from ranklift.cli.output import bar, out

if TYPE_CHECKING:
    from ranklift.settings import Settings
    from ranklift.store.registry import Registry
    from ranklift.store.values import ModelRef, ModelVersion

app = typer.Typer(no_args_is_help=True, help="Make model versions.")

Collection = Annotated[Path, typer.Option(help="A judged collection in BEIR layout.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed and data, same model.")]
Depth = Annotated[int, typer.Option(min=2, help="Candidates per query, BM25's best.")]


@app.command(epilog="Example: ranklift train bm25 --collection data/cranfield")
def bm25(
    collection: Collection,
    name: Annotated[str, typer.Option(help="The model's name.")] = "bm25",
    home: Home = None,
) -> None:
    """Make a BM25 version from a collection's documents."""
    from ranklift.cli.collections import judged_ground
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.bm25 import build_bm25

    ground = judged_ground(collection, depth=2)
    with _installation(home) as (settings, registry):
        ref, folder = new_version(registry, settings.home / "models", name)
        build_bm25(ground.texts(), folder)
        _made(register(registry, ref, folder))


@app.command(epilog="Example: ranklift train cpt --output lm --steps 2000")
def cpt(
    output: Annotated[Path, typer.Option(help="The folder to write the language model to.")],
    steps: Steps = 600,
    seed: Seed = 0,
    max_tokens: Annotated[int, typer.Option(min=8, help="Longest input in tokens.")] = 64,
    vocabulary: Annotated[int, typer.Option(min=100, help="Most tokens to know.")] = 20_000,
    home: Home = None,
) -> None:
    """Pre-train a small decoder from scratch on the log's clicks: query -> clicked document."""
    from ranklift.cli.composition import files_of
    from ranklift.cli.logged_clicks import logged_clicks
    from ranklift.rankers.backbones import TINY_DECODER, new_decoder
    from ranklift.rankers.tokenizers import train_tokenizer
    from ranklift.rankers.training.cpt import CptOptions, pretrain

    with _installation(home) as (settings, _):
        clicks = logged_clicks(settings.home, files_of(settings))
    tokenizer = train_tokenizer((f"{c.query} {c.document.body}" for c in clicks), vocabulary)
    options = CptOptions(steps=steps, seed=seed, max_tokens=max_tokens)
    decoder = new_decoder(TINY_DECODER, tokenizer, max_tokens, seed=seed)
    with bar("pre-training") as progress:
        done = pretrain(decoder, tokenizer, clicks, output, options, progress=progress.update)
    out.print(
        f"{output}: {len(clicks)} clicks, loss {done.loss:.4f}; "
        f'go on with "ranklift train sft --language-model {output}"'
    )


@app.command(epilog="Example: ranklift train sft --language-model lm --collection data/cranfield")
def sft(
    language_model: Annotated[Path, typer.Option(help="The folder that train cpt wrote.")],
    collection: Collection,
    name: Annotated[str, typer.Option(help="The teacher's name.")] = "teacher",
    steps: Steps = 300,
    seed: Seed = 0,
    depth: Depth = 50,
    home: Home = None,
) -> None:
    """Fine-tune a language model to rank, on a collection's judgments: a teacher."""
    from ranklift.cli.collections import judged_ground
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.artefacts import read_manifest
    from ranklift.rankers.training.sft import SftOptions, finetune

    ground = judged_ground(collection, depth)
    lists = ground.lists(ground.collection.judgments)
    options = SftOptions(
        steps=steps, seed=seed, max_tokens=read_manifest(language_model).max_tokens
    )
    with _installation(home) as (settings, registry):
        ref, folder = new_version(registry, settings.home / "models", name)
        with bar("fine-tuning") as progress:
            finetune(language_model, lists, folder, options, progress=progress.update)
        _made(register(registry, ref, folder))


@app.command(epilog="Example: ranklift train distil --teacher teacher@1 --collection data/npl")
def distil(
    teacher: Annotated[str, typer.Option(help="model@version whose scores are learnt.")],
    collection: Collection,
    name: Annotated[str, typer.Option(help="The student's name.")] = "student",
    steps: Steps = 600,
    seed: Seed = 0,
    depth: Depth = 50,
    alpha: Annotated[float, typer.Option(min=0, max=1, help="Weight of Point-MSE.")] = 0.5,
    home: Home = None,
) -> None:
    """Distil a small encoder from a teacher's scores; the judgments are not read."""
    from ranklift.cli.collections import judged_ground
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.artefacts import load_ranker, read_manifest
    from ranklift.rankers.backbones import TINY_ENCODER
    from ranklift.rankers.scores import score_lists
    from ranklift.rankers.training.distil import DistilOptions, FromScratch
    from ranklift.rankers.training.distil import distil as distilled

    teacher_ref = _ref("teacher", teacher)
    ground = judged_ground(collection, depth)
    with _installation(home) as (settings, registry):
        version = registry.models.get(teacher_ref)
        source = Path(version.uri)
        with bar("teacher scores") as progress:
            scored = score_lists(
                load_ranker(source),
                version.digest,
                ground.lists(ground.collection.queries),
                settings.home / "cache",
                progress=progress.update,
            )
        ref, folder = new_version(registry, settings.home / "models", name)
        options = DistilOptions(
            steps=steps, seed=seed, alpha=alpha, max_tokens=read_manifest(source).max_tokens
        )
        with bar("distilling") as progress:
            distilled(
                FromScratch(TINY_ENCODER, source),
                scored.lists,
                folder,
                options,
                teacher=version.digest,
                progress=progress.update,
            )
        _made(register(registry, ref, folder, parents=(teacher_ref,)))
    out.print(f"{scored.computed} teacher scores computed, {scored.found} found in the cache")


@app.command(epilog="Example: ranklift train cascade --first bm25@1 --second student@1")
def cascade(
    first: Annotated[str, typer.Option(help="model@version that ranks all documents.")],
    second: Annotated[str, typer.Option(help="model@version that ranks the best again.")],
    name: Annotated[str, typer.Option(help="The cascade's name.")] = "cascade",
    top_k: Annotated[int, typer.Option(min=1, help="How many of the best.")] = 20,
    budget_ms: Annotated[
        float, typer.Option(min=0, help="Served calls: what does not fit keeps the first order.")
    ] = 50.0,
    home: Home = None,
) -> None:
    """Make a cascade of two versions: a version of its own, which holds both."""
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.artefacts import CascadePlan
    from ranklift.rankers.cascade import build_cascade

    refs = _ref("first", first), _ref("second", second)
    with _installation(home) as (settings, registry):
        cheap, dear = (Path(registry.models.get(ref).uri) for ref in refs)
        ref, folder = new_version(registry, settings.home / "models", name)
        build_cascade(cheap, dear, folder, CascadePlan(top_k, budget_ms))
        _made(register(registry, ref, folder, parents=refs))


@app.command(epilog="Example: ranklift train convert student@3 --numerics bf16")
def convert(
    version: Annotated[str, typer.Argument(help="model@version, an encoder or decoder in fp32.")],
    numerics: Annotated[str, typer.Option(help="The numerics of the new version.")] = "bf16",
    name: Annotated[str, typer.Option(help="The new model's name; the same by default.")] = "",
    collection: Annotated[
        Path | None, typer.Option(help="A collection in BEIR layout to measure agreement on.")
    ] = None,
    depth: Depth = 50,
    home: Home = None,
) -> None:
    """Make a version in other numerics: the same weights, quicker to serve, slightly other scores.

    With a collection, how well both agree on its queries is printed and registered.
    """
    from ranklift.cli.collections import judged_ground
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.convert import convert as converted
    from ranklift.rankers.convert import measured_agreement

    source_ref = _ref("version", version)
    ground = judged_ground(collection, depth) if collection else None
    with _installation(home) as (settings, registry):
        source = Path(registry.models.get(source_ref).uri)
        ref, folder = new_version(registry, settings.home / "models", name or source_ref.model)
        converted(source, numerics, folder)
        metrics = {}
        if ground:
            measured = measured_agreement(source, folder, ground.lists(ground.collection.queries))
            metrics = {
                "max_error": measured.max_error,
                "kendall_tau": measured.kendall_tau,
                "lowest_tau": measured.lowest_tau,
                "top_1": measured.top_1,
            }
            out.print(
                f"{ref} against {source_ref}, {measured.lists} queries: "
                f"largest difference {measured.max_error:.2g}, "
                f"Kendall tau {measured.kendall_tau:.4f} (lowest {measured.lowest_tau:.4f}), "
                f"same first document {measured.top_1:.1%}"
            )
        _made(register(registry, ref, folder, parents=(source_ref,), metrics=metrics))


def _ref(field: str, text: str) -> ModelRef:
    from ranklift.store.values import ModelRef
    from ranklift.v1.errors import InvalidRequest

    try:
        return ModelRef.parse(text)
    except ValueError as error:
        raise InvalidRequest.of(field, str(error)) from error


@contextmanager
def _installation(home: Path | None) -> Iterator[tuple[Settings, Registry]]:
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    settings = load_settings(home=home)
    with registry_of(settings) as registry:
        yield settings, registry


def _made(version: ModelVersion) -> None:
    out.print(f"{version.ref} is registered: {version.kind}, {version.digest[:19]}, {version.uri}")
