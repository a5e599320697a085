"""What the registry keeps, as frozen values.

Every instant is an aware datetime in UTC. Shares are whole ten-thousandths
(`BUCKETS`), so that they add up exactly; 2,500 is 25 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ranklift.store.analysis import AnalysisPlan

BUCKETS = 10_000


class Unit(StrEnum):
    """What an experiment randomises."""

    USER = "user"
    SESSION = "session"


class ExperimentState(StrEnum):
    """Where an experiment stands in its life."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    CONCLUDED = "concluded"


class Decision(StrEnum):
    """What an experiment ended with."""

    SHIP = "ship"
    ROLL_BACK = "roll_back"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """An immutable model version, by name."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Return the reference that "model@version" names.

        Raises:
            ValueError: not of that form.
        """
        model, at, version = text.partition("@")
        if not (model and at and version):
            raise ValueError(f'"{text}" is not model@version, e.g. student@1')
        return cls(model, version)


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of an experiment: its name, its share in ten-thousandths, its ranker."""

    name: str
    share: int
    model: ModelRef


@dataclass(frozen=True, slots=True)
class Experiment:
    """Who sees which ranker, and what will be read off it.

    The shares of `arms` sum to `BUCKETS`. `traffic_share`, in ten-thousandths,
    is the part of all units that takes part. `control` names one of the arms.
    """

    name: str
    arms: tuple[Arm, ...]
    control: str
    salt: str
    layer: str = "default"
    unit: Unit = Unit.USER
    traffic_share: int = BUCKETS
    primary_metric: str = "page_ctr"
    owner: str = ""
    hypothesis: str = ""
    planned_end: datetime | None = None
    analysis: AnalysisPlan = field(default_factory=AnalysisPlan)


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of an experiment: who, when, why, and the state it led to."""

    number: int
    state: ExperimentState
    actor: str
    reason: str
    created: datetime


@dataclass(frozen=True, slots=True)
class RegisteredExperiment:
    """An experiment with its life so far.

    `request_id` is the idempotency key of its creation. `revisions` are oldest
    first; the last one's state is the present one.
    """

    experiment: Experiment
    state: ExperimentState
    revision: int
    created: datetime
    updated: datetime
    started: datetime | None = None
    ended: datetime | None = None
    decision: Decision | None = None
    request_id: str = ""
    revisions: tuple[Revision, ...] = ()

    @property
    def etag(self) -> str:
        return f"{self.experiment.name}-{self.revision}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model version comes from; `parents` as "model@version"."""

    stage: str
    parents: tuple[str, ...] = ()
    run_id: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable artefact that ranks.

    `kind` is "bm25", "encoder", "decoder" or "cascade"; `digest` is
    "sha256:<hex>" over the artefact's files; `uri` is its folder.
    """

    ref: ModelRef
    kind: str
    digest: str
    numerics: str
    uri: str
    lineage: Lineage
    created: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """When and how a student is retrained; exactly one of `cron` and `interval` is set."""

    name: str
    student: str
    teacher: str
    cron: str = ""
    interval: timedelta | None = None
    window: timedelta = timedelta(days=7)
    min_clicked_pages: int = 100
    layer: str = "default"
    challenger_share: int = BUCKETS // 2
    paused: bool = False


class RunState(StrEnum):
    """How far a retraining run, or a step of one, got."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run."""

    name: str
    state: RunState
    started: datetime
    ended: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A new version against the champion on the same queries: `difference` is new minus champion,
    with its 95 % interval; `source` is "judgments" or "clicks"."""

    metric: str
    champion_value: float
    challenger_value: float
    difference: float
    difference_lower: float
    difference_upper: float
    queries: int
    source: str


@dataclass(frozen=True, slots=True)
class Run:
    """One retraining, with its steps in order."""

    run_id: str
    schedule: str
    state: RunState
    created: datetime
    ended: datetime | None = None
    steps: tuple[Step, ...] = ()
    reason: str = ""
    model_version: str = ""
    experiment: str = ""
    comparisons: tuple[Comparison, ...] = ()
