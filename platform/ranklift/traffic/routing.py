"""Which model version serves a request: the running experiments and the champion as one value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ranklift.events.values import PageAssignment
from ranklift.store.values import (
    Exploration,
    Interleaving,
    Layer,
    ModelRef,
    RegisteredExperiment,
    Unit,
)
from ranklift.traffic.splitter import Splitter

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """What decides about one request: who ranks it, what is done to the order, what is logged.

    `model` is the version to ask: that of the arm that decides the ranker, else the champion's,
    None when there is neither. With an `interleaving` the rankings of its models meet, and `model`
    is the first of them. `assignments` are the arms of the request's units, at most one a layer;
    `forced` those that an experiment names for the unit. `ranked_by` is the one of either that
    decides the ranker.
    """

    model: ModelRef | None
    assignments: tuple[PageAssignment, ...] = ()
    forced: tuple[PageAssignment, ...] = ()
    ranked_by: PageAssignment | None = None
    interleaving: Interleaving | None = None
    exploration: Exploration | None = None
    shadows: tuple[ModelRef, ...] = ()


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """What serves at one moment: each running experiment with its splitter, and the champion."""

    experiments: tuple[tuple[RegisteredExperiment, Splitter], ...] = ()
    champion: ModelRef | None = None

    @classmethod
    def of(
        cls,
        running: Iterable[RegisteredExperiment],
        champion: ModelRef | None,
        layers: Iterable[Layer] = (),
    ) -> ServingConfig:
        """Return the configuration of these running experiments, the champion and the layers.

        An experiment of a layer that is not among `layers` has it for itself.
        """
        return cls(tuple((one, Splitter.of(one.experiment)) for one in running), champion)

    def route(
        self, user_id: str, session_id: str, attributes: Mapping[str, str] = NO_ATTRIBUTES
    ) -> Route:
        """Return who serves this user and session, either of which may be empty."""
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
                arm = assigned.arm
                return Route(
                    arm.model or self.champion,
                    (assignment,),
                    ranked_by=assignment if arm.ranks else None,
                    interleaving=arm.interleaving,
                    exploration=arm.exploration,
                    shadows=arm.shadows,
                )
        return Route(self.champion)
