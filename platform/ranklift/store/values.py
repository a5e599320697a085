"""What the registry keeps, as frozen values.

Every instant is an aware datetime in UTC. Shares are whole ten-thousandths
(`BUCKETS`), so that they add up exactly; 2,500 is 25 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from ranklift.store.analysis import AnalysisPlan

BUCKETS = 10_000

# For pydantic: what is read from a table must not hold what nobody reads.
CLOSED: Mapping[str, str] = {"extra": "forbid"}


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

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

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


class InterleavingMethod(StrEnum):
    """How two rankings or more become one page."""

    TEAM_DRAFT = "team_draft"
    BALANCED = "balanced"
    PROBABILISTIC = "probabilistic"
    OPTIMIZED = "optimized"


@dataclass(frozen=True, slots=True)
class Interleaving:
    """Serves the rankings of several versions, at least two, as one page."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

    models: tuple[ModelRef, ...]
    method: InterleavingMethod = InterleavingMethod.TEAM_DRAFT


class ExplorationMethod(StrEnum):
    """How the order of a page is disturbed."""

    SWAP = "swap"
    PLACKETT_LUCE = "plackett_luce"


@dataclass(frozen=True, slots=True)
class Exploration:
    """Disturbs the first `top_k` documents, at least 2, of a part `probability`, in (0, 1], of the
    pages. `temperature`, above 0, divides the scores for Plackett-Luce."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

    method: ExplorationMethod
    top_k: int
    probability: float
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of an experiment: its name, its share in ten-thousandths, what is done to its pages.

    `model` ranks them, or the rankings of `interleaving` do; with neither, whoever ranks the page
    anyway. `exploration` disturbs the order. `shadows` score off the user's path.
    """

    name: str
    share: int
    model: ModelRef | None = None
    interleaving: Interleaving | None = None
    exploration: Exploration | None = None
    shadows: tuple[ModelRef, ...] = ()

    @property
    def ranks(self) -> bool:
        """Whether the arm decides the ranker of its pages."""
        return self.model is not None or self.interleaving is not None

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Every version that the arm asks, each once."""
        ranking = (self.model,) if self.model else ()
        interleaved = self.interleaving.models if self.interleaving else ()
        return tuple(dict.fromkeys((*ranking, *interleaved, *self.shadows)))


@dataclass(frozen=True, slots=True)
class Condition:
    """A request's `attribute`, "" when it has none, must be one of `values`, or none of them."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

    attribute: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """A unit takes part only while `experiment` runs and has it in one of `arms`."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

    experiment: str
    arms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RampStep:
    """A traffic share in ten-thousandths, and what must come before the next one: so much time, so
    many units exposed in the step."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

    traffic_share: int
    hold: timedelta = timedelta()
    min_units: int = 0


class HarmAction(StrEnum):
    """What a ramp does to an experiment that does harm."""

    ROLL_BACK = "roll_back"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Ramp:
    """Raises the traffic share step by step, each larger than the one before."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = CLOSED

    steps: tuple[RampStep, ...]
    on_harm: HarmAction = HarmAction.ROLL_BACK


@dataclass(frozen=True, slots=True)
class Experiment:
    """Who sees which ranker, and what will be read off it.

    The shares of `arms` sum to `BUCKETS`. It occupies the part `layer_share` of its layer, in
    ten-thousandths; `traffic_share`, likewise, is the part of the units there that takes part.
    `control` names one of the arms. All of `conditions` and `prerequisites` must hold for a unit to
    take part. `forced` are units and the arms that they meet, for testing by hand.
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
    layer_share: int = BUCKETS
    conditions: tuple[Condition, ...] = ()
    prerequisites: tuple[Prerequisite, ...] = ()
    forced: tuple[tuple[str, str], ...] = ()
    ramp: Ramp | None = None

    @property
    def ranks(self) -> bool:
        """Whether the experiment decides the ranker of its units' pages."""
        return any(arm.ranks for arm in self.arms)


@dataclass(frozen=True, slots=True)
class Layer:
    """A set of experiments that share no unit.

    `salt` decides the slot, in [0, `BUCKETS`), of a unit; it changes when the last experiment of
    the layer is concluded. `holdout_share`, in ten-thousandths, is the part of all units that is
    kept out.
    """

    name: str
    salt: str
    holdout_share: int = 0


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of an experiment: who, when, why, and what it led to."""

    number: int
    state: ExperimentState
    actor: str
    reason: str
    created: datetime
    traffic_share: int = BUCKETS


@dataclass(frozen=True, slots=True)
class RegisteredExperiment:
    """An experiment with its life so far.

    `request_id` is the idempotency key of its creation. `revisions` are oldest
    first; the last one's state is the present one. `slots` are the half-open ranges of its layer's
    slots that it occupies; none before its first start and after its conclusion.
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
    slots: tuple[tuple[int, int], ...] = ()

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


LANGUAGE_MODEL = "causal_lm"
NO_RANKER = "a language model, which ranks nothing; fine-tune it on ranking first"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable artefact that ranks, or will.

    `kind` is "bm25", "encoder", "decoder", "bi_encoder", "cascade", or "causal_lm"
    for a language model, which teachers are made of and which ranks nothing; `digest`
    is "sha256:<hex>" over the artefact's files; `uri` is its folder.
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
