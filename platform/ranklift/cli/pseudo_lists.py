"""Lists of made-up queries: what BM25 finds for words out of the collection's own documents."""

from __future__ import annotations

import numpy as np

from ranklift.cli.collections import Ground, text_of
from ranklift.rankers.base import RankingList
from ranklift.rankers.data.pseudo_queries import pseudo_queries
from ranklift.simulator.candidates import lexical_candidates
from ranklift.simulator.collections import Collection

# A list of fewer documents has too little to put in order.
LEAST_DOCUMENTS = 4


def pseudo_lists(
    ground: Ground, count: int, *, depth: int, documents: int, seed: int
) -> list[RankingList]:
    """Return the lists of up to `count` made-up queries, with targets of 0: nobody judged them.

    A list holds `documents` of BM25's `depth` best, drawn at random, so that it
    is as hard at every rank as the lists of real queries; where the words come
    from is left out, for its place in the order is no question.
    """
    rng = np.random.default_rng(seed)
    made = pseudo_queries(ground.texts(), count, seed=seed)
    asked = {str(i): query.text for i, query in enumerate(made)}
    candidates = lexical_candidates(Collection(ground.collection.documents, asked, {}), depth + 1)
    lists = []
    for query_id, found in candidates.items():
        others = [d for d in found if d != made[int(query_id)].source][:depth]
        if len(others) < LEAST_DOCUMENTS:
            continue
        drawn = sorted(rng.permutation(len(others))[:documents].tolist())
        lists.append(
            RankingList(
                asked[query_id],
                tuple(text_of(ground.collection, others[i]) for i in drawn),
                (0.0,) * len(drawn),
            )
        )
    return lists
