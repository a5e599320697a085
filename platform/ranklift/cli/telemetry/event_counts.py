"""What became of the events that came to a gateway, read when somebody asks for metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from ranklift.events.rules import Rule


class EventCounts(Collector):
    """Events by rule; `counts` are those of the event log."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts = self._counts()
        events = CounterMetricFamily(
            "ranklift_gateway_events",
            "Events that came, by the rule that each of them ended in (docs/events.md).",
            labels=("rule",),
        )
        for rule in Rule:
            events.add_metric((rule,), counts.get(rule, 0))
        yield events
