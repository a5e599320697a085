"""Forecasts of what an arm will bring, to be held against what it brought."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forecasts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("arm", sa.String(length=64), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("estimator", sa.Text(), nullable=False),
        sa.Column("lift", sa.Double(), nullable=False),
        sa.Column("lower", sa.Double(), nullable=False),
        sa.Column("upper", sa.Double(), nullable=False),
        sa.Column("confidence_level", sa.Double(), nullable=False),
        sa.Column("effective_units", sa.Double(), nullable=False),
        sa.Column("support", sa.Double(), nullable=False),
        sa.Column("log_digest", sa.Text(), nullable=False),
        sa.Column("made", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("lower <= lift AND lift <= upper", name=op.f("ck_forecasts_lift")),
        sa.CheckConstraint(
            "confidence_level > 0 AND confidence_level < 1",
            name=op.f("ck_forecasts_confidence_level"),
        ),
        sa.CheckConstraint("effective_units >= 0", name=op.f("ck_forecasts_effective_units")),
        sa.ForeignKeyConstraint(
            ["experiment", "arm"],
            ["arms.experiment", "arms.name"],
            name=op.f("fk_forecasts_experiment_arm_arms"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_forecasts")),
    )
    op.create_index(op.f("ix_forecasts_experiment"), "forecasts", ["experiment"], unique=False)


def downgrade() -> None:
    op.drop_table("forecasts")
