"""The definition of an experiment in a file, for `ranklift experiment apply FILE`.

In TOML (JSON and YAML have the same keys):

    name = "title-boost"
    hypothesis = "The student brings more pages with a click."

    [[arms]]
    name = "control"
    share = 0.5
    model = "bm25@1"

    [[arms]]
    name = "treatment"
    share = 0.5
    model = "student@3"

    [[conditions]]
    attribute = "country"
    values = ["at", "de"]

    [[ramp.steps]]
    traffic_share = 0.01
    hold = "1d"

    [[ramp.steps]]
    traffic_share = 0.5

    [analysis]
    planned_units = 200000

The classes below are the format: files are read by them, and the schema for editors
(docs/experiment.schema.json) is made of them. What they cannot say, such as shares that sum to 1,
`check_experiment` does.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from ranklift.lift.plan_messages import plan_message
from ranklift.store.analysis import AnalysisPlan
from ranklift.store.analysis_json import check_plan
from ranklift.store.declaration_file import read_declaration
from ranklift.store.json_values import read_value
from ranklift.store.values import ModelRef
from ranklift.traffic.durations import DURATION, to_duration
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.ranking_pb2 import ModelSelector

_INSTANT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}"


def _model(text: str) -> str:
    ModelRef.parse(text)
    return text


def _duration(text: str) -> str:
    to_duration(text)
    return text


def _instant(text: str) -> str:
    _to_datetime(text)
    return text


def _to_datetime(text: str) -> datetime:
    wrong = f"{text:.64} is no instant, e.g. 2030-01-31T12:00:00Z"
    if re.match(_INSTANT, text) is None:
        raise ValueError(wrong)
    try:
        instant = datetime.fromisoformat(text)
        # Timestamps know the years 1 to 9999 of UTC, and no others.
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(wrong) from error


# What `check_experiment` checks, and explains better, is in the schema only: for editors.
Name = Annotated[str, Field(json_schema_extra={"pattern": "^[a-z0-9_-]{1,64}$"})]
Version = Annotated[
    str,
    AfterValidator(_model),
    Field(
        json_schema_extra={
            "pattern": "^[a-z0-9_-]{1,64}@[a-z0-9_.-]{1,64}$",
            "examples": ["student@3"],
        }
    ),
]
# On the wire 0 stands for "not given"; who writes a 0 in a file does not mean 1.
Share = Annotated[float, Field(gt=0, le=1)]
Instant = Annotated[
    str,
    AfterValidator(_instant),
    Field(json_schema_extra={"pattern": _INSTANT, "examples": ["2030-01-31T12:00:00Z"]}),
]
DurationText = Annotated[
    str,
    AfterValidator(_duration),
    Field(json_schema_extra={"pattern": DURATION, "examples": ["12h", "1d"]}),
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class InterleavingTable(_Table):
    """Serves several rankings as one page; its clicks tell which is preferred."""

    models: list[Version] = Field(min_length=2, max_length=8)
    """The versions whose rankings meet."""
    method: Literal["team_draft", "balanced", "probabilistic", "optimized"] = "team_draft"
    """How they meet."""


class ExplorationTable(_Table):
    """Disturbs the order of some pages by a known chance."""

    method: Literal["swap", "plackett_luce"]
    """Two documents change places, or all of the top are drawn by their scores."""
    top_k: int = Field(ge=2, le=50)
    """How many documents from the top may move."""
    probability: float = Field(gt=0, le=1)
    """The part of the pages that is disturbed."""
    temperature: float = Field(default=1.0, gt=0)
    """For Plackett-Luce: scores are divided by it."""


class ArmTable(_Table):
    """One side of the experiment: what is done to the pages of its units."""

    name: Name
    """Unique within the experiment."""
    share: Share
    """The arm's part of the traffic, in steps of 0.0001. All arms sum to 1."""
    model: Version | None = None
    """The version that serves the arm."""
    interleaving: InterleavingTable | None = None
    """Interleaves rankings instead."""
    exploration: ExplorationTable | None = None
    """Disturbs the order of what was ranked."""
    shadows: list[Version] = Field(default=[], max_length=8)
    """Versions that score off the user's path."""

    def message(self) -> pb.Arm:
        return pb.Arm(
            name=self.name,
            share=self.share,
            model=_selector(self.model) if self.model else None,
            interleaving=pb.Interleaving(
                models=[_selector(model) for model in self.interleaving.models],
                method=_enum("INTERLEAVING_METHOD", self.interleaving.method),
            )
            if self.interleaving
            else None,
            exploration=pb.Exploration(
                method=_enum("EXPLORATION_METHOD", self.exploration.method),
                top_k=self.exploration.top_k,
                probability=self.exploration.probability,
                temperature=self.exploration.temperature,
            )
            if self.exploration
            else None,
            shadows=[_selector(model) for model in self.shadows],
        )


class ConditionTable(_Table):
    """What must hold of a request's attribute for its unit to take part."""

    attribute: str = Field(min_length=1, max_length=128)
    """The attribute, as the caller of the gateway sends it."""
    values: list[Annotated[str, Field(max_length=128)]] = Field(min_length=1, max_length=1_000)
    """It must have one of these; a request without it has ""."""
    negated: bool = False
    """It must have none of them instead."""


