"""The metrics of a ranker's caches, read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ranklift.rankers.serving.telemetry import RankerState

LABELS = ("cache", "model", "version")


class CacheMetrics(Collector):
    """Look-ups and what is held: "tokens" of each loaded version, and "scores" of the server."""

    def __init__(self, state: RankerState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        lookups = CounterMetricFamily(
            "ranklift_ranker_cache_lookups",
            "Documents or pairs looked up, by whether they were found: hit or miss.",
            labels=(*LABELS, "result"),
        )
        held = GaugeMetricFamily(
            "ranklift_ranker_cache_held", "Tokens or pairs held now.", labels=LABELS
        )
        tokens = {("tokens", *version): use for version, use in self._state.token_caches.items()}
        for cache, use in (tokens | {("scores", "", ""): self._state.score_cache}).items():
            lookups.add_metric((*cache, "hit"), use.hits)
            lookups.add_metric((*cache, "miss"), use.misses)
            held.add_metric(cache, use.held)
        yield lookups
        yield held
