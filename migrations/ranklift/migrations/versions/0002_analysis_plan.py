"""Experiments carry how they are analysed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Experiments of before are analysed as by default, which an empty plan stands for.
    plan = sa.Column("analysis", sa.JSON(), server_default="{}", nullable=False)
    with op.batch_alter_table("experiments") as experiments:
        experiments.add_column(plan)


def downgrade() -> None:
    with op.batch_alter_table("experiments") as experiments:
        experiments.drop_column("analysis")
