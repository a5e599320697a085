"""Assignments inside a service of one's own: the gateway's code and configuration, without the hop.

    with AssignmentClient("127.0.0.1:7400") as traffic:
        route = traffic.assign(user_id="u1", attributes={"country": "NL"})
        route.model             # the version to ask, e.g. student@3
        route.assignments       # for the service's own log; none: the champion serves

Only the protocol is spoken, so the service needs no access to the registry. It also means that
the pages are the service's to log: the platform's event log knows those of the gateway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from types import TracebackType
from typing import Self, cast

import grpc
import structlog

from ranklift.store.values import (
    BUCKETS,
    ExperimentState,
    Layer,
    ModelRef,
    RegisteredExperiment,
)
from ranklift.traffic.experiment_values import experiment_value
from ranklift.traffic.routing import NO_ATTRIBUTES, Route, RunningExperiment, ServingConfig
from ranklift.v1 import experiments_pb2, models_pb2
from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import Unreachable
from ranklift.v1.experiments_pb2_grpc import ExperimentServiceStub
from ranklift.v1.models_pb2_grpc import ModelServiceStub
from ranklift.v1.status import details_of

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0
_READS = 5


class AssignmentClient:
    """Keeps what serves in memory, and assigns from it; for threads and for asyncio alike.

    A thread of its own reads the configuration every `interval_seconds`; `assign` neither waits
    nor locks. While the platform does not answer, the last good configuration stays, a line in
    the log says so, and `age_seconds` grows. A change of an experiment is known an interval after
    the gateway knows it.

    To open it is to read for the first time, which blocks for up to `timeout_seconds`.

    Raises:
        Unreachable: the platform does not answer.
    """

    def __init__(
        self,
        address: str,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        credentials: Credentials = IN_THE_CLEAR,
    ) -> None:
        self._address = address
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._channel = credentials.channel(address)
        # One read at a time, so that an older one never replaces a newer one.
        self._reading = threading.Lock()
        self._failing = False
        self._closing = threading.Event()
        try:
            self._config = self._read()
        except grpc.RpcError as error:
            self._channel.close()
            raise Unreachable.of(
                "address", f"no platform answers at {address}: {details_of(error)}"
            ) from error
        except BaseException:
            self._channel.close()
            raise
        self._read_at = time.monotonic()
        self._thread = threading.Thread(target=self._poll, name="assignments", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def assign(
        self,
        user_id: str = "",
        session_id: str = "",
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
    ) -> Route:
        """Return the model version that serves, and the arms that the user and session have.

        The gateway, asked for the same with the same attributes, says the same.
        """
        return self._config.route(user_id, session_id, attributes)

    def running(self) -> Mapping[str, RunningExperiment]:
        """Return the running experiments by name, as last read."""
        return self._config.experiments

    @property
    def age_seconds(self) -> float:
        """How long ago the platform last said what serves."""
        return time.monotonic() - self._read_at

    def refresh(self) -> None:
        """Read now. A failure is logged and leaves the configuration as it is."""
        with self._reading:
            began = time.monotonic()
            try:
                self._config = self._read()
            except Exception as error:
                self._failed(error)
            else:
                if self._failing:
                    log.info("platform_readable_again", address=self._address)
                self._failing = False
                self._read_at = began

    def close(self) -> None:
        """Stop reading. What was read last still assigns."""
        self._closing.set()
        self._channel.close()
        self._thread.join()

    def _poll(self) -> None:
        while not self._closing.wait(self._interval_seconds):
            self.refresh()

    def _failed(self, error: Exception) -> None:
        if self._closing.is_set() or self._failing:
            return
        self._failing = True
        log.warning(
            "platform_unreadable",
            address=self._address,
            serving="the last good configuration",
            error=details_of(error) if isinstance(error, grpc.RpcError) else repr(error),
        )

    def _read(self) -> ServingConfig:
        layers = self._layers()
        for _ in range(_READS):
            running, champion = tuple(self._running()), self._champion()
            # Three calls are not one instant. An experiment with the salt that its layer has after
            # it would assign everybody anew.
            before, layers = layers, self._layers()
            if before == layers:
                return ServingConfig.of(running, champion, layers)
        raise RuntimeError("the layers changed with every look at them")

    def _layers(self) -> tuple[Layer, ...]:
        reply = ExperimentServiceStub(self._channel).ListLayers(
            experiments_pb2.ListLayersRequest(), timeout=self._timeout_seconds
        )
        return tuple(
            Layer(one.name, one.salt, round(one.holdout_share * BUCKETS)) for one in reply.layers
        )

    def _running(self) -> Iterator[RegisteredExperiment]:
        token = ""
        while True:
            reply = ExperimentServiceStub(self._channel).ListExperiments(
                experiments_pb2.ListExperimentsRequest(
                    state=experiments_pb2.EXPERIMENT_STATE_RUNNING,
                    page_size=1_000,
                    page_token=token,
                ),
                timeout=self._timeout_seconds,
            )
            yield from map(_registered, reply.experiments)
            token = reply.next_page_token
            if not token:
                return

    def _champion(self) -> ModelRef | None:
        try:
            reply = ModelServiceStub(self._channel).GetChampion(
                models_pb2.GetChampionRequest(), timeout=self._timeout_seconds
            )
        except grpc.RpcError as error:
            if cast(grpc.Call, error).code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return ModelRef(reply.model_version.model, reply.model_version.version)


def _registered(message: experiments_pb2.Experiment) -> RegisteredExperiment:
    return RegisteredExperiment(
        experiment_value(message),
        ExperimentState.RUNNING,
        message.revision,
        created=message.create_time.ToDatetime(tzinfo=UTC),
        updated=message.update_time.ToDatetime(tzinfo=UTC),
        slots=tuple((one.start, one.end) for one in message.slots),
    )
