"""Model versions may be language models, on their way to a teacher."""

from __future__ import annotations

from ranklift.migrations.model_kinds import allow

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    allow("kind IN ('bm25', 'encoder', 'decoder', 'cascade', 'causal_lm')")


def downgrade() -> None:
    allow("kind IN ('bm25', 'encoder', 'decoder', 'cascade')")
