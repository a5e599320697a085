"""Who is told what a ranker does, as one value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from grpc import aio

from ranklift.rankers.lru import CacheUse
from ranklift.v1.observing import RankObserver


class RankerState(Protocol):
    """What can be read of a running ranker at any time, from any thread."""

    @property
    def queued_tokens(self) -> int:
        """The tokens that wait for the model."""

    @property
    def versions(self) -> Collection[tuple[str, str]]:
        """Model and version of what is loaded."""

    @property
    def token_caches(self) -> Mapping[tuple[str, str], CacheUse]:
        """How the token cache of each loaded version was used."""

    @property
    def score_cache(self) -> CacheUse:
        """How the score cache was used."""


BatchObserver = Callable[[int, float], None]  # tokens, seconds


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Nobody is told anything unless it is said here; nobody may fail or take long.

    `started` is called once, before anything is loaded; `calls` after each
    ranking call, in its task; `batches` after each batch. `interceptors` are
    the outermost of the server's.
    """

    started: Sequence[Callable[[RankerState], None]] = ()
    calls: Sequence[RankObserver] = ()
    batches: Sequence[BatchObserver] = ()
    interceptors: Sequence[aio.ServerInterceptor] = ()
