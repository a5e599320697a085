"""The tables of the registry.

    layers ◄─ experiments ◄─ arms ─► model_versions ─► models
                   ▲  ▲      ▲          ▲    ▲
                   │  │   forecasts     │    └ champions (append-only)
                   │  └ experiment_     │
                   │    revisions       │
                   └───────── runs ─────┘      schedules ─► models, layers
                               ▲
                               ├ run_steps
                               └ comparisons

    tokens, audit_entries (append-only): who may call, and what they changed

`layer_revisions`, too, is append-only: every change of a layer's holdout and salt.
Rows hold what the frozen values of `values.py` say; the repositories translate.
Runs name their schedule without a foreign key: they outlive it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from ranklift.store.columns import Instant, Span, one_of
from ranklift.store.values import BUCKETS, Decision, ExperimentState, RunState, Unit

NAME_LENGTH = 64


class Base(DeclarativeBase):
    """The metadata of the registry; every constraint has a name, so that migrations can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class LayerRow(Base):
    """A set of experiments that share no unit; `generation` counts its salts."""

    __tablename__ = "layers"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    salt: Mapped[str] = mapped_column(Text, server_default="")
    generation: Mapped[int] = mapped_column(server_default="1")
    holdout_share: Mapped[int] = mapped_column(server_default="0")


