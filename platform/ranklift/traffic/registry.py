"""The life of an experiment: draft -> running <-> paused -> concluded.

The gRPC service and the command line both go through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ranklift.store.changes import check_etag
from ranklift.store.values import Decision, ExperimentState, Layer, RegisteredExperiment
from ranklift.traffic.checks import check_name
from ranklift.traffic.experiment_changes import FIELDS, changed_experiment
from ranklift.traffic.experiments import check_experiment
from ranklift.traffic.repositories import ExperimentRepository
from ranklift.traffic.shares import (
    bucket_violations,
    holdout_violations,
    share_of,
    share_violations,
)
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import NotFound, refuse_if_any


class ExperimentRegistry:
    """Creates experiments and carries them through their life. Its methods block."""

    def __init__(self, experiments: ExperimentRepository) -> None:
        self._experiments = experiments

    def create(
        self, definition: pb.Experiment, *, actor: str, request_id: str = ""
    ) -> RegisteredExperiment:
        """Register a draft. Idempotent by `request_id`.

        Raises:
            InvalidRequest: the definition is wrong, with everything that is.
            NotFound: a model version or a prerequisite is not registered.
            AlreadyExists: the name is taken.
            NotReady: another experiment, which runs or is paused, wants the same pages.
        """
        experiment = check_experiment(definition, now=datetime.now(UTC))
        return self._experiments.create(experiment, actor=actor, request_id=request_id)

    def apply(self, definition: pb.Experiment, *, actor: str, reason: str) -> RegisteredExperiment:
        """Register a draft, or make the experiment of that name say what `definition` does.

        Once it ran, the traffic share is what its ramp made of it, and stays.

        Raises:
            InvalidRequest: the definition is wrong, with everything that is.
            NotFound: a model version or a prerequisite is not registered.
            NotReady: it ran, and the definition means something else; or as for `create`.
        """
        experiment = check_experiment(definition, now=datetime.now(UTC))
        try:
            present = self._experiments.get(experiment.name)
        except NotFound:
            return self._experiments.create(experiment, actor=actor)
        fields = set(FIELDS.values())
        if present.state is not ExperimentState.DRAFT:
            fields -= {"traffic_share"}
        return self._experiments.update(
            experiment.name, experiment, fields, actor=actor, reason=reason, etag=present.etag
        )

    def update(
        self,
        definition: pb.Experiment,
        paths: Sequence[str],
        *,
        actor: str,
        reason: str,
        etag: str = "",
    ) -> RegisteredExperiment:
        """Give the fields `paths` the values that they have in `definition`, which names the
        experiment.

        Raises:
            InvalidRequest: a path is no field that can be set, or the experiment would be wrong.
            NotFound: there is none of that name; also as for `create`.
            NotReady: a field can no longer change; also as for `create`.
            Conflict: `etag` is stale, or somebody else was faster.
        """
        present = self.get(definition.name)
        check_etag(present, etag)
        experiment, fields = changed_experiment(present, definition, paths, now=datetime.now(UTC))
        # What was checked as a whole must be what is changed.
        return self._experiments.update(
            definition.name, experiment, fields, actor=actor, reason=reason, etag=present.etag
        )

    def get(self, name: str) -> RegisteredExperiment:
        """Return one experiment.

        Raises:
            InvalidRequest: `name` is no name.
            NotFound: there is none of that name.
        """
        return self._experiments.get(_checked(name))

    def list(
        self,
        state: ExperimentState | None = None,
        *,
        layer: str = "",
        owner: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> tuple[Sequence[RegisteredExperiment], str]:
        """Return a page of experiments by name and the next page's token, "" on the last one.

        Of those in `state`, in `layer` and of `owner`, where they are given.

        Raises:
            InvalidRequest: `page_size` or `page_token`.
        """
        return self._experiments.list(
            state=state, page_size=page_size, page_token=page_token, layer=layer, owner=owner
        )

    def start(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Start a draft or continue a paused experiment.

        Raises:
            InvalidRequest: `name` is no name.
            NotFound: there is none of that name.
            NotReady: it runs already or is concluded, its layer has no room, or another
                experiment wants the same pages.
            Conflict: `etag` is stale.
        """
        return self._experiments.start(_checked(name), actor=actor, reason=reason, etag=etag)

    def ramp(
        self, name: str, traffic_share: float, *, actor: str, reason: str, etag: str = ""
    ) -> RegisteredExperiment:
        """Raise the traffic share, in (0, 1], of a running or paused experiment.

        Raises:
            InvalidRequest: `name` is no name, or `traffic_share` no share that gives every arm
                whole buckets.
            NotFound: there is none of that name.
            NotReady: it neither runs nor is paused, or the share would not grow.
            Conflict: `etag` is stale.
        """
        refuse_if_any(share_violations("traffic_share", traffic_share))
        share = share_of(traffic_share)
        arms = [(arm.name, arm.share) for arm in self.get(name).experiment.arms]
        refuse_if_any(bucket_violations("traffic_share", share, arms))
        return self._experiments.ramp(name, share, actor=actor, reason=reason, etag=etag)

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

    def layers(self) -> tuple[Layer, ...]:
        """Return all layers by name."""
        return self._experiments.layers()

    def set_layer(self, name: str, holdout_share: float, *, actor: str, reason: str) -> Layer:
        """Keep the part `holdout_share`, in [0, 1), of all units out of a layer; make it if need
        be.

        Raises:
            InvalidRequest: `name` is no name, or `holdout_share` no share.
            NotReady: an experiment of the layer runs or is paused.
        """
        refuse_if_any(
            [
                *check_name("name", name),
                *holdout_violations("holdout_share", holdout_share),
            ]
        )
        return self._experiments.set_layer(
            name, share_of(holdout_share), actor=actor, reason=reason
        )


def _checked(name: str) -> str:
    refuse_if_any(check_name("name", name))
    return name
