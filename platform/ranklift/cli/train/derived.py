"""`ranklift train bm25 | bi-encoder | cascade | convert`: versions made without learning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.data_options import Depth
from ranklift.cli.options import Home
from ranklift.cli.output import out
from ranklift.cli.train.options import Bf16, MaxTokens, installation, made, ref_of

Collection = Annotated[Path, typer.Option(help="A collection in BEIR layout, judged or not.")]


def bm25(
    collection: Collection,
    name: Annotated[str, typer.Option(help="The model's name.")] = "bm25",
    home: Home = None,
) -> None:
    """Make a BM25 version from a collection's documents."""
    from ranklift.cli.collections import Ground
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.bm25 import build_bm25
    from ranklift.simulator.collections import load_beir

    ground = Ground(load_beir(collection, judgments_file=None), {})
    with installation(home) as (settings, registry):
        ref, folder = new_version(registry, settings.home / "models", name)
        build_bm25(ground.texts(), folder)
        made(register(registry, ref, folder))


def bi_encoder(
    start: Annotated[
        str, typer.Option(help="A sentence encoder: minilm, mpnet, or a folder of any other.")
    ] = "minilm",
    name: Annotated[str, typer.Option(help="The model's name.")] = "cosine",
    max_tokens: MaxTokens = 256,
    bf16: Bf16 = False,
    home: Home = None,
) -> None:
    """Make a version of a pretrained sentence encoder, whose scores are cosines of embeddings.

    It ranks, and teaches, where nobody judged anything yet. It pools by the mean.
    """
    from ranklift.cli.train.sources import source_of
    from ranklift.cli.versions import new_version, register
    from ranklift.rankers.bi_encoder import import_bi_encoder
    from ranklift.v1.errors import InvalidRequest

    with installation(home) as (settings, registry):
        source = source_of(registry, settings.home, "start", start)
        if source.kind:
            raise InvalidRequest.of(
                "start", f'"{start}" is of kind "{source.kind}"; name a pretrained sentence encoder'
            )
        ref, folder = new_version(registry, settings.home / "models", name)
        import_bi_encoder(source.folder, folder, max_tokens, bf16=bf16)
        made(register(registry, ref, folder))


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

    refs = ref_of("first", first), ref_of("second", second)
    with installation(home) as (settings, registry):
        cheap, dear = (Path(registry.models.get(ref).uri) for ref in refs)
        ref, folder = new_version(registry, settings.home / "models", name)
        build_cascade(cheap, dear, folder, CascadePlan(top_k, budget_ms))
        made(register(registry, ref, folder, parents=refs))


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

    source_ref = ref_of("version", version)
    ground = judged_ground(collection, depth) if collection else None
    with installation(home) as (settings, registry):
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
        made(register(registry, ref, folder, parents=(source_ref,), metrics=metrics))
