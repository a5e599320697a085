"""Model versions may be bi-encoders, which read query and document apart."""

from __future__ import annotations

from ranklift.migrations.model_kinds import allow

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    allow("kind IN ('bm25', 'encoder', 'decoder', 'bi_encoder', 'cascade', 'causal_lm')")


def downgrade() -> None:
    allow("kind IN ('bm25', 'encoder', 'decoder', 'cascade', 'causal_lm')")
