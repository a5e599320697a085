"""Which model version serves a request: the running experiments and the champion as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ranklift.events.values import PageAssignment
from ranklift.store.values import ModelRef, RegisteredExperiment, Unit
from ranklift.traffic.splitter import Splitter


@dataclass(frozen=True, slots=True)
class Route:
    """What decides about one request: its arm if it has one, and the model version to ask.

    `model` is the arm's version, else the champion's, None when there is neither.
    """

    model: ModelRef | None
    assignment: PageAssignment | None = None

    @property
    def assignments(self) -> tuple[PageAssignment, ...]:
        return (self.assignment,) if self.assignment else ()


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """What serves at one moment: each running experiment with its splitter, and the champion."""

    experiments: tuple[tuple[RegisteredExperiment, Splitter], ...] = ()
    champion: ModelRef | None = None

    @classmethod
    def of(
        cls, running: Iterable[RegisteredExperiment], champion: ModelRef | None
    ) -> ServingConfig:
        """Return the configuration of these running experiments and this champion."""
        return cls(tuple((one, Splitter.of(one.experiment)) for one in running), champion)

    def route(self, user_id: str, session_id: str) -> Route:
        """Return who serves this user and session; either may be empty.

        One ranker answers a call, so one experiment decides: the first that has the
        unit. The registry lets only one run at a time.
        """
        for registered, splitter in self.experiments:
            experiment = registered.experiment
            unit_id = user_id if experiment.unit is Unit.USER else session_id
            assigned = splitter.assign(unit_id) if unit_id else None
            if assigned is not None:
                assignment = PageAssignment(
                    experiment=experiment.name,
                    revision=registered.revision,
                    layer=experiment.layer,
                    arm=assigned.arm.name,
                    unit_id=unit_id,
                    bucket=assigned.bucket,
                )
                return Route(assigned.arm.model, assignment)
        return Route(self.champion)
