"""What there is to learn on one seed of the synthetic world, and what to be measured on.

Queries are split by id. Nothing is learnt from those held out: users of the
past did not ask them, no teacher scored them for a student.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranklift.cli.collections import Ground, ranking_of, synthetic_ground, text_of
from ranklift.cli.demo.school import portions
from ranklift.cli.reproduce.scale import Scale
from ranklift.rankers.base import ClickedText, RankingList, Text, score_texts
from ranklift.rankers.bm25 import BM25, build_bm25
from ranklift.simulator.collections import Split, queries_in
from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.world import World

# Any time would do, and the same one every time: it decides the ids of pages.
PAST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Material:
    """One seed's texts, clicks and lists; `words` is BM25 over its documents."""

    ground: Ground
    words: BM25
    documents: tuple[ClickedText, ...]  # as if clicked without a query: text alone
    clicks: tuple[ClickedText, ...]
    judged: tuple[RankingList, ...]
    unlabelled: tuple[RankingList, ...]  # what a teacher scores for students
    held_out: tuple[RankingList, ...]

    def questions(self, documents: int, count: int) -> list[tuple[str, list[Text]]]:
        """Return `count` held-out queries, each with so many documents of the collection."""
        texts = itertools.cycle(self.ground.texts())
        queries = itertools.cycle(each.query for each in self.held_out)
        return [
            (query, list(itertools.islice(texts, documents)))
            for query in itertools.islice(queries, count)
        ]


def material_of(scale: Scale, seed: int) -> Material:
    """Return what there is on a seed; the same seed gives the same."""
    ground = synthetic_ground(scale.world, seed)
    collection = ground.collection
    with tempfile.TemporaryDirectory() as scratch:
        words = build_bm25(ground.texts(), Path(scratch) / "bm25")
    judged = ground.lists(queries_in(collection, Split.JUDGED))
    return Material(
        ground=ground,
        words=words,
        documents=tuple(ClickedText("", text) for text in ground.texts()),
        clicks=tuple(_clicks(ground, words, scale.past_users, seed)),
        judged=tuple(part for each in judged for part in portions(each, scale.negatives)),
        unlabelled=tuple(
            each
            for split in scale.student_queries
            for each in ground.lists(queries_in(collection, split))
        ),
        held_out=tuple(ground.lists(queries_in(collection, Split.HELD_OUT))),
    )


def _clicks(ground: Ground, words: BM25, users: int, seed: int) -> list[ClickedText]:
    """Return what users of the past clicked on BM25's pages."""
    collection = ground.collection
    held_out = set(queries_in(collection, Split.HELD_OUT))
    candidates = {q: shown for q, shown in ground.candidates.items() if q not in held_out}
    rankings = {}
    for query_id, shown in candidates.items():
        texts = [text_of(collection, document_id) for document_id in shown]
        scores = score_texts(words, collection.queries[query_id], texts)
        rankings[query_id] = ranking_of(shown, scores.values.tolist())
    population = Population(users=users, pages_per_user=4.0, start=PAST, span=timedelta(hours=20))
    world = World("past", seed, collection, candidates, population)
    log = simulate(world, SimulatedRanker(rankings, "bm25", "1"))
    clicked = (
        log.clicks.join(log.pages.select("impression_id", "query"), on="impression_id")
        .sort("event_id")
        .select("query", "document_id")
    )
    return [
        ClickedText(query, text_of(collection, clicked_id))
        for query, clicked_id in clicked.iter_rows()
    ]
