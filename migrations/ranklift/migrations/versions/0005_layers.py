"""Layers have slots and a holdout; experiments occupy a part of one, under conditions, in steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _layers()
    _experiments()
    op.add_column(
        "experiment_revisions",
        sa.Column("traffic_share", sa.Integer(), server_default="10000", nullable=False),
    )
    op.execute(
        "UPDATE experiment_revisions SET traffic_share = (SELECT e.traffic_share FROM experiments e"
        " WHERE e.name = experiment_revisions.experiment)"
    )
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_arms(compositions=True)
    else:
        op.add_column("arms", sa.Column("interleaving", sa.JSON(), nullable=True))
        op.add_column("arms", sa.Column("exploration", sa.JSON(), nullable=True))
        op.add_column("arms", sa.Column("shadows", sa.JSON(), server_default="[]", nullable=False))
        op.alter_column("arms", "model", nullable=True)
        op.alter_column("arms", "version", nullable=True)
        op.create_check_constraint(
            op.f("ck_arms_model_version"), "arms", "(model IS NULL) = (version IS NULL)"
        )


def downgrade() -> None:
    """Back to one experiment at a time. Fails, and changes nothing, where several run or an arm has
    no model of its own: older versions cannot say what such experiments mean."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_arms(compositions=False)
    else:
        op.drop_constraint(op.f("ck_arms_model_version"), "arms", type_="check")
        op.alter_column("arms", "version", nullable=False)
        op.alter_column("arms", "model", nullable=False)
        for column in ("shadows", "exploration", "interleaving"):
            op.drop_column("arms", column)
    op.drop_column("experiment_revisions", "traffic_share")
    for column in ("slots", "ramp", "forced", "prerequisites", "conditions", "layer_share"):
        op.drop_column("experiments", column)
    op.create_index(
        "uq_experiments_running",
        "experiments",
        ["state"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_table("layer_revisions")
    for column in ("holdout_share", "generation", "salt"):
        op.drop_column("layers", column)


def _layers() -> None:
    op.add_column("layers", sa.Column("salt", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "layers", sa.Column("generation", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column(
        "layers", sa.Column("holdout_share", sa.Integer(), server_default="0", nullable=False)
    )
    op.execute("UPDATE layers SET salt = name || '/slots/1'")
    op.create_table(
        "layer_revisions",
        sa.Column("layer", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("holdout_share", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "holdout_share BETWEEN 0 AND 9999", name=op.f("ck_layer_revisions_holdout_share")
        ),
        sa.ForeignKeyConstraint(
            ["layer"], ["layers.name"], name=op.f("fk_layer_revisions_layer_layers")
        ),
        sa.PrimaryKeyConstraint("layer", "number", name=op.f("pk_layer_revisions")),
    )


def _experiments() -> None:
    op.drop_index("uq_experiments_running", table_name="experiments")
    share = sa.Column("layer_share", sa.Integer(), server_default="10000", nullable=False)
    op.add_column("experiments", share)
    for column in ("conditions", "prerequisites", "forced", "slots"):
        op.add_column(
            "experiments", sa.Column(column, sa.JSON(), server_default="[]", nullable=False)
        )
    op.add_column("experiments", sa.Column("ramp", sa.JSON(), nullable=True))
    # At most one ran. Paused ones of before held nothing: they get their slots when they go on.
    op.execute("UPDATE experiments SET slots = '[[0, 10000]]' WHERE state = 'running'")


def _rebuild_arms(*, compositions: bool) -> None:
    """SQLite makes no column nullable: the table is made anew, while forecasts refer to it.

    As in 0004, by a copy and not by a rename, which would lose what refers to the rows.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM arms")
    op.drop_index("uq_arms_control", table_name="arms")
    op.drop_table("arms")
    added: list[sa.schema.SchemaItem] = []
    if compositions:
        added = [
            sa.Column("interleaving", sa.JSON(), nullable=True),
            sa.Column("exploration", sa.JSON(), nullable=True),
            sa.Column("shadows", sa.JSON(), server_default="[]", nullable=False),
            sa.CheckConstraint(
                "(model IS NULL) = (version IS NULL)", name=op.f("ck_arms_model_version")
            ),
        ]
    op.create_table(
        "arms",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("is_control", sa.Boolean(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=compositions),
        sa.Column("version", sa.String(length=64), nullable=compositions),
        *added,
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
    kept = "experiment, name, position, share, is_control, model, version"
    op.execute(f"INSERT INTO arms ({kept}) SELECT {kept} FROM kept")  # noqa: S608
    op.execute("DROP TABLE kept")
    op.create_index(
        "uq_arms_control",
        "arms",
        ["experiment"],
        unique=True,
        sqlite_where=sa.text("is_control"),
        postgresql_where=sa.text("is_control"),
    )
