"""One teacher's scores of ranking lists, each pair computed once.

In the last bits a score depends on its batch: matrix products of other shapes
sum in another order. So batches are made of chunks, and chunks of nothing but
the lists asked for, in their order. A run that was killed has whole chunks
behind it; going on, it scores the others in the batches that it would have had,
and leaves the same file, byte for byte, on the same kind of machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.rankers.artefacts import text_digest
from ranklift.rankers.base import Ranker, RankingList, SizedP, Values, finite
from ranklift.rankers.encoding import READING
from ranklift.rankers.scores.cache import ScoreCache
from ranklift.rankers.training.loop import Progress, no_progress

# So many pairs, of however many lists, are sorted by length and scored together, and then kept:
# what an interruption loses.
CHUNK_PAIRS = 1_024

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Scored:
    """Lists with the teacher's scores as targets; how many pairs were computed and found.

    `damaged` names files of the cache that could not be read and were set aside.
    """

    lists: tuple[RankingList, ...]
    computed: int
    found: int
    damaged: tuple[str, ...] = ()

    @property
    def hit_rate(self) -> float:
        """The share of pairs that were found, in [0, 1]; 1 when none was asked for."""
        pairs = self.computed + self.found
        return self.found / pairs if pairs else 1.0


def score_lists(
    teacher: Ranker[SizedP],
    digest: str,
    lists: Sequence[RankingList],
    cache: Path,
    *,
    progress: Progress = no_progress,
) -> Scored:
    """Return `lists` with the scores of `teacher`, whose artefact's digest is `digest`.

    A pair that the folder `cache` knows of this teacher is not computed again.
    The digest stands for weights, tokenizer, length and numerics, `READING` for
    how this program makes tokens of a pair. `progress` counts lists.

    Raises:
        NotFinite: a score is not finite; what was scored before is kept.
    """
    store = ScoreCache(cache / f"{digest.replace(':', '-')}-{READING}")
    keys = pair_keys(lists)
    asked = keys.to_frame().with_row_index("row").unique("pair", keep="first", maintain_order=True)
    known = asked["pair"].is_in(store.find(asked["pair"])["pair"].implode()).to_numpy()
    rows = asked["row"].to_numpy().astype(np.intp)
    ends = np.cumsum([len(ranking.documents) for ranking in lists], dtype=np.intp)
    for start in range(0, len(rows), CHUNK_PAIRS):
        chunk = np.arange(start, min(start + CHUNK_PAIRS, len(rows)))
        missing = chunk[~known[chunk]]
        if len(missing):
            store.keep(asked["pair"][missing], _scores(teacher, lists, ends, rows[missing]))
            progress(int(np.searchsorted(ends, rows[chunk[-1]] + 1, side="right")), len(lists))
    store.merge()
    progress(len(lists), len(lists))
    computed = int((~known).sum())
    return Scored(
        lists=_with_targets(lists, _all_scores(store, keys, asked["pair"])),
        computed=computed,
        found=len(keys) - computed,
        damaged=tuple(store.damaged),
    )


def pair_keys(lists: Sequence[RankingList]) -> pl.Series:
    """Return the digests of all pairs of `lists`, one list after the other, 32 bytes each."""
    return pl.Series(
        "pair",
        [
            bytes.fromhex(text_digest(ranking.query, document))
            for ranking in lists
            for document in ranking.documents
        ],
        dtype=pl.Binary,
    )


def _scores(
    teacher: Ranker[Any], lists: Sequence[RankingList], ends: Positions, rows: Positions
) -> Values:
    """Return the scores of the pairs in these ascending `rows`, counted over all lists."""
    owners = np.searchsorted(ends, rows, side="right")
    pairs: list[Any] = []
    for some in np.split(rows, np.flatnonzero(np.diff(owners)) + 1):
        owner = int(np.searchsorted(ends, some[0], side="right"))
        ranking = lists[owner]
        places = some - (ends[owner] - len(ranking.documents))
        documents = [ranking.documents[place] for place in places]
        pairs += teacher.encode(ranking.query, documents).pairs
    return finite(teacher.scores(pairs))


def _all_scores(store: ScoreCache, keys: pl.Series, asked: pl.Series) -> list[float]:
    """Return the scores of all pairs, in their order."""
    scores = keys.to_frame().join(store.find(asked), on="pair", how="left", maintain_order="left")
    if scores["score"].null_count():
        raise RuntimeError("scores went out of the cache while it was read; run it again")
    return scores["score"].to_list()


def _with_targets(lists: Sequence[RankingList], scores: Sequence[float]) -> tuple[RankingList, ...]:
    remaining = iter(scores)
    return tuple(
        RankingList(
            ranking.query, ranking.documents, tuple(next(remaining) for _ in ranking.documents)
        )
        for ranking in lists
    )
