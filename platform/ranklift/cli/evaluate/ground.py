"""What systems are evaluated on: the same candidates for all of them, and what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ranklift.cli.collections import judged_ground
from ranklift.rankers.base import RankingList
from ranklift.simulator.candidates import RUN
from ranklift.v1.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class JudgedLists:
    """The candidates of judged queries, and the grades of all documents judged for each.

    `query_ids` and `judgments` go with `lists`. `candidates` says where the
    candidates come from; `without` is the number of judged queries that have none.
    """

    collection: str
    candidates: str
    query_ids: tuple[str, ...]
    lists: tuple[RankingList, ...]
    judgments: tuple[Mapping[str, int], ...]
    without: int


def judged_lists(collection: Path, depth: int) -> JudgedLists:
    """Return what the collection in a folder has to evaluate on.

    Raises:
        NotFound, InvalidRequest: the folder, or a line of it, is not as it must be, or no judged
            query has candidates.
    """
    ground = judged_ground(collection, depth)
    judgments = ground.collection.judgments
    found = tuple(query_id for query_id in judgments if ground.candidates.get(query_id))
    if not found:
        raise InvalidRequest.of("collection", f"{collection} has no candidates for a judged query")
    saved = (collection / RUN).is_file()
    return JudgedLists(
        collection=collection.name,
        candidates=f"those of {RUN}" if saved else f"the {depth} best of BM25",
        query_ids=found,
        lists=tuple(ground.lists(found)),
        judgments=tuple(judgments[query_id] for query_id in found),
        without=len(judgments) - len(found),
    )
