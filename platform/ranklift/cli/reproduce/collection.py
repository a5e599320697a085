"""A real collection, fold by fold: BM25, a teacher, and students with and without it.

A few hundred judged queries teach no cross-encoder to compare texts. Words out
of the collection's own documents ask as many queries as one likes; a teacher
that came trained, the cosine of embeddings fused with BM25, scores them; and a
student learns from its scores alone:

    warm start    made-up queries, once for all folds: no real query is read
    distilled     goes on with the training queries of a fold
    labels alone  the same encoder, fine-tuned on the judgments of these queries

The teacher's only use of judgments is BM25's weight. Nothing is learnt from a
fold's test queries, neither from their texts nor from their judgments, and
every system orders the same candidates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ranklift.cli.collections import Ground
from ranklift.cli.pseudo_lists import pseudo_lists
from ranklift.cli.reproduce.collection_students import (
    CollectionScale,
    Pace,
    learn_labels,
    learn_scores,
    parted,
)
from ranklift.cli.reproduce.fusion import Scores, fit_fusion, fusion_of
from ranklift.cli.reproduce.results import Result, figures_of
from ranklift.rankers.artefacts import digest_of, load_ranker
from ranklift.rankers.backbones import alternate, depth_of
from ranklift.rankers.base import Ranker, RankingList, score_texts
from ranklift.rankers.bi_encoder import BiEncoder, load_bi_encoder
from ranklift.rankers.bm25 import BM25, build_bm25, load_bm25
from ranklift.rankers.data.splits import Fold, folds
from ranklift.rankers.evaluation import Evaluation, evaluate_scores
from ranklift.rankers.scores import score_lists
from ranklift.rankers.training.distil import FromArtefact, FromPretrained, Start

WORDS, COSINE, TEACHER = "BM25", "cosine", "teacher: cosine and BM25"
LABELS = "student, labels alone"


def distilled(layers: int) -> str:
    """Return the name of the student of so many layers."""
    return f"student of {layers} layers, distilled"


class Kept(Protocol):
    """Where a run keeps what is done: figures, model versions, scores."""

    @property
    def scores(self) -> Path:
        """The folder of the teachers' scores."""

    def model(self, key: Mapping[str, Any]) -> Path:
        """Return where the model version of a key belongs."""

    def recall(
        self, key: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return what `make` returns, or what it returned for `key` before."""


@dataclass(frozen=True)
class CollectionRun:
    """One seed's systems on a collection; what `kept` knows already is not made again.

    `ground` has the candidates, BM25's `scale.depth` best; `teacher` is the folder
    of a sentence encoder, half of the teacher, and `pretrained` that of every
    student's start.
    """

    name: str
    ground: Ground
    teacher: Path
    pretrained: Path
    kept: Kept
    scale: CollectionScale
    seed: int = 0

    def results(self, fold: int) -> list[Result]:
        """Return the figures of every system on the test queries of `fold`, from 0.

        Raises:
            InvalidRequest: the pretrained encoder cannot be read, or the fold has
                nothing to learn from or to be judged on.
            TrainingFailed: a student learnt nothing.
        """
        judged, judgments = self.test_lists(fold), self.judgments(fold)
        return [
            Result(
                system,
                f"fold {fold + 1}",
                figures_of(evaluate_scores(scores, judged, resamples=1, judgments=judgments)),
            )
            for system, scores in self._scored(fold).items()
        ]

    def pooled(self, folds: Sequence[int]) -> dict[str, Evaluation]:
        """Return the evaluation of every system over the test queries of all `folds` together.

        Paired comparisons of these draw queries, each of which is tested once.

        Raises:
            InvalidRequest, TrainingFailed: as `results`.
        """
        judged = [each for fold in folds for each in self.test_lists(fold)]
        judgments = [each for fold in folds for each in self.judgments(fold)]
        scored = [self._scored(fold) for fold in folds]
        return {
            system: evaluate_scores(
                [s for of_fold in scored for s in of_fold[system]], judged, judgments=judgments
            )
            for system in scored[0]
        }

    def train_lists(self, fold: int) -> list[RankingList]:
        """Return the judged lists of the queries that are learnt from in `fold`."""
        return self.ground.lists(self._judged(self._folds[fold].train))

    def test_lists(self, fold: int) -> list[RankingList]:
        """Return the judged lists of the queries that `fold` is measured on."""
        return self.ground.lists(self._judged(self._folds[fold].test))

    def judgments(self, fold: int) -> list[Mapping[str, int]]:
        """Return all that was judged of each query that `fold` is measured on."""
        judged = self.ground.collection.judgments
        return [judged[query_id] for query_id in self._judged(self._folds[fold].test)]

    def warm(self, layers: int) -> Path:
        """Return the folder of the student that has read made-up queries only."""
        folder = self.kept.model(self._key(f"warm start of {layers} layers"))
        if not folder.exists():
            lists = pseudo_lists(
                self.ground,
                self.scale.made_up,
                depth=self.scale.depth,
                documents=self.scale.documents,
                seed=self.seed,
            )
            cosines, words = self._halves(lists)
            targets = fusion_of(cosines, words).scores(cosines, words)
            scored = _with_targets(lists, targets)
            kept = alternate(layers, of=depth_of(self.pretrained))
            start = FromPretrained(self.pretrained, kept)
            self._learn(start, scored, folder, self.scale.warm_up)
        return folder

    def student(self, layers: int, fold: int) -> Path:
        """Return the folder of the distilled student of a fold."""
        folder = self.kept.model(self._key(distilled(layers), fold))
        if not folder.exists():
            lists = self.train_lists(fold)
            scored = _with_targets(lists, self._fused(fold, lists))
            rng = np.random.default_rng(self.seed)
            parts = [part for each in scored for part in parted(each, self.scale.portion, rng)]
            self._learn(FromArtefact(self.warm(layers)), parts, folder, self.scale.going_on)
        return folder

    def labelled(self, fold: int) -> Path:
        """Return the folder of the student that learnt from a fold's judgments alone."""
        folder = self.kept.model(self._key(LABELS, fold))
        if not folder.exists():
            learn_labels(self.pretrained, self.train_lists(fold), folder, self.scale, self.seed)
        return folder

    def _learn(self, start: Start, lists: Sequence[RankingList], folder: Path, pace: Pace) -> None:
        teacher = digest_of(self.teacher)
        learn_scores(start, lists, folder, self.scale, pace, self.seed, teacher)

    def _scored(self, fold: int) -> dict[str, Scores]:
        """Return every system's scores of the fold's test lists, kept or made."""
        judged = self.test_lists(fold)
        makers: dict[str, Callable[[], Scores]] = {
            WORDS: lambda: self._halves(judged)[1],
            COSINE: lambda: self._halves(judged)[0],
            TEACHER: lambda: self._fused(fold, judged),
            LABELS: lambda: _scores(load_ranker(self.labelled(fold)), judged),
            **{distilled(n): self._scorer(n, fold, judged) for n in self.scale.layers},
        }
        return {system: self._recalled(system, fold, make) for system, make in makers.items()}

    def _scorer(self, layers: int, fold: int, lists: list[RankingList]) -> Callable[[], Scores]:
        return lambda: _scores(load_ranker(self.student(layers, fold)), lists)

    def _recalled(self, system: str, fold: int, make: Callable[[], Scores]) -> Scores:
        kept = self.kept.recall(
            self._key(system, fold), lambda: {"scores": [each.tolist() for each in make()]}
        )
        return [np.array(each, np.float64) for each in kept["scores"]]

    def _fused(self, fold: int, lists: Sequence[RankingList]) -> Scores:
        """Return the scores of the teacher, whose fusion is fitted on the training queries."""
        learnt_from = self.train_lists(fold)
        fusion = fit_fusion(*self._halves(learnt_from), learnt_from)
        return fusion.scores(*self._halves(lists))

    def _halves(self, lists: Sequence[RankingList]) -> tuple[Scores, Scores]:
        """Return the cosines and BM25's scores of lists."""
        name = f"{digest_of(self.teacher)}-cosine-{self.scale.bi_encoder_tokens}"
        cosines = score_lists(self._bi_encoder, name, lists, self.kept.scores)
        digest, ranker = self._words
        words = score_lists(ranker, digest, lists, self.kept.scores)
        return _targets(cosines.lists), _targets(words.lists)

    @cached_property
    def _bi_encoder(self) -> BiEncoder:
        return load_bi_encoder(self.teacher, self.scale.bi_encoder_tokens, bf16=True)

    @cached_property
    def _words(self) -> tuple[str, BM25]:
        folder = self.kept.model({**self._of, "system": WORDS})
        words = load_bm25(folder) if folder.exists() else build_bm25(self.ground.texts(), folder)
        return digest_of(folder), words

    @cached_property
    def _of(self) -> dict[str, str]:
        """Which collection results are of: two of one name may share a run's folder."""
        return {"collection": self.name, "content": content_digest(self.ground)}

    @cached_property
    def _folds(self) -> tuple[Fold, ...]:
        return folds(self.ground.collection.queries, self.scale.folds)

    def _judged(self, query_ids: Sequence[str]) -> list[str]:
        """Return those of the queries that have judgments and candidates."""
        ground = self.ground
        judged = ground.collection.judgments
        return [q for q in query_ids if q in judged and q in ground.candidates]

    def _key(self, system: str, fold: int | None = None) -> dict[str, Any]:
        return {
            **self._of,
            "system": system,
            "fold": fold,
            "seed": self.seed,
            "scale": asdict(self.scale),
            "teacher": digest_of(self.teacher),
        }


def content_digest(ground: Ground) -> str:
    """Return a digest of a collection's documents, queries, judgments and candidates."""
    found = hashlib.sha256()
    for line in _content(ground):
        found.update(json.dumps(line, sort_keys=True).encode() + b"\n")
    return f"sha256:{found.hexdigest()}"


def _content(ground: Ground) -> Iterator[tuple[object, ...]]:
    collection = ground.collection
    for document in collection.documents.values():
        yield "document", document.id, document.title, document.text
    for query_id, text in collection.queries.items():
        yield "query", query_id, text
    for query_id, grades in collection.judgments.items():
        yield "judgments", query_id, dict(grades)
    for query_id, document_ids in ground.candidates.items():
        yield "candidates", query_id, *document_ids


def _with_targets(lists: Sequence[RankingList], scores: Scores) -> list[RankingList]:
    return [
        RankingList(each.query, each.documents, tuple(values.tolist()))
        for each, values in zip(lists, scores, strict=True)
    ]


def _targets(lists: Sequence[RankingList]) -> Scores:
    return [np.array(each.targets, np.float64) for each in lists]


def _scores(ranker: Ranker[Any], lists: Sequence[RankingList]) -> Scores:
    return [score_texts(ranker, each.query, each.documents).values for each in lists]
