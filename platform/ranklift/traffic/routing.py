"""Which model version serves a request, and what is done to the page: what runs, as one value.

For a unit and an experiment, in this order, until one says no:

1. an arm that the experiment names for the unit (`forced`) is met whatever the rest says,
2. the layer's holdout and the experiment's slots (`splitter.py` `Place`),
3. the experiment's conditions on the request's attributes,
4. its prerequisites: arms of other experiments, found in this same way,
5. its bucket (`splitter.py` `Splitter`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ranklift.events.values import PageAssignment
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Condition,
    Exploration,
    Interleaving,
    Layer,
    ModelRef,
    RegisteredExperiment,
    Unit,
)
from ranklift.traffic.splitter import Place, Splitter, bucket_of

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
class RunningExperiment:
    """A running experiment made ready to decide."""

    registered: RegisteredExperiment
    splitter: Splitter
    place: Place
    forced: Mapping[str, Arm]

    @classmethod
    def of(cls, registered: RegisteredExperiment, layer: Layer | None) -> RunningExperiment:
        """Return the experiment in its layer; it has the layer for itself when that is unknown, and
        without slots in a known one it has nobody."""
        experiment = registered.experiment
        arms = {arm.name: arm for arm in experiment.arms}
        return cls(
            registered,
            Splitter.of(experiment),
            Place(
                layer or Layer(experiment.layer, ""),
                registered.slots if layer else ((0, BUCKETS),),
            ),
            {unit_id: arms[arm] for unit_id, arm in experiment.forced},
        )


@dataclass(frozen=True, slots=True)
class _Met:
    """The arm of one experiment that a request's unit meets."""

    one: RunningExperiment
    arm: Arm
    unit_id: str
    bucket: int
    forced: bool

    def assignment(self) -> PageAssignment:
        experiment = self.one.registered.experiment
        return PageAssignment(
            experiment=experiment.name,
            revision=self.one.registered.revision,
            layer=experiment.layer,
            arm=self.arm.name,
            unit_id=self.unit_id,
            bucket=self.bucket,
        )


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """What serves at one moment: each running experiment by its name, and the champion."""

    experiments: Mapping[str, RunningExperiment] = field(default_factory=dict)
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
        known = {layer.name: layer for layer in layers}
        experiments = {
            one.experiment.name: RunningExperiment.of(one, known.get(one.experiment.layer))
            for one in running
        }
        return cls(experiments, champion)

    def route(
        self, user_id: str, session_id: str, attributes: Mapping[str, str] = NO_ATTRIBUTES
    ) -> Route:
        """Return who serves this user and session, either of which may be empty."""
        met = list(self._met(_Request(user_id, session_id, attributes)))
        if not met:
            return Route(self.champion)
        assignments: list[PageAssignment] = []
        forced: list[PageAssignment] = []
        ranking: Arm | None = None
        ranked_by: PageAssignment | None = None
        exploration: Exploration | None = None
        shadows: dict[ModelRef, None] = {}
        for one in met:
            assignment = one.assignment()
            (forced if one.forced else assignments).append(assignment)
            if one.arm.ranks:
                ranking, ranked_by = one.arm, assignment
            exploration = exploration or one.arm.exploration
            shadows.update(dict.fromkeys(one.arm.shadows))
        interleaving = ranking.interleaving if ranking else None
        model = ranking.model if ranking else self.champion
        return Route(
            interleaving.models[0] if interleaving else model,
            tuple(assignments),
            tuple(forced),
            ranked_by,
            interleaving,
            exploration,
            tuple(shadows),
        )

    def _met(self, request: _Request) -> Iterator[_Met]:
        """Yield the arms that the request's units meet, at most one of each layer.

        The registry keeps apart what cannot share a page. What gets here all the same, such as a
        unit that two experiments name, is decided by the order: arms that are named first, then
        experiments by name. Who comes second has no part in the page, and is not logged with it.
        """
        found = [met for one in self.experiments.values() if (met := self._arm(one, request))]
        if len(found) > 1:
            found.sort(key=lambda met: (not met.forced, met.one.registered.experiment.name))
        layers: set[str] = set()
        ranks = explores = False
        for met in found:
            experiment = met.one.registered.experiment
            explored = any(arm.exploration for arm in experiment.arms)
            if (
                experiment.layer in layers
                or (ranks and experiment.ranks)
                or (explores and explored)
            ):
                continue
            layers.add(experiment.layer)
            ranks, explores = ranks or experiment.ranks, explores or explored
            yield met

    def _arm(self, one: RunningExperiment, request: _Request) -> _Met | None:
        """Return the arm of one experiment that the request's unit meets."""
        experiment = one.registered.experiment
        unit_id = request.user_id if experiment.unit is Unit.USER else request.session_id
        if not unit_id:
            return None
        if named := one.forced.get(unit_id):
            return _Met(one, named, unit_id, bucket_of(experiment.salt, unit_id), forced=True)
        if not (
            one.place.has(unit_id)
            and all(_holds(condition, request.attributes) for condition in experiment.conditions)
            and all(
                self._is_in(prerequisite.experiment, prerequisite.arms, request)
                for prerequisite in experiment.prerequisites
            )
        ):
            return None
        assigned = one.splitter.assign(unit_id)
        if assigned is None:
            return None
        return _Met(one, assigned.arm, unit_id, assigned.bucket, forced=False)

    def _is_in(self, name: str, arms: tuple[str, ...], request: _Request) -> bool:
        """Return whether the request's unit meets one of these arms of an experiment.

        The registry admits no circle of prerequisites, so this comes to an end.
        """
        if name not in request.known:
            one = self.experiments.get(name)
            request.known[name] = self._arm(one, request) if one else None
        met = request.known[name]
        return met is not None and met.arm.name in arms


@dataclass(frozen=True, slots=True)
class _Request:
    user_id: str
    session_id: str
    attributes: Mapping[str, str]
    # What prerequisites met: without it, levels of them would multiply.
    known: dict[str, _Met | None] = field(default_factory=dict)


def _holds(condition: Condition, attributes: Mapping[str, str]) -> bool:
    # Not by [...]: a map of a message would grow the attribute that it is asked for.
    value = attributes.get(condition.attribute, "")
    return (value in condition.values) != condition.negated
