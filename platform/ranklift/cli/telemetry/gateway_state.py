"""What the gateway knows of the registry and its rankers, read when somebody asks for metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ranklift.traffic.breaker import BreakerState
from ranklift.traffic.config import ConfigPoller
from ranklift.traffic.upstreams import Upstreams

VERSION = ("model", "version")


class GatewayState(Collector):
    """How fresh the configuration is, how the pool of each loaded version does, and which pages
    were lost; `counts` are those of the gateway's servicer."""

    def __init__(
        self, config: ConfigPoller, upstreams: Upstreams, counts: Mapping[str, int]
    ) -> None:
        self._config = config
        self._upstreams = upstreams
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        status = self._config.status
        yield GaugeMetricFamily(
            "ranklift_gateway_registry_readable",
            "1 while the registry can be read, 0 while the last good configuration serves.",
            value=float(status.readable),
        )
        yield GaugeMetricFamily(
            "ranklift_gateway_config_age_seconds",
            "Since the configuration was last known to be the registry's.",
            value=status.age_seconds,
        )
        yield CounterMetricFamily(
            "ranklift_gateway_lost_pages",
            "Pages that were answered with an impression id, and that the disk refused afterwards.",
            value=self._counts["pages_lost"],
        )
        open_now = GaugeMetricFamily(
            "ranklift_gateway_breaker_open",
            "1 while a version's calls to a ranker are held back, but for probes.",
            labels=(*VERSION, "address"),
        )
        openings = CounterMetricFamily(
            "ranklift_gateway_breaker_openings",
            "How often a ranker of the version began to be left alone.",
            labels=VERSION,
        )
        retries = CounterMetricFamily(
            "ranklift_gateway_retries",
            "Failed calls that were tried at another ranker (made) or would have been (denied).",
            labels=(*VERSION, "result"),
        )
        for ref, pool in self._upstreams.pools.items():
            version = (ref.model, ref.version)
            for address, state in pool.breakers().items():
                open_now.add_metric((*version, address), float(state is not BreakerState.CLOSED))
            openings.add_metric(version, pool.counts["opened"])
            retries.add_metric((*version, "made"), pool.counts["retries"])
            retries.add_metric((*version, "denied"), pool.counts["retries_denied"])
        yield open_now
        yield openings
        yield retries
