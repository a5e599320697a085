"""Arms as OpenFeature flags: other parts of a service read them the standard way.

    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    with AssignmentClient("127.0.0.1:7400") as traffic:
        api.set_provider_and_wait(ArmProvider(traffic))
        flags = api.get_client()
        user = EvaluationContext("user-1", {"country": "NL"})
        flags.get_string_value("title-boost", "control", user)

The flag's key is the experiment's name. As text a flag is the arm, as a boolean whether that is
another arm than control, as an object all that is known of the assignment. The targeting key is the
unit's id; the attributes `user_id` and `session_id` say more exactly whose, and all others are what
the experiment's conditions see. Reading a flag exposes nobody: nothing is logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from ranklift.events.values import PageAssignment
from ranklift.store.values import Experiment
from ranklift.traffic.routing import Route, RunningExperiment

STALE_SECONDS = 10.0
_USER, _SESSION = "user_id", "session_id"

T = TypeVar("T")
ObjectValue = Sequence[FlagValueType] | Mapping[str, FlagValueType]


class Assignments(Protocol):
    """Assigns by what runs; `ranklift.traffic.client.AssignmentClient` does."""

    @property
    def age_seconds(self) -> float: ...
    def running(self) -> Mapping[str, RunningExperiment]: ...
    def assign(self, user_id: str, session_id: str, attributes: Mapping[str, str]) -> Route: ...


@dataclass(frozen=True, slots=True)
class _Found:
    experiment: Experiment
    assignment: PageAssignment | None
    forced: bool

    def details(self, value: T) -> FlagResolutionDetails[T]:
        if self.assignment is None:
            return FlagResolutionDetails(value, reason=Reason.DEFAULT)
        return FlagResolutionDetails(
            value,
            reason=Reason.TARGETING_MATCH if self.forced else Reason.SPLIT,
            variant=self.assignment.arm,
            flag_metadata={
                "experiment": self.assignment.experiment,
                "revision": self.assignment.revision,
                "layer": self.assignment.layer,
                "bucket": self.assignment.bucket,
            },
        )


class ArmProvider(AbstractProvider):
    """Resolves flags by the assignments of running experiments.

    While the platform has not answered for `STALE_SECONDS`, the last configuration still resolves,
    and the provider is STALE from the next evaluation on. Who takes no part gets the default value.
    """

    def __init__(self, assignments: Assignments) -> None:
        super().__init__()
        self._assignments = assignments
        self._stale = False

    def get_metadata(self) -> Metadata:
        return Metadata("ranklift")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        found = self._find(flag_key, evaluation_context)
        if found.assignment is None:
            return found.details(default_value)
        return found.details(found.assignment.arm != found.experiment.control)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        found = self._find(flag_key, evaluation_context)
        return found.details(found.assignment.arm if found.assignment else default_value)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: ObjectValue,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[ObjectValue]:
        found = self._find(flag_key, evaluation_context)
        value: ObjectValue = default_value
        if found.assignment is not None:
            of = found.assignment
            arm = next(one for one in found.experiment.arms if one.name == of.arm)
            value = {
                "arm": of.arm,
                "model": str(arm.model) if arm.model else "",
                "experiment": of.experiment,
                "revision": of.revision,
                "layer": of.layer,
                "unit_id": of.unit_id,
                "bucket": of.bucket,
                "forced": found.forced,
            }
        return found.details(value)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        raise _no_number(flag_key)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        raise _no_number(flag_key)

    def _find(self, name: str, context: EvaluationContext | None) -> _Found:
        self._tell_age()
        running = self._assignments.running().get(name)
        if running is None:
            raise FlagNotFoundError(f'no experiment "{name}" runs')
        given = dict(context.attributes) if context else {}
        key = (context.targeting_key if context else None) or ""
        user_id, session_id = (str(given.pop(of, "") or key) for of in (_USER, _SESSION))
        if not (user_id or session_id):
            raise TargetingKeyMissingError("give the unit's id as the targeting key")
        attributes = {one: _text(value) for one, value in given.items()}
        route = self._assignments.assign(user_id, session_id, attributes)
        for forced, assignments in ((True, route.forced), (False, route.assignments)):
            for assignment in assignments:
                if assignment.experiment == name:
                    return _Found(running.registered.experiment, assignment, forced)
        return _Found(running.registered.experiment, None, False)

    def _tell_age(self) -> None:
        age = self._assignments.age_seconds
        if (age > STALE_SECONDS) == self._stale:
            return
        self._stale = not self._stale
        if self._stale:
            self.emit_provider_stale(
                ProviderEventDetails(message=f"the platform last answered {age:.0f} s ago")
            )
        else:
            self.emit_provider_ready(ProviderEventDetails())


def _text(value: object) -> str:
    """Return an attribute's value as conditions see it: true and false in small letters."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _no_number(flag_key: str) -> TypeMismatchError:
    return TypeMismatchError(
        f'"{flag_key}" is an experiment: read it as text, a boolean or an object'
    )