class PrerequisiteTable(_Table):
    """An arm of another experiment that a unit must be in to take part."""

    experiment: Name
    """The other experiment, of another layer."""
    arms: list[Name] = Field(min_length=1)
    """One of these arms."""


class StepTable(_Table):
    """A traffic share, and what must come before the next one."""

    traffic_share: Share
    """Larger than that of the step before."""
    hold: DurationText = "0s"
    """How long the step lasts at least."""
    min_units: int = Field(default=0, ge=0, lt=2**63)
    """How many units must be exposed in the step at least."""

    def message(self) -> pb.RampStep:
        step = pb.RampStep(traffic_share=self.traffic_share, min_units=self.min_units)
        step.hold.FromTimedelta(to_duration(self.hold))
        return step


class RampTable(_Table):
    """Raises the traffic share step by step, as long as nothing says not to."""

    steps: list[StepTable] = Field(min_length=1, max_length=100)
    """The first is the traffic share that the experiment starts with."""
    on_harm: Literal["roll_back", "pause"] = "roll_back"
    """What harm leads to."""


class ExperimentTable(_Table):
    """An experiment of ranklift: who sees which ranker, and what will be read off it."""

    name: Name
    """Unique in the registry, and for good."""
    arms: list[ArmTable] = Field(min_length=1)
    """Two or more; one is enough when it interleaves, explores or shadows."""
    owner: str = ""
    """Who answers for the experiment."""
    hypothesis: str = ""
    """What it is meant to show."""
    layer: Name = "default"
    """Experiments of one layer share no unit."""
    layer_share: Share = 1.0
    """The part of the layer that it occupies from its start to its conclusion."""
    unit: Literal["user", "session"] = "user"
    """What is randomised."""
    control: Name | None = None
    """The arm that the others are compared with; the first when left out."""
    traffic_share: Share | None = None
    """The part of the units in its part of the layer that takes part; all, or the ramp's first
    step, when left out."""
    salt: str = Field(default="", max_length=128)
    """Decides which bucket a unit falls into; made of layer and name when left out."""
    primary_metric: str = "page_ctr"
    """The metric that decides."""
    planned_end_time: Instant | None = None
    """When it is planned to end; UTC unless it says otherwise."""
    analysis: AnalysisPlan | None = None
    """How it is analysed."""
    conditions: list[ConditionTable] = Field(default=[], max_length=16)
    """All must hold for a request's unit to take part."""
    prerequisites: list[PrerequisiteTable] = Field(default=[], max_length=4)
    """All must hold for a request's unit to take part."""
    forced: dict[str, Name] = Field(default={}, max_length=1_000)
    """Units by their ids, and the arms that they meet for testing; they are in no analysis."""
    ramp: RampTable | None = None
    """Raises the traffic share step by step."""

    def message(self) -> pb.Experiment:
        return pb.Experiment(
            name=self.name,
            owner=self.owner,
            hypothesis=self.hypothesis,
            layer=self.layer,
            unit=_enum("UNIT", self.unit),
            arms=[arm.message() for arm in self.arms],
            control=self.control or "",
            traffic_share=self.traffic_share or 0.0,
            salt=self.salt,
            primary_metric=self.primary_metric,
            planned_end_time=_timestamp(self.planned_end_time) if self.planned_end_time else None,
            analysis=plan_message(self.analysis) if self.analysis else None,
            layer_share=self.layer_share,
            conditions=[
                pb.Condition(attribute=one.attribute, values=one.values, negated=one.negated)
                for one in self.conditions
            ],
            prerequisites=[
                pb.Prerequisite(experiment=one.experiment, arms=one.arms)
                for one in self.prerequisites
            ],
            forced_units=[
                pb.ForcedUnit(unit_id=unit, arm=arm) for unit, arm in self.forced.items()
            ],
            ramp=pb.Ramp(
                steps=[step.message() for step in self.ramp.steps],
                on_harm=_enum("HARM_ACTION", self.ramp.on_harm),
            )
            if self.ramp
            else None,
        )


def read_experiment_file(path: Path) -> pb.Experiment:
    """Return the definition in a TOML, YAML or JSON file; whether it makes sense is not checked.

    Raises:
        InvalidRequest: the file cannot be read or is malformed; or with every unknown key and
            every value of a wrong type, the field being "file: key".
    """
    table = read_value(TypeAdapter(ExperimentTable), read_declaration(path), f"{path}: ")
    if table.analysis is not None:
        check_plan(table.analysis, f"{path}: analysis")
    return table.message()


def experiment_schema() -> dict[str, Any]:
    """Return the JSON schema of such a file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ExperimentTable.model_json_schema(),
    }


def _selector(text: str) -> ModelSelector:
    ref = ModelRef.parse(text)
    return ModelSelector(name=ref.model, version=ref.version)


def _enum(prefix: str, name: str) -> Any:
    return getattr(pb, f"{prefix}_{name.upper()}")


def _timestamp(text: str) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(_to_datetime(text))
    return timestamp
