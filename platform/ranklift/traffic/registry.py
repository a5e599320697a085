"""The life of an experiment: draft -> running <-> paused -> concluded.

The gRPC service and the command line both go through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ranklift.store.values import Decision, ExperimentState, RegisteredExperiment
from ranklift.traffic.checks import check_name
from ranklift.traffic.experiments import check_experiment
from ranklift.traffic.repositories import ExperimentRepository, ModelRepository
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import refuse_if_any


class ExperimentRegistry:
    """Creates experiments and carries them through their life. Its methods block."""

    def __init__(self, experiments: ExperimentRepository, models: ModelRepository) -> None:
        self._experiments = experiments
        self._models = models

    def create(
        self, definition: pb.Experiment, *, actor: str, request_id: str = ""
    ) -> RegisteredExperiment:
        """Register a draft. Idempotent by `request_id`.

        Raises:
            InvalidRequest: the definition is wrong, with everything that is.
            NotFound: a model version is not registered.
            AlreadyExists: the name is taken.
        """
        experiment = check_experiment(definition, now=datetime.now(UTC))
        return self._experiments.create(experiment, actor=actor, request_id=request_id)

    def get(self, name: str) -> RegisteredExperiment:
        """Return one experiment.

        Raises:
            InvalidRequest: `name` is no name.
            NotFound: there is none of that name.
        """
        return self._experiments.get(_checked(name))

    def list(
        self, state: ExperimentState | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> tuple[Sequence[RegisteredExperiment], str]:
        """Return a page of experiments by name and the next page's token, "" on the last one.

        Raises:
            InvalidRequest: `page_size` or `page_token`.
        """
        return self._experiments.list(state=state, page_size=page_size, page_token=page_token)

    def start(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Start a draft or continue a paused experiment.

        Raises:
            InvalidRequest: `name` is no name.
            NotFound: there is none of that name.
            NotReady: it runs already, is concluded, or another experiment runs.
            Conflict: `etag` is stale.
        """
        return self._experiments.start(_checked(name), actor=actor, reason=reason, etag=etag)

    def pause(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Pause a running experiment: its units are served by the champion.

        Raises:
            InvalidRequest: `name` is no name.
            NotFound: there is none of that name.
            NotReady: it does not run.
            Conflict: `etag` is stale.
        """
        return self._experiments.pause(_checked(name), actor=actor, reason=reason, etag=etag)

    def conclude(
        self,
        name: str,
        decision: Decision,
        *,
        arm: str = "",
        actor: str,
        reason: str,
        etag: str = "",
    ) -> RegisteredExperiment:
        """Conclude an experiment for good; `Decision.SHIP` makes the version of `arm` the champion.

        Raises:
            InvalidRequest: `name` is no name, or `arm` does not fit the decision.
            NotFound: there is none of that name.
            NotReady: it never ran, or is concluded already.
            Conflict: `etag` is stale.
        """
        return self._experiments.conclude(
            _checked(name), decision, arm=arm, actor=actor, reason=reason, etag=etag
        )


def _checked(name: str) -> str:
    refuse_if_any(check_name("name", name))
    return name
