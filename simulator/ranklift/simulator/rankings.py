"""Rankings of a world's candidates that need no ranker: by BM25, by the truth, from a run file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ranklift.simulator.candidates import lexical_scores, read_run
from ranklift.simulator.world import Rankings, World
from ranklift.v1.errors import InvalidRequest


def ideal_rankings(world: World) -> Rankings:
    """Return the candidates by attractiveness and then satisfaction, best first."""

    def disappoints(query_id: str, document_id: str) -> tuple[float, float]:
        appeal = world.appeal(query_id, document_id)
        return (-appeal.attractiveness, -appeal.satisfaction)

    return {
        query_id: sorted(document_ids, key=lambda d: disappoints(query_id, d))
        for query_id, document_ids in world.candidates.items()
    }


def lexical_rankings(world: World) -> Rankings:
    """Return the candidates by BM25, best first; equal ones stay in their order."""
    row = {document_id: n for n, document_id in enumerate(world.collection.documents)}
    rankings: dict[str, Sequence[str]] = dict(world.candidates)
    for query_id, scores in lexical_scores(world.collection):
        if query_id in rankings:
            rankings[query_id] = sorted(rankings[query_id], key=lambda d: -scores[row[d]])
    return rankings


def run_rankings(world: World, path: Path) -> Rankings:
    """Return the rankings of a TREC run, whose order is that of its scores.

    Raises:
        InvalidRequest: there is no such file, a line of it is malformed or names what the
            collection lacks (the field is "file:line"), or a query of the world is not ranked.
    """
    if not path.is_file():
        raise InvalidRequest.of("run", f'there is no file "{path}"')
    rankings = read_run(world.collection, path)
    for query_id in world.query_ids:
        if query_id not in rankings:
            raise InvalidRequest.of(
                str(path), f'ranks nothing for query "{query_id}"; rank every query that is asked'
            )
    return rankings
