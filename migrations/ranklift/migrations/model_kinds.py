"""Which kinds of model version the registry takes: what several steps change the same way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

KIND = "ck_model_versions_kind"


def allow(kinds: str) -> None:
    """Make `kinds`, a condition in SQL, what a version's kind must fulfil."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(kinds)
    else:
        op.drop_constraint(op.f(KIND), "model_versions", type_="check")
        op.create_check_constraint(op.f(KIND), "model_versions", kinds)


def _rebuild(kinds: str) -> None:
    """SQLite changes no constraint: the table is made anew, while arms and champions refer to it.

    Alembic's batch mode would rename the new table into place. To SQLite, rows that come by a
    rename are no rows for others to refer to, and the commit would fail.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM model_versions")
    op.drop_table("model_versions")
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
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "digest LIKE 'sha256:%' AND length(digest) = 71", name=op.f("ck_model_versions_digest")
        ),
        sa.CheckConstraint(kinds, name=op.f(KIND)),
        sa.CheckConstraint(
            "numerics IN ('fp32', 'bf16', 'int8')", name=op.f("ck_model_versions_numerics")
        ),
        sa.ForeignKeyConstraint(
            ["model"], ["models.name"], name=op.f("fk_model_versions_model_models")
        ),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("pk_model_versions")),
    )
    op.execute("INSERT INTO model_versions SELECT * FROM kept")
    op.execute("DROP TABLE kept")
