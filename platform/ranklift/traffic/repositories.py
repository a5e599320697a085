"""What this package needs of the registry. The store's repositories provide it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ranklift.store.values import (
    Decision,
    Experiment,
    ExperimentState,
    Layer,
    ModelRef,
    ModelVersion,
    RegisteredExperiment,
)


class ExperimentRepository(Protocol):
    """Keeps experiments, their revisions and their layers; its methods block.

    Those that change an experiment raise NotFound when there is none of that name, Conflict when
    `etag` is given and stale, and NotReady when the experiment is in another state than they need.
    """

    def create(
        self, experiment: Experiment, *, actor: str, request_id: str = ""
    ) -> RegisteredExperiment:
        """Keep a draft; a repeated `request_id` returns what it made.

        Raises:
            AlreadyExists: the name is taken.
            NotFound: a model version or a prerequisite is not registered.
            InvalidRequest: a prerequisite can never hold.
            NotReady: another experiment wants the same pages.
        """
        ...

    def get(self, name: str) -> RegisteredExperiment:
        """Return one experiment.

        Raises:
            NotFound: there is none of that name.
        """
        ...

    def list(
        self,
        state: ExperimentState | None = None,
        page_size: int = 100,
        page_token: str = "",
        *,
        layer: str = "",
        owner: str = "",
    ) -> tuple[Sequence[RegisteredExperiment], str]:
        """Return a page of experiments by name, and the token of the next page.

        Raises:
            InvalidRequest: `page_size` is not in [0, 1000], or the token is not ours.
        """
        ...

    def running(self) -> tuple[RegisteredExperiment, ...]:
        """Return the running experiments."""
        ...

    def layers(self) -> tuple[Layer, ...]:
        """Return all layers by name."""
        ...

    def version(self) -> int:
        """Return a number, at least 0, that grows with every change of an experiment or layer."""
        ...

    def set_layer(self, name: str, holdout_share: int, *, actor: str, reason: str) -> Layer:
        """Keep a part of all units, in ten-thousandths, out of a layer; make it if need be.

        Raises:
            NotReady: an experiment of the layer runs or is paused.
        """
        ...

    def update(
        self,
        name: str,
        experiment: Experiment,
        fields: Collection[str],
        *,
        actor: str,
        reason: str,
        etag: str = "",
    ) -> RegisteredExperiment:
        """Give these fields the values that they have in `experiment`; raises as `create`, too."""
        ...

    def start(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Start a draft or continue a paused experiment.

        Raises:
            NotReady: its layer has no room, or another experiment wants the same pages.
        """
        ...

    def ramp(
        self, name: str, traffic_share: int, *, actor: str, reason: str, etag: str = ""
    ) -> RegisteredExperiment:
        """Raise the traffic share, in ten-thousandths.

        Raises:
            NotReady: it would not grow.
        """
        ...

    def pause(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Pause a running experiment."""
        ...

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
        """Conclude for good; with `Decision.SHIP` the version of `arm` is the champion at once.

        Raises:
            InvalidRequest: `arm` does not fit the decision.
        """
        ...


class ModelRepository(Protocol):
    """Keeps model versions and says which one is the champion; its methods block."""

    def register(self, version: ModelVersion) -> ModelVersion:
        """Keep a version.

        Raises:
            AlreadyExists: the version exists with other content.
        """
        ...

    def get(self, ref: ModelRef) -> ModelVersion:
        """Return one version.

        Raises:
            NotFound: it is not registered.
        """
        ...

    def list(
        self, model: str = "", page_size: int = 100, page_token: str = ""
    ) -> tuple[Sequence[ModelVersion], str]:
        """Return a page of versions by model, then oldest first, and the next page's token.

        Raises:
            InvalidRequest: `page_size` is not in [0, 1000], or the token is not ours.
        """
        ...

    def set_champion(self, ref: ModelRef, *, actor: str, reason: str) -> ModelVersion:
        """Make a version the champion.

        Raises:
            NotFound: it is not registered.
        """
        ...

    def champion(self) -> ModelVersion | None:
        """Return the champion, None before there is one."""
        ...
