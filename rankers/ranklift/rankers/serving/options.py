"""How a ranker serves, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from ranklift.v1.requests import RankLimits


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What one request may hold, and how the requests share the model.

    `workers` batches are scored at once. A batch holds at most `batch_tokens`,
    and so an urgent request waits for no more than those. The queue holds at
    most `queue_tokens`, whatever the deadlines. After `patience_seconds` a
    request is overtaken by no newcomer. Each neural ranker keeps the ids of
    documents, `token_cache_tokens` in all; the server keeps the scores of
    `score_cache_pairs` pairs, for calls of experiments only with
    `score_cache_in_experiments`. 0 keeps nothing.
    """

    limits: RankLimits = field(default_factory=RankLimits)
    workers: int = 1
    batch_tokens: int = 1_024
    queue_tokens: int = 1 << 20
    patience_seconds: float = 1.0
    token_cache_tokens: int = 8_000_000
    score_cache_pairs: int = 0
    score_cache_in_experiments: bool = False
