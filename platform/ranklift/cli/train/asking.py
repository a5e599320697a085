"""`ranklift train pseudo-queries`: queries made of a collection's own documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranklift.cli.output import out
from ranklift.cli.train.options import Seed


def pseudo_queries(
    collection: Annotated[Path, typer.Option(help="A collection in BEIR layout.")],
    output: Annotated[Path, typer.Option(help="Where the lists (JSONL) go.")],
    count: Annotated[int, typer.Option(min=1, help="How many queries at most.")] = 5_000,
    documents: Annotated[
        int, typer.Option(min=4, help="Documents of each list, drawn from BM25's best.")
    ] = 12,
    depth: Annotated[int, typer.Option(min=4, help="Candidates per query, BM25's best.")] = 50,
    seed: Seed = 0,
) -> None:
    """Make queries out of a collection's documents, each with documents to be put in order.

    Nobody judges them: `distil --data` has a teacher score them, for a student to begin with. A
    query is a few words that stand together in a document, which itself is not in the list.
    """
    from ranklift.cli.collections import Ground
    from ranklift.cli.pseudo_lists import LEAST_DOCUMENTS, pseudo_lists
    from ranklift.rankers.data.jsonl import write_lists
    from ranklift.simulator.collections import load_beir
    from ranklift.v1.errors import InvalidRequest

    if output.is_dir():
        raise InvalidRequest.of("output", f'"{output}" is a folder; name a file')
    if not output.parent.is_dir():
        raise InvalidRequest.of("output", f'there is no folder "{output.parent}"; make it first')
    ground = Ground(load_beir(collection, judgments_file=None), {})
    lists = pseudo_lists(ground, count, depth=depth, documents=documents, seed=seed)
    if not lists:
        raise InvalidRequest.of(
            "collection",
            f"no query can be made: for no words of a document does BM25 find {LEAST_DOCUMENTS} "
            f"others among {len(ground.collection.documents)} documents; give more documents",
        )
    try:
        write_lists(output, lists)
    except OSError as error:
        raise InvalidRequest.of(
            "output", f'"{output}" cannot be written: {error.strerror}'
        ) from error
    out.print(f"{len(lists)} queries of {documents} documents at most: {output}")
