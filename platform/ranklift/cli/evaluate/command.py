"""`ranklift evaluate`: how well model versions order a judged collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ranklift.cli.options import Home
from ranklift.cli.output import bar, out


def evaluate(
    versions: Annotated[
        list[str], typer.Argument(help="model@version, one or more; the first is the baseline.")
    ],
    collection: Annotated[Path, typer.Option(help="A judged collection in BEIR layout.")],
    depth: Annotated[int, typer.Option(min=2, help="Candidates per query, BM25's best.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    home: Home = None,
) -> None:
    """Evaluate model versions on the same candidates of a judged collection.

    Documents that nobody judged count as not relevant.

    Example: `ranklift evaluate bm25@1 student@2 --collection data/cranfield`
    """
    from ranklift.cli.collections import judged_ground
    from ranklift.cli.composition import registry_of
    from ranklift.rankers.artefacts import load_version
    from ranklift.rankers.evaluation import Estimate, compare
    from ranklift.rankers.evaluation import evaluate as evaluation_of
    from ranklift.settings import load_settings
    from ranklift.store.values import ModelRef
    from ranklift.v1.errors import InvalidRequest

    try:
        refs = [ModelRef.parse(version) for version in versions]
    except ValueError as error:
        raise InvalidRequest.of("versions", str(error)) from error
    with registry_of(load_settings(home=home)) as registry:
        found = [registry.models.get(ref) for ref in refs]
    ground = judged_ground(collection, depth)
    lists = ground.lists(ground.collection.judgments)
    evaluated = {}
    with bar("evaluating") as progress:
        for done, version in enumerate(found, start=1):
            ranker = load_version(Path(version.uri))
            evaluated[str(version.ref)] = evaluation_of(ranker, lists, seed=seed)
            progress.update(done, len(found))

    def cell(estimate: Estimate) -> str:
        return f"{estimate.value:.4f} [{estimate.lower:.4f}, {estimate.upper:.4f}]"

    table = Table("model version", "PNR", "pair accuracy", "NDCG@5", "NDCG@10", box=None)
    for name, one in evaluated.items():
        table.add_row(
            name, cell(one.pnr), cell(one.pair_accuracy), cell(one.ndcg[5]), cell(one.ndcg[10])
        )
    out.print(table)
    first, *others = evaluated.items()
    out.print(
        f"{first[1].queries} queries, {first[1].pairs} pairs; 95 % intervals by a bootstrap over "
        "queries; pairs are judged against unjudged where a query has no other"
    )
    for name, one in others:
        for difference in compare(first[1], one, seed=seed):
            out.print(
                f"{name} - {first[0]}: {difference.metric} {difference.difference:+.4f} "
                f"[{difference.lower:+.4f}, {difference.upper:+.4f}]"
            )
