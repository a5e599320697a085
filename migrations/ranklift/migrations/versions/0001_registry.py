"""The registry: layers, experiments, models, schedules and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
SPAN = sa.BigInteger()  # in microseconds
EXPERIMENT_STATES = ("draft", "running", "paused", "concluded")
RUN_STATES = ("queued", "running", "succeeded", "skipped", "rejected", "failed")


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=16)


def upgrade() -> None:
    op.create_table(
        "layers",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_layers")),
    )
    op.create_table(
        "models",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_models")),
    )
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("layer", sa.String(length=64), nullable=False),
        sa.Column("unit", _one_of("unit", "user", "session"), nullable=False),
        sa.Column("traffic_share", sa.Integer(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("primary_metric", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("hypothesis", sa.Text(), nullable=False),
        sa.Column("planned_end", INSTANT, nullable=True),
        sa.Column("state", _one_of("state", *EXPERIMENT_STATES), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("updated", INSTANT, nullable=False),
        sa.Column("started", INSTANT, nullable=True),
        sa.Column("ended", INSTANT, nullable=True),
        sa.Column("decision", _one_of("decision", "ship", "roll_back", "none"), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'concluded') = (decision IS NOT NULL)", name=op.f("ck_experiments_decided")
        ),
        sa.CheckConstraint(
            "(state = 'concluded') = (ended IS NOT NULL)", name=op.f("ck_experiments_ended")
        ),
        sa.CheckConstraint(
            "state NOT IN ('running', 'paused') OR started IS NOT NULL",
            name=op.f("ck_experiments_started"),
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_experiments_revision")),
        sa.CheckConstraint(
            "traffic_share BETWEEN 1 AND 10000", name=op.f("ck_experiments_traffic_share")
        ),
        sa.ForeignKeyConstraint(
            ["layer"], ["layers.name"], name=op.f("fk_experiments_layer_layers")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiments")),
        sa.UniqueConstraint("request_id", name=op.f("uq_experiments_request_id")),
    )
    op.create_index(
        "uq_experiments_running",
        "experiments",
        ["state"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )

    op.create_table(
        "model_versions",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("numerics", sa.String(length=16), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.CheckConstraint(
            "digest LIKE 'sha256:%' AND length(digest) = 71", name=op.f("ck_model_versions_digest")
        ),
        sa.CheckConstraint(
            "kind IN ('bm25', 'encoder', 'decoder')", name=op.f("ck_model_versions_kind")
        ),
        sa.CheckConstraint(
            "numerics IN ('fp32', 'bf16', 'int8')", name=op.f("ck_model_versions_numerics")
        ),
        sa.ForeignKeyConstraint(
            ["model"], ["models.name"], name=op.f("fk_model_versions_model_models")
        ),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("pk_model_versions")),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("student", sa.String(length=64), nullable=False),
        sa.Column("teacher", sa.String(length=64), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("interval", SPAN, nullable=True),
        sa.Column("window", SPAN, nullable=False),
        sa.Column("min_clicked_pages", sa.Integer(), nullable=False),
        sa.Column("layer", sa.String(length=64), nullable=False),
        sa.Column("challenger_share", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.CheckConstraint('"interval" > 0', name=op.f("ck_schedules_interval")),
        sa.CheckConstraint('"window" > 0', name=op.f("ck_schedules_window")),
        sa.CheckConstraint(
            "(cron = '') = (\"interval\" IS NOT NULL)", name=op.f("ck_schedules_cron_or_interval")
        ),
        sa.CheckConstraint(
            "challenger_share BETWEEN 1 AND 5000", name=op.f("ck_schedules_challenger_share")
        ),
        sa.CheckConstraint("min_clicked_pages >= 1", name=op.f("ck_schedules_min_clicked_pages")),
        sa.ForeignKeyConstraint(["layer"], ["layers.name"], name=op.f("fk_schedules_layer_layers")),
        sa.ForeignKeyConstraint(
            ["student"], ["models.name"], name=op.f("fk_schedules_student_models")
        ),
        sa.ForeignKeyConstraint(
            ["teacher"], ["models.name"], name=op.f("fk_schedules_teacher_models")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "arms",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("is_control", sa.Boolean(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.CheckConstraint("share BETWEEN 1 AND 10000", name=op.f("ck_arms_share")),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.name"], name=op.f("fk_arms_experiment_experiments")
        ),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_arms_model_version_model_versions"),
        ),
        sa.PrimaryKeyConstraint("experiment", "name", name=op.f("pk_arms")),
        sa.UniqueConstraint("experiment", "position", name=op.f("uq_arms_experiment_position")),
    )
    op.create_index(
        "uq_arms_control",
        "arms",
        ["experiment"],
        unique=True,
        sqlite_where=sa.text("is_control"),
        postgresql_where=sa.text("is_control"),
    )

    op.create_table(
        "champions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_champions_model_version_model_versions"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_champions")),
    )
    op.create_table(
        "experiment_revisions",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", _one_of("state", *EXPERIMENT_STATES), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_experiment_revisions_number")),
        sa.ForeignKeyConstraint(
            ["experiment"],
            ["experiments.name"],
            name=op.f("fk_experiment_revisions_experiment_experiments"),
        ),
        sa.PrimaryKeyConstraint("experiment", "number", name=op.f("pk_experiment_revisions")),
    )
    op.create_table(
        "runs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("schedule", sa.String(length=64), nullable=False),
        sa.Column("state", _one_of("state", *RUN_STATES), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("ended", INSTANT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=True),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("experiment", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "(state IN ('queued', 'running')) = (ended IS NULL)", name=op.f("ck_runs_ended")
        ),
        sa.CheckConstraint(
            "(model IS NULL) = (version IS NULL)", name=op.f("ck_runs_model_version")
        ),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.name"], name=op.f("fk_runs_experiment_experiments")
        ),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_runs_model_version_model_versions"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_schedule"), "runs", ["schedule"], unique=False)
    op.create_index(op.f("ix_runs_state"), "runs", ["state"], unique=False)

    op.create_table(
        "comparisons",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("champion_value", sa.Double(), nullable=False),
        sa.Column("challenger_value", sa.Double(), nullable=False),
        sa.Column("difference", sa.Double(), nullable=False),
        sa.Column("difference_lower", sa.Double(), nullable=False),
        sa.Column("difference_upper", sa.Double(), nullable=False),
        sa.Column("queries", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.CheckConstraint("source IN ('judgments', 'clicks')", name=op.f("ck_comparisons_source")),
        sa.CheckConstraint(
            "difference_lower <= difference AND difference <= difference_upper",
            name=op.f("ck_comparisons_difference"),
        ),
        sa.CheckConstraint("queries >= 0", name=op.f("ck_comparisons_queries")),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name=op.f("fk_comparisons_run_runs")),
        sa.PrimaryKeyConstraint("run", "position", name=op.f("pk_comparisons")),
        sa.UniqueConstraint(
            "run", "metric", "source", name=op.f("uq_comparisons_run_metric_source")
        ),
    )
    op.create_table(
        "run_steps",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", _one_of("state", *RUN_STATES), nullable=False),
        sa.Column("started", INSTANT, nullable=False),
        sa.Column("ended", INSTANT, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state IN ('queued', 'running')) = (ended IS NULL)", name=op.f("ck_run_steps_ended")
        ),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name=op.f("fk_run_steps_run_runs")),
        sa.PrimaryKeyConstraint("run", "position", name=op.f("pk_run_steps")),
        sa.UniqueConstraint("run", "name", name=op.f("uq_run_steps_run_name")),
    )


def downgrade() -> None:
    op.drop_table("run_steps")
    op.drop_table("comparisons")
    op.drop_table("runs")
    op.drop_table("experiment_revisions")
    op.drop_table("champions")
    op.drop_table("arms")
    op.drop_table("schedules")
    op.drop_table("model_versions")
    op.drop_table("experiments")
    op.drop_table("models")
    op.drop_table("layers")
