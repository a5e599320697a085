"""What serves of a version, in stages: a ranker has one, a cascade has two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, as whoever scores it sees it.

    At most `max_tokens_per_document` of each document are read, all that the model takes when
    None. `arrived` and `expires` are of `time.perf_counter`; None without a deadline.
    """

    query: str
    documents: Sequence[Text]
    max_tokens_per_document: int | None
    arrived: float
    expires: float | None

    def only(self, documents: Sequence[Text]) -> Asked:
        """Return the same call about these of its documents."""
        return replace(self, documents=documents)


class Scoring:
    """Tokenises and scores for one stage at a time. It belongs to one event loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._tokenizing = Tokenizing()

    async def tokenized(self, stage: Stage, asked: Asked) -> Tokenized[Any]:
        """Return the pairs of the query with each document."""
        tokenized = await self._tokenizing.encode(
            stage.ranker, asked.query, asked.documents, asked.max_tokens_per_document
        )
        stage.lengths.observe(asked.query, asked.documents, tokenized.encoded)
        return tokenized

    async def scores(self, stage: Stage, asked: Asked) -> Scores:
        """Return the documents' scores; what cannot be in time is refused before any work.

        Raises:
            Overloaded, InvalidRequest, Expired, NotFinite: as `Scheduler.score`.
        """
        estimated = stage.lengths.estimate(
            asked.query, asked.documents, asked.max_tokens_per_document
        )
        with self.scheduler.reserve(stage.cost, estimated, asked.expires) as place:
            tokenized = await self.tokenized(stage, asked)
            encoded = tokenized.encoded
            answered = await self.scheduler.score(
                stage.ranker, stage.cost, encoded.pairs, asked.expires, place
            )
        return Scores(
            values=answered.values,
            tokens=encoded.tokens,
            truncated=encoded.truncated,
            tokenize_seconds=tokenized.seconds,
            inference_seconds=answered.inference_seconds,
        )
