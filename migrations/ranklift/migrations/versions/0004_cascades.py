"""Model versions may be cascades."""

from __future__ import annotations

from ranklift.migrations.model_kinds import allow

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    allow("kind IN ('bm25', 'encoder', 'decoder', 'cascade')")


def downgrade() -> None:
    allow("kind IN ('bm25', 'encoder', 'decoder')")