class LayerRevisionRow(Base):
    """One change of a layer, and what it led to."""

    __tablename__ = "layer_revisions"
    __table_args__ = (
        CheckConstraint(f"holdout_share BETWEEN 0 AND {BUCKETS - 1}", name="holdout_share"),
    )

    layer: Mapped[str] = mapped_column(ForeignKey("layers.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    salt: Mapped[str] = mapped_column(Text)
    holdout_share: Mapped[int]
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Instant)


class ModelRow(Base):
    """A name under which versions are kept."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)


class ModelVersionRow(Base):
    """An immutable artefact and its lineage."""

    __tablename__ = "model_versions"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('bm25', 'encoder', 'decoder', 'bi_encoder', 'cascade', 'causal_lm')",
            name="kind",
        ),
        CheckConstraint("numerics IN ('fp32', 'bf16', 'int8')", name="numerics"),
        CheckConstraint("digest LIKE 'sha256:%' AND length(digest) = 71", name="digest"),
    )

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(71))
    numerics: Mapped[str] = mapped_column(String(16))
    uri: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(String(16))
    parents: Mapped[list[str]] = mapped_column(JSON)
    run_id: Mapped[str] = mapped_column(String(128))
    metrics: Mapped[dict[str, float]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(Instant)


class ChampionRow(Base):
    """A version that became the champion; the latest row is the present one."""

    __tablename__ = "champions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "version"], ["model_versions.model", "model_versions.version"]
        ),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(NAME_LENGTH))
    version: Mapped[str] = mapped_column(String(NAME_LENGTH))
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Instant)


class ExperimentRow(Base):
    """An experiment and where it stands."""

    __tablename__ = "experiments"
    __table_args__ = (
        CheckConstraint(f"traffic_share BETWEEN 1 AND {BUCKETS}", name="traffic_share"),
        CheckConstraint("revision >= 1", name="revision"),
        CheckConstraint(
            "state NOT IN ('running', 'paused') OR started IS NOT NULL", name="started"
        ),
        CheckConstraint("(state = 'concluded') = (ended IS NOT NULL)", name="ended"),
        CheckConstraint("(state = 'concluded') = (decision IS NOT NULL)", name="decided"),
    )

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    layer: Mapped[str] = mapped_column(ForeignKey("layers.name"))
    unit: Mapped[Unit] = mapped_column(one_of(Unit, "unit"))
    traffic_share: Mapped[int]
    salt: Mapped[str] = mapped_column(Text)
    primary_metric: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text)
    hypothesis: Mapped[str] = mapped_column(Text)
    planned_end: Mapped[datetime | None] = mapped_column(Instant)
    analysis: Mapped[dict[str, object]] = mapped_column(JSON, server_default="{}")
    layer_share: Mapped[int] = mapped_column(server_default=str(BUCKETS))
    conditions: Mapped[list[object]] = mapped_column(JSON, server_default="[]")
    prerequisites: Mapped[list[object]] = mapped_column(JSON, server_default="[]")
    forced: Mapped[list[object]] = mapped_column(JSON, server_default="[]")
    slots: Mapped[list[list[int]]] = mapped_column(JSON, server_default="[]")
    ramp: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[ExperimentState] = mapped_column(one_of(ExperimentState, "state"))
    revision: Mapped[int]
    created: Mapped[datetime] = mapped_column(Instant)
    updated: Mapped[datetime] = mapped_column(Instant)
    started: Mapped[datetime | None] = mapped_column(Instant)
    ended: Mapped[datetime | None] = mapped_column(Instant)
    decision: Mapped[Decision | None] = mapped_column(one_of(Decision, "decision"))
    # Null, not "": any number of experiments may have none.
    request_id: Mapped[str | None] = mapped_column(Text, unique=True)

    arms: Mapped[list[ArmRow]] = relationship(
        order_by="ArmRow.position", lazy="selectin", cascade="all, delete-orphan"
    )
    revisions: Mapped[list[ExperimentRevisionRow]] = relationship(
        order_by="ExperimentRevisionRow.number", lazy="selectin"
    )


class ArmRow(Base):
    """One side of an experiment, pinned to model versions; `position` is 0-based."""

    __tablename__ = "arms"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "version"], ["model_versions.model", "model_versions.version"]
        ),
        UniqueConstraint("experiment", "position"),
        CheckConstraint(f"share BETWEEN 1 AND {BUCKETS}", name="share"),
        CheckConstraint("(model IS NULL) = (version IS NULL)", name="model_version"),
        Index(
            "uq_arms_control",
            "experiment",
            unique=True,
            sqlite_where=text("is_control"),
            postgresql_where=text("is_control"),
        ),
    )

    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    position: Mapped[int]
    share: Mapped[int]
    is_control: Mapped[bool]
    model: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    version: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    interleaving: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    exploration: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    shadows: Mapped[list[object]] = mapped_column(JSON, server_default="[]")


class ExperimentRevisionRow(Base):
    """One change of an experiment."""

    __tablename__ = "experiment_revisions"
    __table_args__ = (CheckConstraint("number >= 1", name="number"),)

    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[ExperimentState] = mapped_column(one_of(ExperimentState, "state"))
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Instant)
    traffic_share: Mapped[int] = mapped_column(server_default=str(BUCKETS))


class ScheduleRow(Base):
    """When and how a student is retrained."""

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("(cron = '') = (\"interval\" IS NOT NULL)", name="cron_or_interval"),
        CheckConstraint('"interval" > 0', name="interval"),
        CheckConstraint('"window" > 0', name="window"),
        CheckConstraint("min_clicked_pages >= 1", name="min_clicked_pages"),
        CheckConstraint(f"challenger_share BETWEEN 1 AND {BUCKETS // 2}", name="challenger_share"),
    )

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    student: Mapped[str] = mapped_column(ForeignKey("models.name"))
    teacher: Mapped[str] = mapped_column(ForeignKey("models.name"))
    cron: Mapped[str] = mapped_column(Text)
    interval: Mapped[timedelta | None] = mapped_column(Span)
    window: Mapped[timedelta] = mapped_column(Span)
    min_clicked_pages: Mapped[int]
    layer: Mapped[str] = mapped_column(ForeignKey("layers.name"))
    challenger_share: Mapped[int]
    paused: Mapped[bool]


class RunRow(Base):
    """One retraining."""

    __tablename__ = "runs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "version"], ["model_versions.model", "model_versions.version"]
        ),
        CheckConstraint(
            "(state IN ('queued', 'running')) = (ended IS NULL)",
            name="ended",
        ),
        CheckConstraint("(model IS NULL) = (version IS NULL)", name="model_version"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    schedule: Mapped[str] = mapped_column(String(NAME_LENGTH), index=True)
    state: Mapped[RunState] = mapped_column(one_of(RunState, "state"), index=True)
    created: Mapped[datetime] = mapped_column(Instant)
    ended: Mapped[datetime | None] = mapped_column(Instant)
    reason: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    version: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    experiment: Mapped[str | None] = mapped_column(ForeignKey("experiments.name"))

    steps: Mapped[list[RunStepRow]] = relationship(order_by="RunStepRow.position", lazy="selectin")
    comparisons: Mapped[list[ComparisonRow]] = relationship(
        order_by="ComparisonRow.position", lazy="selectin"
    )


class RunStepRow(Base):
    """One step of a run; `position` is 0-based."""

    __tablename__ = "run_steps"
    __table_args__ = (
        UniqueConstraint("run", "name"),
        CheckConstraint("(state IN ('queued', 'running')) = (ended IS NULL)", name="ended"),
    )

    run: Mapped[int] = mapped_column(ForeignKey("runs.number"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    state: Mapped[RunState] = mapped_column(one_of(RunState, "state"))
    started: Mapped[datetime] = mapped_column(Instant)
    ended: Mapped[datetime | None] = mapped_column(Instant)
    detail: Mapped[str] = mapped_column(Text)


class ComparisonRow(Base):
    """One metric of a new version against the champion; `position` is 0-based."""

    __tablename__ = "comparisons"
    __table_args__ = (
        UniqueConstraint("run", "metric", "source"),
        CheckConstraint(
            "difference_lower <= difference AND difference <= difference_upper", name="difference"
        ),
        CheckConstraint("queries >= 0", name="queries"),
        CheckConstraint("source IN ('judgments', 'clicks')", name="source"),
    )

    run: Mapped[int] = mapped_column(ForeignKey("runs.number"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    metric: Mapped[str] = mapped_column(String(NAME_LENGTH))
    champion_value: Mapped[float]
    challenger_value: Mapped[float]
    difference: Mapped[float]
    difference_lower: Mapped[float]
    difference_upper: Mapped[float]
    queries: Mapped[int]
    source: Mapped[str] = mapped_column(String(16))


class ForecastRow(Base):
    """What an arm was expected to bring before it was launched."""

    __tablename__ = "forecasts"
    __table_args__ = (
        ForeignKeyConstraint(["experiment", "arm"], ["arms.experiment", "arms.name"]),
        CheckConstraint("lower <= lift AND lift <= upper", name="lift"),
        CheckConstraint("confidence_level > 0 AND confidence_level < 1", name="confidence_level"),
        CheckConstraint("effective_units >= 0", name="effective_units"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(String(NAME_LENGTH), index=True)
    arm: Mapped[str] = mapped_column(String(NAME_LENGTH))
    metric: Mapped[str] = mapped_column(Text)
    estimator: Mapped[str] = mapped_column(Text)
    lift: Mapped[float]
    lower: Mapped[float]
    upper: Mapped[float]
    confidence_level: Mapped[float]
    effective_units: Mapped[float]
    support: Mapped[float]
    log_digest: Mapped[str] = mapped_column(Text)
    made: Mapped[datetime] = mapped_column(Instant)


class TokenRow(Base):
    """A bearer token, by its hash. Revoked ones stay: the audit log names them."""

    __tablename__ = "tokens"
    __table_args__ = (
        UniqueConstraint("token_id"),
        CheckConstraint("length(digest) = 64", name="digest"),
        CheckConstraint("per_second > 0 AND burst > 0", name="rate"),
    )

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    token_id: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64))
    roles: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(Instant)
    expires: Mapped[datetime | None] = mapped_column(Instant)
    revoked: Mapped[datetime | None] = mapped_column(Instant)
    per_second: Mapped[float | None]
    burst: Mapped[float | None]


class AuditRow(Base):
    """One change that was asked for; triggers keep the rows from being changed or deleted."""

    __tablename__ = "audit_entries"

    number: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(Instant, index=True)
    actor: Mapped[str] = mapped_column(Text)
    claimed: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    resource: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
