"""What serves of a version, in stages: a ranker has one, a cascade has two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ranklift.rankers.artefacts import load_version, read_manifest
from ranklift.rankers.base import Ranker, Scores, Text
from ranklift.rankers.cascade import FIRST, SECOND, Cascade
from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.lengths import Lengths
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.tokenizing import Tokenized, Tokenizing


@dataclass(frozen=True, slots=True)
class Stage:
    """A ranker, what its work costs, and how long its texts are."""

    ranker: Ranker[Any]
    cost: CostModel = field(default_factory=CostModel)
    lengths: Lengths = field(default_factory=Lengths)


def read_stages(
    folder: Path, *, token_cache_tokens: int = 0
) -> tuple[Ranker[Any] | Cascade, tuple[Stage, ...]]:
    """Return the version in `folder` and its stages, each with a token cache of its own.

    Raises:
        NotFound, InvalidRequest: as `load_version`.
    """
    ranker = load_version(folder, token_cache_tokens=token_cache_tokens)
    if not isinstance(ranker, Cascade):
        return ranker, (_stage(ranker, folder),)
    return ranker, (_stage(ranker.first, folder / FIRST), _stage(ranker.second, folder / SECOND))


def _stage(ranker: Ranker[Any], folder: Path) -> Stage:
    return Stage(ranker, lengths=Lengths(read_manifest(folder).max_tokens))


class Scoring:
    """Tokenises and scores for one stage at a time. It belongs to one event loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._tokenizing = Tokenizing()

    async def tokenized(
        self, stage: Stage, query: str, documents: Sequence[Text], most: int | None
    ) -> Tokenized[Any]:
        """Return the pairs of `query` with each document, of which `most` tokens are read."""
        tokenized = await self._tokenizing.encode(stage.ranker, query, documents, most)
        stage.lengths.observe(query, documents, tokenized.encoded)
        return tokenized

    async def scores(
        self,
        stage: Stage,
        query: str,
        documents: Sequence[Text],
        most: int | None,
        expires: float | None,
    ) -> Scores:
        """Return the scores of `documents`; what cannot be in time is refused before any work.

        Raises:
            Overloaded, InvalidRequest, Expired, ArithmeticError: as `Scheduler.score`.
        """
        estimated = stage.lengths.estimate(query, documents, most)
        with self.scheduler.reserve(stage.cost, estimated, expires) as place:
            tokenized = await self.tokenized(stage, query, documents, most)
            encoded = tokenized.encoded
            answered = await self.scheduler.score(
                stage.ranker, stage.cost, encoded.pairs, expires, place
            )
        return Scores(
            values=answered.values,
            tokens=encoded.tokens,
            truncated=encoded.truncated,
            tokenize_seconds=tokenized.seconds,
            inference_seconds=answered.inference_seconds,
        )
