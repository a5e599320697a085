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
    """Keeps experiments and their revisions; its methods block."""

    def create(
        self, experiment: Experiment, *, actor: str, request_id: str = ""
    ) -> RegisteredExperiment:
        """Keep a draft; a repeated `request_id` returns the first result.

        Raises:
            AlreadyExists: the name is taken.
            NotFound: an arm's model version is not registered.
        """
        ...

    def get(self, name: str) -> RegisteredExperiment:
        """Return one experiment.

        Raises:
            NotFound: there is none of that name.
        """
        ...

    def list(
        self, state: ExperimentState | None = None, page_size: int = 100, page_token: str = ""
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
        """Return the layers."""
        ...

    def version(self) -> int:
        """Return a number, at least 0, that grows with every change of any experiment or layer."""
        ...

    def transition(
        self,
        name: str,
        to: ExperimentState,
        *,
        allowed_from: Collection[ExperimentState],
        actor: str,
        reason: str,
        etag: str = "",
        decision: Decision | None = None,
    ) -> RegisteredExperiment:
        """Change the state, as a new revision.

        Raises:
            NotFound: there is none of that name.
            NotReady: the present state is not in `allowed_from`, or `to` is running
                and another experiment runs.
            Conflict: `etag` is given and stale.
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
