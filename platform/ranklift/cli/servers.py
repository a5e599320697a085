"""What each server process consists of, from the settings to the socket."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import make_url

from ranklift.cli.composition import files_of, registry_of, retention_of
from ranklift.cli.protection import credentials_of, protection, pseudonyms_of
from ranklift.settings import Settings
from ranklift.store.database import check_schema
from ranklift.store.registry import Registry
from ranklift.store.values import ModelRef, RegisteredExperiment
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.hosting import Hosted, host
from ranklift.v1.requests import RankLimits

if TYPE_CHECKING:
    from ranklift.lift.preference.values import ArmPreferences
    from ranklift.lift.values import LiftReport

log = structlog.get_logger(__name__)

SERVICE = "ranklift.v1.{}Service"
# A health name of the gateway: NOT_SERVING while it serves an old configuration, since the registry
# cannot be read. The gateway itself stays SERVING.
REGISTRY_HEALTH = "ranklift.registry"


@asynccontextmanager
async def ranker(settings: Settings, load: Sequence[str] | None) -> AsyncIterator[Hosted]:
    """Run a ranker with the versions `load` names ("model@version"), or with those that serve."""
    from prometheus_client import CollectorRegistry

    from ranklift.rankers.serving.cores import shared

    cores = shared(settings.ranker.threads)
    # Read by torch when it is imported, which only a neural ranker does.
    os.environ["OMP_NUM_THREADS"] = str(cores.threads)
    from ranklift.cli.telemetry.exposition import exposed
    from ranklift.cli.telemetry.ranker_metrics import RankerMetrics
    from ranklift.cli.telemetry.tracing import traced
    from ranklift.rankers.loaded import VersionToLoad
    from ranklift.rankers.server import serve_ranker
    from ranklift.rankers.serving.options import ServingOptions
    from ranklift.rankers.serving.telemetry import Telemetry

    async with AsyncExitStack() as stack:
        registry = stack.enter_context(registry_of(settings))
        wanted = _named(load) if load else _serving(registry)
        versions = [registry.models.get(ref) for ref in wanted]
        security = await stack.enter_async_context(
            protection(settings, settings.ranker.address, settings.ranker.tls, registry)
        )
        prometheus = CollectorRegistry()
        metrics = RankerMetrics(prometheus)
        stack.enter_context(
            exposed(settings.ranker.metrics_address, prometheus, "ranker.metrics_address")
        )
        tracing = stack.enter_context(traced(settings.telemetry.otlp_endpoint, "ranklift-ranker"))
        hosted = await serve_ranker(
            settings.ranker.address,
            [VersionToLoad(v.ref.model, v.ref.version, Path(v.uri), v.digest) for v in versions],
            ServingOptions(
                limits=_limits(settings),
                workers=cores.workers,
                batch_tokens=settings.ranker.batch_tokens,
                queue_tokens=settings.ranker.queue_tokens,
                patience_seconds=settings.ranker.patience_seconds,
                token_cache_tokens=settings.ranker.token_cache_tokens,
                score_cache_pairs=settings.ranker.score_cache_pairs,
                score_cache_in_experiments=settings.ranker.score_cache_in_experiments,
            ),
            Telemetry(
                started=[metrics.started],
                calls=[metrics.call_ended, *tracing.calls],
                batches=[metrics.batch_ended],
                interceptors=tracing.servers,
            ),
            security,
        )
        log.info("ranker_serving", address=hosted.address, versions=[str(v.ref) for v in versions])
        try:
            yield hosted
        finally:
            await hosted.stop()


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Hosted]:
    """Run the gateway and the services beside it."""
    from prometheus_client import CollectorRegistry

    from ranklift.cli.reporting import preferences_of_home, report_of_home
    from ranklift.cli.telemetry.event_counts import EventCounts
    from ranklift.cli.telemetry.exposition import exposed
    from ranklift.cli.telemetry.gateway_metrics import GatewayMetrics
    from ranklift.cli.telemetry.gateway_state import GatewayState
    from ranklift.cli.telemetry.tracing import traced
    from ranklift.events.log import EventLog
    from ranklift.events.service import EventServicer
    from ranklift.lift.service import LiftServicer
    from ranklift.retrain.service import RetrainingServicer
    from ranklift.traffic.config import ConfigPoller
    from ranklift.traffic.connections import connect
    from ranklift.traffic.deadlines import DeadlinePolicy
    from ranklift.traffic.gateway import GatewayServicer
    from ranklift.traffic.kept_config import FILE_NAME, KeptConfig
    from ranklift.traffic.models_service import ModelServicer
    from ranklift.traffic.observing import ObservedRankers
    from ranklift.traffic.registry import ExperimentRegistry
    from ranklift.traffic.service import ExperimentServicer
    from ranklift.traffic.shadows import ShadowPolicy
    from ranklift.traffic.upstreams import Upstreams
    from ranklift.v1 import (
        events_pb2_grpc,
        experiments_pb2_grpc,
        lift_pb2_grpc,
        models_pb2_grpc,
        ranking_pb2_grpc,
        retraining_pb2_grpc,
    )
    from ranklift.v1.observing import ObservedRanking

    async with AsyncExitStack() as stack:
        prometheus = CollectorRegistry()
        metrics = GatewayMetrics(prometheus)
        stack.enter_context(
            exposed(settings.gateway.metrics_address, prometheus, "gateway.metrics_address")
        )
        tracing = stack.enter_context(traced(settings.telemetry.otlp_endpoint, "ranklift-gateway"))
        kept = KeptConfig(
            settings.home / "cache" / FILE_NAME,
            make_url(settings.registry_url).render_as_string(hide_password=True),
        )
        registry = stack.enter_context(
            registry_of(settings, may_be_down=await asyncio.to_thread(kept.load) is not None)
        )
        files = files_of(settings)
        security = await stack.enter_async_context(
            protection(settings, settings.gateway.address, settings.gateway.tls, registry)
        )
        events = await stack.enter_async_context(
            await EventLog.open(
                settings.home,
                export_interval=timedelta(seconds=settings.events.export_seconds),
                files=files,
                retention=retention_of(settings),
            )
        )
        upstreams = Upstreams(
            settings.gateway.rankers,
            connect=partial(
                connect, interceptors=tracing.clients, credentials=credentials_of(settings)
            ),
        )
        stack.push_async_callback(upstreams.close)
        await upstreams.start()
        config = ConfigPoller(
            registry.experiments,
            registry.models,
            kept=kept,
            check=partial(check_schema, registry.engine),
        )
        stack.push_async_callback(config.close)
        await config.start()
        split = GatewayServicer(
            config.current,
            ObservedRankers(upstreams, metrics.upstream_ended),
            events,
            limits=_limits(settings),
            deadlines=DeadlinePolicy(default_seconds=settings.gateway.deadline_seconds),
            strict=settings.events.durability == "strict",
            shadows=ShadowPolicy(
                timeout_seconds=settings.gateway.shadow_deadline_seconds,
                in_flight=settings.gateway.shadows_in_flight,
            ),
            pseudonyms=pseudonyms_of(settings),
        )
        stack.push_async_callback(split.close)
        prometheus.register(GatewayState(config, upstreams, split.counts))
        prometheus.register(EventCounts(lambda: events.counts))
        ranking = ObservedRanking(split, observers=[metrics.call_ended, *tracing.calls])
        experiments = ExperimentServicer(
            ExperimentRegistry(registry.experiments),
            config=config.current,
            changed=config.refresh,
        )
        models = ModelServicer(registry.models, upstreams, changed=config.refresh)

        def report(
            registered: RegisteredExperiment, start: datetime | None, end: datetime | None
        ) -> LiftReport:
            events.flush()  # whoever asks for a report has seen the pages that were answered
            return report_of_home(settings.home, registered, start, end, files=files)

        def preferences(
            registered: RegisteredExperiment, start: datetime | None, end: datetime | None
        ) -> tuple[ArmPreferences, ...]:
            events.flush()
            return preferences_of_home(settings.home, registered, start, end, files=files)

        lift = LiftServicer(registry.experiments, report, preferences)
        retraining = RetrainingServicer(registry.schedules, registry.runs)

        hosted = await host(
            settings.gateway.address,
            {
                SERVICE.format("Ranking"): partial(
                    ranking_pb2_grpc.add_RankingServiceServicer_to_server, ranking
                ),
                SERVICE.format("Experiment"): partial(
                    experiments_pb2_grpc.add_ExperimentServiceServicer_to_server, experiments
                ),
                SERVICE.format("Event"): partial(
                    events_pb2_grpc.add_EventServiceServicer_to_server, EventServicer(events)
                ),
                SERVICE.format("Model"): partial(
                    models_pb2_grpc.add_ModelServiceServicer_to_server, models
                ),
                SERVICE.format("Lift"): partial(
                    lift_pb2_grpc.add_LiftServiceServicer_to_server, lift
                ),
                SERVICE.format("Retraining"): partial(
                    retraining_pb2_grpc.add_RetrainingServiceServicer_to_server, retraining
                ),
            },
            interceptors=tracing.servers,
            security=security,
        )
        stack.push_async_callback(hosted.stop)
        await config.follow(partial(hosted.set_serving, REGISTRY_HEALTH))
        log.info("gateway_serving", address=hosted.address, rankers=settings.gateway.rankers)
        yield hosted


@asynccontextmanager
async def scheduler(settings: Settings) -> AsyncIterator[None]:
    """Run the scheduler of retraining, each run a process of its own, and of ramps."""
    from ranklift.cli.ramping import controller_of
    from ranklift.retrain.scheduler import RetrainingScheduler
    from ranklift.traffic.ramps.controller import RampRounds

    with registry_of(settings) as registry:
        running = RetrainingScheduler(
            registry.engine,
            registry.schedules,
            registry.runs,
            lambda run_id: _launch(settings, run_id),
        )
        ramps = RampRounds(controller_of(settings.home, registry), settings.ramps.interval_seconds)
        running.start()
        ramps.start()
        log.info("scheduler_running", schedules=[s.name for s in registry.schedules.list()])
        try:
            yield
        finally:
            await asyncio.to_thread(ramps.close)
            await asyncio.to_thread(running.close)


def _launch(settings: Settings, run_id: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ranklift.cli", "retrain", "execute", run_id]
    command += ["--home", str(settings.home)]
    for address in settings.gateway.rankers:
        command += ["--ranker", address]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _named(texts: Sequence[str]) -> list[ModelRef]:
    try:
        return [ModelRef.parse(text) for text in texts]
    except ValueError as error:
        raise InvalidRequest.of("load", str(error)) from error


def _serving(registry: Registry) -> list[ModelRef]:
    """Return the champion and the versions of the running experiments' arms, each once."""
    champion = registry.models.champion()
    arms = [arm for one in registry.experiments.running() for arm in one.experiment.arms]
    refs = ([champion.ref] if champion else []) + [ref for arm in arms for ref in arm.models]
    return list(dict.fromkeys(refs))


def _limits(settings: Settings) -> RankLimits:
    return RankLimits(
        max_documents=settings.limits.max_documents, max_text_chars=settings.limits.max_text_chars
    )
